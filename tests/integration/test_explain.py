"""The queries that are made all the time use an index, in a database that has rows."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.core.chatwoot.changes import Change, ConversationState, MessageState
from server.core.state.cursors import Stream
from server.core.state.entities import Message
from server.core.state.tracked import Source
from server.db.engine.database import (
    Connection,
    Database,
    Parameters,
    Row,
)
from server.db.journal import journal_reads, ledger_rows
from server.db.migrations import upgrade
from server.db.schema.columns import CONVERSATION_ROW, MESSAGE_ROW, time_to_column
from server.db.state import (
    deciding_messages,
    eventlog,
    lists,
    outbox,
    row_changes,
    store,
    threads,
)
from server.db.state.eventlog import Select
from server.db.state.lists import Filters
from server.db.state.outbox import Claim
from server.db.state.working_set_loads import load_working_set
from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB

_CONVERSATIONS, _MESSAGES_EACH = 2_000, 3
_COMPANIES = 10
_NOW = 1_784_365_265_000_000
pytestmark = pytest.mark.xdist_group("explain")  # they share a database that takes a while to fill

# what one row of EXPLAIN tells: MariaDB has ten columns, MySQL twelve
_MARIADB_STEP = (
    "id",
    "select_type",
    "table",
    "type",
    "possible_keys",
    "key",
    "key_len",
    "ref",
    "rows",
    "extra",
)
_MYSQL_STEP = (*_MARIADB_STEP[:3], "partitions", *_MARIADB_STEP[3:9], "filtered", "extra")
_STEP = {len(step): step for step in (_MARIADB_STEP, _MYSQL_STEP)}

# MySQL tells the statement as it understood it, in notes; the driver makes warnings of them
pytestmark = pytest.mark.filterwarnings("ignore:(/. select#|Field or reference)")


def _ledger_page(c: Connection) -> Awaitable[object]:
    return ledger_rows.list_deliveries(
        c, state=None, since_us=_NOW, integration_id=None, limit=50, integration_ids={1, 2}
    )


_MESSAGE = Message(100, 33, "customer", "x", _NOW + 1, chatwoot_message_id=331)

Query = Callable[[Connection], Awaitable[Any]]
QUERIES: dict[str, Query] = {
    "list": lambda c: lists.list_conversations(c, 3, 1, Filters(), 50),
    "list by status": lambda c: lists.list_conversations(c, 3, 1, Filters(status="Open"), 50),
    "next page": lambda c: lists.list_conversations(
        c, 3, 1, Filters(status="Open", before=(_NOW, 500)), 50
    ),
    "conversation": lambda c: store.read_conversation(c, 3, 33),
    "thread": lambda c: threads.read_messages(c, 3, 33, limit=50),
    "end of a thread": lambda c: threads.read_messages(c, 3, 33, limit=1),
    "thread before a message": lambda c: threads.read_messages(c, 3, 33, limit=2, before=_MESSAGE),
    "ledger by text": lambda c: ledger_rows.find_messages(c, 3, "late", _NOW, 50),
    "ledger by number": lambda c: ledger_rows.find_messages(c, 3, "331", _NOW, 50),
    "ledger's deliveries": lambda c: _ledger_page(c),
    "events of a message": lambda c: ledger_rows.read_events_of(c, 3, 100, (_NOW, _NOW + 1), 50),
    "deliveries of a moment": lambda c: ledger_rows.read_deliveries_at(c, 3, _NOW, 50),
    "messages looked at": lambda c: threads.read_seen_since(
        c, [(33, _NOW - 10_000_000, _NOW), (34, _NOW - 10_000_000, _NOW)]
    ),
    "messages that decide a row": lambda c: deciding_messages.read_deciding(c, {33: [100], 34: []}),
    "newest messages": lambda c: deciding_messages.read_newest(c, [33, 34]),
    "messages unseen": lambda c: threads.read_unseen(c, 3, 33, 100, 50),
    "messages read": lambda c: threads.count_inbound(c, _MESSAGE),
    "events after a cursor": lambda c: eventlog.read_events(c, 3, 100, 500),
    "heads": lambda c: eventlog.read_streams(c, [1, 2, 3]),
    "working set of a batch": lambda c: load_working_set(c, _told()),
    "oldest deliveries": lambda c: journal_reads.read_oldest(c, 24),
    "turns by company": lambda c: journal_reads.read_turns(c, 300, {7}),
    "a company's deliveries": lambda c: journal_reads.read_ids(c, 3, 300),
    "deliveries by number": lambda c: journal_reads.read_by_ids(c, [5_001, 5_002]),
    "deliveries still to be done": lambda c: c.fetch_each(
        journal_reads.lock_waiting("mysql", [5_001, 5_002])
    ),
    "retries that are due": lambda c: journal_reads.read_due_retries(c, _NOW, 20),
    "companies that wait": lambda c: journal_reads.read_companies(c),
    "claim of replies": lambda c: outbox.claim_replies(
        c, Claim(_NOW, 1, 1, 8, at_work=[5], full=[6])
    ),
    "a reply written again": lambda c: outbox.read_repeated(c, 33, 1, "auto.1", "auto.2"),
    "last landing": lambda c: outbox.read_last_landing(c, [1, 2], _NOW, _NOW + 1),
    "floor of a look-up": lambda c: outbox.read_floor(c, _MESSAGE),
    "list of what was not sent": lambda c: lists.list_conversations(
        c, 3, 1, Filters(is_unsent=True), 50
    ),
    "count of what was not sent": lambda c: lists.count_unsent(c, 3),
    "unread by view": lambda c: lists.count_unread(c, 3, 1),
    "read mark": lambda c: lists.read_read_count(c, 1, 33),
}


def _told() -> list[tuple[Source, Change]]:
    """Messages of two integrations, with Chatwoot's id and without."""
    return [
        (
            Source(integration_id, 3),
            Change(
                None,
                None,
                ConversationState(number),
                MessageState("customer", "text", _NOW, message_id),
                _NOW,
            ),
        )
        for integration_id, number, message_id in ((3, 33, 1_033), (3, 34, None), (4, 33, 2_033))
    ]


