"""What customers are shown of an agent's typing ends as the agent ended it."""

import asyncio
from types import SimpleNamespace
from typing import Any

from server.db.state.read_state import Place
from server.outgoing.customer_typing import CustomerTyping

COMPANY, CONVERSATION, AGENT = 1, 17, 5


class _Reads:
    """Look-ups that are answered in the order in which a test says so."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Place]] = []

    async def read(self, _: object) -> Place:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]

    async def answer(self, place: int) -> None:
        self.waiting[place].set_result(Place(1, 42, "Channel::WebWidget"))
        await _settled()


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _typing(reads: _Reads) -> tuple[CustomerTyping, list[bool]]:
    integration = SimpleNamespace(is_active=True, base_url="https://chat.example")
    directory: Any = SimpleNamespace(of_company=lambda *_: integration)
    database: Any = reads
    client: Any = None
    typing: Any = CustomerTyping(database, directory, client)
    told: list[bool] = []
    typing._work = SimpleNamespace(submit=lambda _address, _key, wish: told.append(wish.is_typing))
    return typing, told


async def test_a_beginning_that_is_looked_up_late_does_not_follow_the_end() -> None:
    """A reply that is written and sent in no time: else the customer would wait for another."""
    reads = _Reads()
    typing, told = _typing(reads)
    for on in (True, False):
        typing.say(COMPANY, CONVERSATION, AGENT, on=on)
        await _settled()
    await reads.answer(1)
    await reads.answer(0)
    assert told == [False]


async def test_an_end_that_is_looked_up_late_does_not_follow_the_next_beginning() -> None:
    reads = _Reads()
    typing, told = _typing(reads)
    for on in (True, False, True):
        typing.say(COMPANY, CONVERSATION, AGENT, on=on)
        await _settled()
    for place in (0, 2, 1):
        await reads.answer(place)
    assert told == [True, True]
