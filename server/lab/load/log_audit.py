"""The event logs read whole over `GET /api/events`, after everything: what was written, against
what the server says happened.
"""

from collections import Counter
from collections.abc import Callable, Mapping

import httpx
import msgspec

from server.lab.load.message_tag import number_of

_PAGE = 1_000
_SECONDS = 60.0


class _Conversation(msgspec.Struct, rename="camel"):
    company_id: int


class _Message(msgspec.Struct):
    content: str = ""


class _Data(msgspec.Struct):
    conversation: _Conversation
    message: _Message | None = None


class _Event(msgspec.Struct):
    seq: int
    kind: str
    data: _Data


class _Page(msgspec.Struct):
    cursor: str
    events: list[_Event]
    reset: str | None = None


class Log(msgspec.Struct):
    """One company's: `numbers` of new messages by seq; `problems` as (invariant, how many)."""

    head: int
    numbers: dict[int, int]
    problems: Counter[str]


def read_logs(
    url: str, streams: Mapping[int, tuple[str, int]], token_of: Callable[[int, int], str]
) -> dict[int, Log]:
    """The whole log of each company. Raises httpx.HTTPError when the server does not answer."""
    with httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False) as client:
        return {
            company: _read_log(client, company, epoch, token_of(company, 0))
            for company, (epoch, head) in streams.items()
            if head
        }


def _read_log(client: httpx.Client, company_id: int, epoch: str, token: str) -> Log:
    log = Log(0, {}, Counter())
    while True:
        address = f"/api/events?cursor={epoch}.{log.head}&limit={_PAGE}"
        answer = client.get(address, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        page = msgspec.json.decode(answer.content, type=_Page)
        if page.reset:
            log.problems["lost"] += 1
            return log
        for event in page.events:
            if event.seq != log.head + 1:
                log.problems["disordered"] += 1
            log.head = event.seq
            if event.data.conversation.company_id != company_id:
                log.problems["foreign"] += 1
            if event.kind == "message.created" and event.data.message:
                number = number_of(event.data.message.content)
                if number is not None:
                    log.numbers[event.seq] = number
        if len(page.events) < _PAGE:
            return log
