"""The two sources of an integration's news, webhooks and the agents' socket: which is alive, and
how far behind each is.
"""

from server.core.state.entities import Json
from server.core.times import SECOND, iso_or_none
from server.problems import Problem

SILENT_US = 600 * SECOND  # a webhook has come by then: 153 s were seen at the worst


def socket_sentence(state: str | None, problem: str | None, behind_us: int | None) -> Problem:
    """`state` None: it is switched off. `behind_us`: how long the last new message took to get
    here.
    """
    if state is None:
        return Problem.of("socket.off")
    if state == "live" and behind_us is not None:
        return Problem.of("socket.heard_after", n=max(1, behind_us // 1000))
    if state == "live":
        return Problem.of("socket.heard")
    if state == "refused":
        return Problem.of("socket.refused", problem=problem or "no reason")
    return Problem.of("socket.not_heard", problem=problem or "connecting")


class Silence:
    """Detects that one integration's webhooks do not come while the socket brings what they should
    bring.
    """

    __slots__ = ("_since_us",)

    def __init__(self) -> None:
        self._since_us = 0  # the first news of the socket that no webhook has followed; 0: none

    def update(self, seen_us: int, heard_us: int) -> bool:
        """Compare the last webhook (`seen_us`) with the last news of the socket (`heard_us`).
        Whether the silence lasts longer than any queue.
        """
        if heard_us <= seen_us or seen_us >= self._since_us > 0:
            self._since_us = 0
        if heard_us > seen_us and not self._since_us:
            self._since_us = heard_us
        return self._since_us > 0 and heard_us - self._since_us > SILENT_US


def view(
    state: str | None,
    *,
    webhook_us: int,
    webhook_behind_us: int | None,
    heard_us: int | None,
    behind_us: int | None,
) -> Json:
    """For `/readyz` and the status; `behind` of a source is how long its last new message took."""
    return {
        "webhook": {"lastAt": iso_or_none(webhook_us or None), "behindMs": _ms(webhook_behind_us)},
        "socket": {
            "state": state or "off",
            "lastAt": iso_or_none(heard_us),
            "behindMs": _ms(behind_us),
        },
    }


def _ms(us: int | None) -> int | None:
    return None if us is None else us // 1000
