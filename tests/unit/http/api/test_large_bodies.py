"""Large webhook bodies at one time: bounded in bytes, and no sender takes all of it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from server.errors import TooManyRequests, Unavailable
from server.http.api.large_bodies import LargeBodies
from server.http.api.strangers import Strangers
from tests.kit.eventually import eventually

MB = 1_000_000


async def test_one_sender_leaves_room_for_the_next() -> None:
    """Whoever sends as many as it can: the next sender's body is read at once, and the one
    after.
    """
    bodies = LargeBodies(48 * MB, 16 * MB, max_wait_seconds=0)
    async with AsyncExitStack() as stack:
        for sender in ("one", "two", "three", "four"):
            await stack.enter_async_context(bodies.reading(sender, 5 * MB))
            for _ in range(20):
                try:
                    await stack.enter_async_context(bodies.reading(sender, 5 * MB))
                except Unavailable:
                    break
            assert bodies.reserved <= 48 * MB
    assert bodies.reserved == 0


async def test_who_waits_is_let_in_when_there_is_room() -> None:
    """Those of the sender that has least first; a wait that is given up takes nothing."""
    bodies, order = LargeBodies(10 * MB, 10 * MB, max_wait_seconds=60), list[str]()

    async def read(sender: str) -> None:
        async with bodies.reading(sender, 6 * MB):
            order.append(sender)

    async with asyncio.TaskGroup() as group, bodies.reading("large", 8 * MB):
        group.create_task(read("large"))
        given_up = group.create_task(read("gone"))
        group.create_task(read("next"))
        await eventually(lambda: bodies.waiting == 3, 30)
        given_up.cancel()
    assert sorted(order) == ["large", "next"]
    assert (bodies.reserved, bodies.waiting) == (0, 0)


async def test_no_room_in_time_is_said() -> None:
    """503: it could not be read."""
    bodies = LargeBodies(10 * MB, 10 * MB, max_wait_seconds=0.01)
    async with bodies.reading("one", 8 * MB):
        with pytest.raises(Unavailable, match="Too many large webhooks"):
            async with bodies.reading("two", 8 * MB):
                pass
    assert (bodies.reserved, bodies.waiting) == (0, 0)


async def test_a_company_with_many_addresses_is_one_sender() -> None:
    """Known senders and strangers have rooms of their own; a company that signs from a hundred
    addresses has one part.
    """
    strangers = Strangers(0, 100 * MB)
    for number in range(100):
        strangers.note_verified(f"203.0.113.{number}", 1)
    strangers.note_verified("198.51.100.1", 2)
    async with AsyncExitStack() as stack:
        for _ in range(3):  # what strangers may have
            await stack.enter_async_context(strangers.reading("192.0.2.1", 5 * MB))
        with pytest.raises(TooManyRequests):
            await stack.enter_async_context(strangers.reading("192.0.2.2", 5 * MB))
        async with asyncio.TaskGroup() as group:
            hundred = [
                group.create_task(
                    stack.enter_async_context(strangers.reading(f"203.0.113.{n}", 5 * MB))
                )
                for n in range(100)
            ]
            await asyncio.wait(hundred, timeout=0.1)
            assert sum(task.done() for task in hundred) == 3
            await stack.enter_async_context(strangers.reading("198.51.100.1", 5 * MB))
            for task in hundred:
                task.cancel()


async def test_an_address_that_many_companies_share_is_a_sender_of_its_own() -> None:
    """A hosted Chatwoot: none of its companies is held up by what another one sends from
    elsewhere.
    """
    strangers = Strangers(0, 100 * MB)
    for company in (1, 2, 3):
        strangers.note_verified("198.51.100.7", company)
    strangers.note_verified("203.0.113.9", 1)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(strangers.reading("203.0.113.9", 5 * MB))
        for _ in range(3):
            await stack.enter_async_context(strangers.reading("198.51.100.7", 5 * MB))