class Explaining(Connection):
    """A connection that explains each SELECT before it runs it."""

    def __init__(self, raw: Connection) -> None:
        super().__init__(raw.raw, raw.dialect)
        self.plans: list[dict[str, Any]] = []

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Any:
        await self._explain(sql, parameters)
        return await super().fetch_all(sql, parameters)

    async def fetch_each(self, *selects: Select) -> Any:
        for sql, parameters in selects:
            await self._explain(sql, parameters)
        return await super().fetch_each(*selects)

    async def _explain(self, sql: str, parameters: Parameters | None) -> None:
        if sql.lstrip().startswith("SELECT"):
            plan: list[Row] = list(await super().fetch_all(f"EXPLAIN {sql}", parameters))
            self.plans += [dict(zip(_STEP[len(row)], row, strict=True)) for row in plan]


@pytest.fixture(scope="module")
def filled_url(shared_mariadb: MariaDB) -> str:
    """A MariaDB with some thousands of rows in each table that grows."""
    shared_mariadb.ensure_running()
    url = shared_mariadb.create_database()
    upgrade(url)

    async def fill() -> None:
        async with Database(url, wait_seconds=scaled(60)) as database:
            await database.transaction(_fill)

    asyncio.run(fill())
    return url


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[Database]:
    async with Database(filled_url, wait_seconds=scaled(10)) as database:
        yield database


