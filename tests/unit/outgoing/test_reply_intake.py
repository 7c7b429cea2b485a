"""Replies as agents hand them in."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.core.times import SECOND, wall_now_us
from server.errors import DatabaseUnavailable
from tests.kit.eventually import eventually
from tests.unit.outgoing.reply_desk import AGENT, desk


async def test_a_second_one_without_a_key_is_the_first(tmp_path: Path) -> None:
    """A double click, a retry after a lost answer: within a minute, and before the customer wrote
    again. Everything else is meant.
    """
    async with desk(tmp_path) as one:

        async def numbers(**other: Any) -> tuple[int, bool]:
            given: dict[str, Any] = {
                "agent": AGENT,
                "conversation_id": 1,
                "content": "yes",
                "key": None,
                "last_seen": None,
            } | other
            message, is_new = await one.intake.submit(**given)
            return message.id, is_new

        first, is_new = await numbers()
        assert is_new
        assert await numbers() == (first, False)
        for other in (
            {"content": "Yes"},
            {"is_private": True},
            {"agent": msgspec.structs.replace(AGENT, id=2)},
            {"key": "own-1"},
        ):
            assert (await numbers(**other))[1], other
        assert await numbers() == (first, False)
        await one.customer_writes()
        second, is_new = await numbers()
        assert is_new, "the customer has asked something else"
        assert await numbers() == (second, False)
        older = f"auto.{wall_now_us() - 61 * SECOND:014x}.x"
        await one.database.transaction(
            lambda c: c.execute(
                "UPDATE social_messages SET omni_client_id = :key WHERE id = :id",
                {"key": older, "id": second},
            )
        )
        third, is_new = await numbers()
        assert is_new, "a minute is over"
        await one.database.transaction(
            lambda c: c.execute(
                "UPDATE social_messages SET omni_delivery_state = 'failed' WHERE id = :id",
                {"id": third},
            )
        )
        assert (await numbers())[1], "it did not reach Chatwoot, and the agent tries again"


async def test_long_replies_wait_for_the_database_up_to_so_many_bytes(tmp_path: Path) -> None:
    """The one too many is refused at once, and kept nowhere."""
    holds, gate = asyncio.Event(), asyncio.Event()

    async def hold(c: Any) -> None:
        holds.set()
        await gate.wait()

    async with desk(tmp_path) as one, asyncio.TaskGroup() as group:
        one.database._max_held_bytes = 150_000
        group.create_task(one.database.transaction(hold, wait_seconds=60))
        await holds.wait()
        long = "x" * 100_000
        first = group.create_task(one.intake.submit(AGENT, 1, long, key="first", last_seen=None))
        await eventually(lambda: one.database.waiting == 1)
        with pytest.raises(DatabaseUnavailable):
            await one.intake.submit(AGENT, 1, long, key="second", last_seen=None)
        gate.set()
        assert (await first)[1]
        _, is_new = await one.intake.submit(AGENT, 1, long, key="second", last_seen=None)
        assert is_new
