"""How long a company stood still: from a webhook's 200 until one of the company's agents hears of
it.

All times are seconds of the monotonic clock of this process.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

_TURN_SECONDS = 0.1

Interval = tuple[float, float]


@dataclass
class Window:
    """A time in which a standstill has a reason that nobody but the reason itself can end.
    `company_id` None: for all of them. `texts` None: whatever waits; else these messages alone.
    """

    reason: str
    company_id: int | None
    start: float
    grace_seconds: float
    end: float = math.inf  # with the grace
    texts: frozenset[str] | None = None

    def holds(self, journey: "Journey") -> bool:
        """Whether it is a reason for this one."""
        is_theirs = self.company_id in (None, journey.company_id)
        return is_theirs and (self.texts is None or journey.text in self.texts)

    @property
    def interval(self) -> Interval:
        return self.start, self.end


@dataclass
class Journey:
    """One thing on its way: a customer's message from its 200 to the agents, or an agent's reply
    from the first try to its 200.
    """

    company_id: int
    text: str
    start: float
    end: float = math.inf

    @property
    def seconds(self) -> float:
        return self.end - self.start


class Meter:
    """Collects journeys, windows and refusals; judged at the end by `worst` and `late`."""

    def __init__(self) -> None:
        self.messages: dict[str, Journey] = {}
        self.replies: list[Journey] = []
        self.windows: list[Window] = []
        self.deaths: list[float] = []  # when a process ended or stood still while it held locks
        # (when, status) of webhooks that were answered, but not with 200
        self.refused: list[tuple[float, int]] = []
        # of our own loop, in which all proxies and the simulated Chatwoot live
        self.longest_turn_seconds = 0.0
        self._heard: dict[str, float] = {}

    # what happens

    async def watch_own_turns(self) -> None:
        """Until cancelled: how late our own loop is. Where it is seconds, it is the harness that
        stood still.
        """
        while True:
            began = time.monotonic()
            await asyncio.sleep(_TURN_SECONDS)
            self.longest_turn_seconds = max(
                self.longest_turn_seconds, time.monotonic() - began - _TURN_SECONDS
            )

    def acknowledged(self, company_id: int, text: str) -> None:
        now = time.monotonic()
        heard = self._heard.get(text, math.inf)
        self.messages.setdefault(text, Journey(company_id, text, min(now, heard), heard))

    def refuse(self, status: int) -> None:
        self.refused.append((time.monotonic(), status))

    def note_death(self) -> None:
        """A process holds locks and will do nothing more: they are given back after a while, which
        begins now.
        """
        self.deaths.append(time.monotonic())

    def heard(self, text: str) -> None:
        """The first of a company's agents counts."""
        now = self._heard.setdefault(text, time.monotonic())
        if (journey := self.messages.get(text)) is not None:
            journey.end = min(journey.end, now)

    def replied(self, company_id: int, text: str, start: float) -> None:
        self.replies.append(Journey(company_id, text, start, time.monotonic()))

    @contextlib.contextmanager
    def excused(
        self,
        reason: str,
        company_id: int | None = None,
        *,
        grace_seconds: float = 10.0,
        texts: frozenset[str] | None = None,
    ) -> Iterator[Window]:
        """While inside, and for the grace after it, waiting counts as nobody's fault."""
        window = Window(reason, company_id, time.monotonic(), grace_seconds, texts=texts)
        self.windows.append(window)
        try:
            yield window
        finally:
            window.end = time.monotonic() + grace_seconds

    # what it came to

    def unexcused_seconds(self, journey: Journey) -> float:
        """The longest time that it stood still because of one thing, without the windows.

        Who dies while holding locks holds others up for the limit of an idle transaction; who dies
        after that, anew. So deaths part a standstill: the promise is made for each of them.
        """
        windows = [window.interval for window in self.windows if window.holds(journey)]
        edges = [
            journey.start,
            *sorted(at for at in self.deaths if journey.start < at < journey.end),
            journey.end,
        ]
        return max(end - start - covered((start, end), windows) for start, end in pairwise(edges))

    def worst(self, journeys: Iterable[Journey]) -> dict[int, float]:
        """The longest unexcused standstill of each company."""
        found: defaultdict[int, float] = defaultdict(float)
        for journey in journeys:
            found[journey.company_id] = max(
                found[journey.company_id], self.unexcused_seconds(journey)
            )
        return dict(sorted(found.items()))

    def late(self, journeys: Iterable[Journey], most_seconds: float) -> list[Journey]:
        """Those with a longer unexcused standstill, the longest first."""
        found = [one for one in journeys if self.unexcused_seconds(one) > most_seconds]
        return sorted(found, key=self.unexcused_seconds, reverse=True)

    def refused_without_reason(self) -> Counter[int]:
        """Statuses of webhooks that were refused while nothing was wrong with the database."""
        windows = [w.interval for w in self.windows if w.company_id is None and w.texts is None]
        return Counter(
            status for at, status in self.refused if not any(a <= at <= b for a, b in windows)
        )

    def finish(self) -> None:
        """What was not heard by now has stood still until now."""
        now = time.monotonic()
        for journey in self.messages.values():
            journey.end = min(journey.end, now)
        for window in self.windows:
            window.end = min(window.end, now)


def covered(whole: Interval, parts: Iterable[Interval]) -> float:
    """How many seconds of `whole` lie in one of `parts`, which may overlap."""
    seconds, reached = 0.0, whole[0]
    for start, end in sorted(parts):
        start, end = max(start, reached), min(end, whole[1])
        if end > start:
            seconds, reached = seconds + end - start, end
    return seconds