async def _fill(connection: Connection) -> None:
    conversations = [_conversation(n) for n in range(1, _CONVERSATIONS + 1)]
    await connection.execute_many(row_changes.INSERTS["social_conversations"], conversations)
    messages = [_message(c, n) for c in range(1, _CONVERSATIONS + 1) for n in range(_MESSAGES_EACH)]
    await connection.execute_many(row_changes.INSERTS["social_messages"], messages)
    events = [{"c": 1 + n % _COMPANIES, "s": 1 + n // _COMPANIES, "b": "{}"} for n in range(5_000)]
    await connection.execute_many(
        "INSERT INTO omni_inbox_events (company_id, seq, created_at, body) VALUES (:c, :s, 1, :b)",
        events,
    )
    streams = [{"c": n, "e": "epoch"} for n in range(1, 500)]
    await connection.execute_many(
        "INSERT INTO omni_inbox_streams (company_id, epoch, head) VALUES (:c, :e, 500)", streams
    )
    done = [{"u": f"uid-{n}"} for n in range(5_000)]
    await connection.execute_many(
        "INSERT INTO omni_webhook_deliveries (uid, received_at, state, body) VALUES (:u, 1, "
        "'done', 'x')",
        done,
    )
    waiting = [{"u": f"waiting-{n}", "c": 1 + n % _COMPANIES} for n in range(2_000)]
    await connection.execute_many(
        "INSERT INTO omni_webhook_deliveries (uid, received_at, company_id, body) VALUES (:u, 1, "
        ":c, 'x')",
        waiting,
    )
    for table in (
        "social_conversations",
        "social_messages",
        "omni_inbox_events",
        "omni_webhook_deliveries",
    ):
        await connection.fetch_all(f"ANALYZE TABLE {table}")


def _conversation(n: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(CONVERSATION_ROW)
    at = time_to_column(_NOW - n * 1_000_000)
    row |= {
        "company_id": 1 + n % _COMPANIES,
        "platform": "chatwoot",
        "status": "Open" if n % 3 else "Closed",
        "last_message_at": at,
    }
    row |= {
        "omni_integration_id": 1 + n % _COMPANIES,
        "omni_chatwoot_conversation_id": n,
        "omni_chatwoot_version": 1,
        "omni_inbound_count": 1,
        "omni_seq": n,
    }
    row |= {"omni_read_count": 0, "omni_read_to": 0, "omni_told_at": 0}
    row |= {"omni_is_unsent": n % 500 == 2}
    return row


def _message(conversation_id: int, n: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(MESSAGE_ROW)
    row |= {
        "conversation_id": conversation_id,
        "sender_type": "customer",
        "content": "x",
        "created_at": time_to_column(_NOW + n),
    }
    row |= {
        "omni_chatwoot_message_id": conversation_id * 10 + n,
        "omni_chatwoot_version": 1,
        "omni_told_at": 1,
        "omni_seq": 1,
    }
    row |= {
        "omni_is_private": False,
        "omni_is_deleted": False,
        "omni_delivery_attempts": 0,
        "omni_is_outcome_unknown": False,
    }
    return row


@pytest.mark.parametrize("name", QUERIES)
async def test_a_hot_query_uses_an_index(filled: Database, name: str) -> None:
    """No table is scanned, and none is sorted on disk for a page."""

    async def explain(connection: Connection) -> list[dict[str, Any]]:
        explaining = Explaining(connection)
        await QUERIES[name](explaining)
        return explaining.plans

    plans = await filled.transaction(explain)
    assert plans, "the query was not explained"
    for step in plans:
        if str(step["table"]).startswith("<derived"):
            continue  # the few rows that an inner SELECT has found; that one is a step of its own
        assert step["type"] != "ALL", step
        is_constant = step["table"] is None
        assert is_constant or step["key"] is not None, step


async def test_unread_is_counted_by_indexes_in_sqlite(tmp_path: Path) -> None:
    """The company's conversations by its index, the agent's marks by their key: nothing of another
    company or agent is read.
    """
    file = tmp_path / "omni.db"
    upgrade(f"sqlite:///{file}")
    asked: list[tuple[str, Parameters]] = []

    class Noting(Connection):
        async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Any:
            asked.append((sql, parameters or {}))
            return await super().fetch_all(sql, parameters)

    async with Database(f"sqlite:///{file}") as database:
        await database.transaction(lambda c: lists.count_unread(Noting(c.raw, c.dialect), 3, 1))
    [(sql, parameters)] = asked
    with closing(sqlite3.connect(file)) as plain:
        steps = [
            str(row[3]) for row in plain.execute(f"EXPLAIN QUERY PLAN {sql}", dict(parameters))
        ]
    read = [step for step in steps if " c " in step or " r " in step]
    assert [step.split(" USING ")[0] for step in read] == ["SEARCH c", "SEARCH r"], steps
    assert "(company_id=?" in read[0], steps
    assert "(agent_id=? AND conversation_id=?)" in read[1], steps


async def test_streams_are_locked_by_their_key(filled: Database) -> None:
    """The lock that orders a company's changes touches that company's row alone."""

    async def lock(connection: Connection) -> tuple[list[dict[str, Any]], dict[int, Stream]]:
        explaining = Explaining(connection)
        streams = await eventlog.lock_streams(explaining, [3], "unused")
        return explaining.plans, streams

    plans, streams = await filled.transaction(lock)
    assert streams[3].head == 500
    assert [(step["key"], int(step["rows"])) for step in plans] == [("PRIMARY", 1)]


async def test_a_text_is_looked_for_in_active_conversations_alone(filled: Database) -> None:
    """The ledger's search: the company's conversations since the moment, by the index, and their
    messages; old ones are not touched.
    """

    async def search(connection: Connection) -> list[dict[str, Any]]:
        explaining = Explaining(connection)
        await ledger_rows.find_messages(explaining, 3, "late", _NOW - 100_000_000, 50)
        return explaining.plans

    plans = {step["table"]: step for step in await filled.transaction(search)}
    assert (plans["c"]["type"], plans["c"]["key"]) == ("range", "omni_ix_conversation_list")
    assert int(plans["c"]["rows"]) < _CONVERSATIONS / _COMPANIES / 2
    assert plans["m"]["type"] == "ref"
