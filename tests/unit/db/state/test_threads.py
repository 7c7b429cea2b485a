"""Pages of a thread, what an agent has not seen and what has been read: in the one order, on both
databases.
"""

import contextlib
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from server.core.state.entities import Conversation, Message
from server.core.state.thread_order import place_of
from server.core.times import SECOND
from server.db.engine.database import (
    Connection,
    Database,
    Parameters,
    Row,
)
from server.db.migrations import upgrade
from server.db.schema import columns
from server.db.state import row_changes, threads
from tests.unit.databases import fresh_sqlite
from tests.unit.states import at

_COMPANY = 3
_CONVERSATION = Conversation(0, _COMPANY, "chatwoot", None, "Ana", "Open", None, None, None)


async def _keep(c: Connection, messages: Sequence[Message]) -> tuple[int, list[Message]]:
    """A conversation with these; returns them as they are kept."""
    conversation_id = await c.insert(
        row_changes.INSERTS["social_conversations"], columns.conversation_to_row(_CONVERSATION)
    )
    kept = []
    for message in messages:
        row = replace(message, conversation_id=conversation_id)
        kept.append(
            replace(
                row,
                id=await c.insert(
                    row_changes.INSERTS["social_messages"], columns.message_to_row(row)
                ),
            )
        )
    return conversation_id, kept


def _mixture(chance: random.Random) -> list[Message]:
    """Numbered and not, by the second and by the millisecond, some without a time, as they may
    come.
    """
    messages = []
    for number in range(1, 41):
        created_us = at(chance.choice([5, 5.204, 5.9, 6, 6.4, 7, 9.5]))
        if chance.random() < 0.4:
            created_us -= created_us % SECOND
        messages.append(
            Message(
                0,
                0,
                chance.choice(["customer", "agent"]),
                "x",
                None if chance.random() < 0.05 else created_us,
                chatwoot_message_id=None if chance.random() < 0.2 else number,
                is_private=chance.random() < 0.1,
            )
        )
    chance.shuffle(messages)
    return messages


@pytest.mark.parametrize("seed", range(4))
async def test_pages_of_any_size_are_the_thread(database_url: str, seed: int) -> None:
    """Nothing twice, nothing left out, also where a page ends inside a second."""
    upgrade(database_url)

    async def work(c: Connection) -> None:
        conversation_id, kept = await _keep(c, _mixture(random.Random(seed)))
        whole = sorted(kept, key=place_of)
        for limit in (1, 2, 3, 7, 40, 100):
            pages: list[Message] = []
            page = await threads.read_messages(c, _COMPANY, conversation_id, limit=limit)
            while page:
                pages = page + pages
                page = await threads.read_messages(
                    c, _COMPANY, conversation_id, limit=limit, before=page[0]
                )
            assert pages == whole, limit
        for n, message in enumerate(whole, start=1):
            read = sum(m.sender_type == "customer" and not m.is_private for m in whole[:n])
            assert await threads.count_inbound(c, message) == read
        assert await threads.read_messages(c, _COMPANY + 1, conversation_id, limit=5) == []

    async with Database(database_url, wait_seconds=30) as database:
        await database.transaction(work)


async def test_what_came_since_is_unseen_wherever_it_stands(database_url: str) -> None:
    """A message whose webhook was late stands above the one an agent saw last, and holds the reply
    back; history does not.
    """
    upgrade(database_url)
    told = [
        Message(0, 0, "customer", "seen", at(700), chatwoot_message_id=90),
        Message(0, 0, "customer", "late", at(640), chatwoot_message_id=89),
        Message(0, 0, "customer", "history", at(5), chatwoot_message_id=7),
        Message(0, 0, "agent", "note", at(710), chatwoot_message_id=91, is_private=True),
        Message(0, 0, "customer", "next", at(720), chatwoot_message_id=92),
    ]

    async def work(c: Connection) -> list[str]:
        conversation_id, kept = await _keep(c, told)
        unseen = await threads.read_unseen(c, _COMPANY, conversation_id, kept[0].id, 10)
        assert await threads.read_unseen(c, _COMPANY + 1, conversation_id, kept[0].id, 10) == []
        return [message.content for message in unseen]

    async with Database(database_url, wait_seconds=30) as database:
        assert await database.transaction(work) == ["late", "next"]


class _Listening(Connection):
    """Keeps what it is asked."""

    def __init__(self, other: Connection) -> None:
        super().__init__(other.raw, other.dialect)
        self.asked: list[tuple[str, Any]] = []

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        self.asked.append((sql, parameters))
        return await super().fetch_all(sql, parameters)


async def test_sqlite_finds_a_page_by_the_index(tmp_path: Path) -> None:
    """Nothing is scanned, and what is sorted is a page: the messages of the seconds it lies in."""
    path = tmp_path / "threads.db"
    async with Database(fresh_sqlite(path)) as database:

        async def work(c: Connection) -> list[tuple[str, Any]]:
            conversation_id, kept = await _keep(c, _mixture(random.Random(1)))
            listening = _Listening(c)
            before = next(message for message in kept if message.created_us is not None)
            await threads.read_messages(listening, _COMPANY, conversation_id, limit=5)
            await threads.read_messages(
                listening, _COMPANY, conversation_id, limit=5, before=before
            )
            await threads.read_unseen(listening, _COMPANY, conversation_id, before.id, 5)
            await threads.count_inbound(listening, before)
            await threads.read_seen_since(
                listening, [(conversation_id, at(0), at(9)), (conversation_id + 1, at(0), at(9))]
            )
            return listening.asked

        asked = await database.transaction(work)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        plans = [
            [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            for sql, values in asked
        ]
    for (sql, _), plan in zip(asked, plans, strict=True):
        assert not [step for step in plan if step.startswith("SCAN")], (sql, plan)
        # what is not sorted may come by either index that begins with the conversation: to SQLite
        # they cost the same
        wanted = "omni_ix_message_thread" if "ORDER BY" in sql else "INDEX"
        assert [step for step in plan if wanted in step or "INTEGER PRIMARY KEY" in step], (
            sql,
            plan,
        )
