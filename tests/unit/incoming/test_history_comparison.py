"""The slow comparison of all history: whose turn it is, what it finds, how slow it is."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from server.chatwoot import ChatwootClient, RequestBudget, SlowBudget
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.state import history
from server.incoming.full_sync import FullSync
from server.incoming.history_comparison import HistoryComparison
from server.incoming.ingest import Ingester
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.unit.databases import fresh_sqlite
from tests.unit.integration_rows import add_integration

ACCOUNT, INBOX = 3, 12
_DAY_US = 24 * 3600 * 10**6
ClientOf = Callable[[Integration], ChatwootClient]


@asynccontextmanager
async def opened(
    tmp_path: Path,
) -> AsyncIterator[tuple[ChatwootSim, Database, HistoryComparison, list[int]]]:
    """Two integrations of one Chatwoot, inboxes 12 and 13."""
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    sim.add_inbox("Other", account=sim.account, id=INBOX + 1)
    async with (
        serving(sim),
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        directory = Directory(database, Vault(""), tolerance_seconds=300, require_signature=False)
        numbers = [
            await add_integration(database, sim, inbox_id) for inbox_id in (INBOX, INBOX + 1)
        ]
        await directory.refresh()

        def client_of(one: Integration) -> ChatwootClient:
            return ChatwootClient(
                base_url=sim.base_url, account_id=ACCOUNT, access_token=one.access_token, http=http
            )

        ingester = Ingester(database, directory, lambda batch: None, batch=10, attempts=3)
        sync = FullSync(database, directory, ingester, client_of)
        yield (
            sim,
            database,
            HistoryComparison(database, directory, sync, client_of, start_seconds=0),
            numbers,
        )


async def _count(database: Database, table: str = "social_messages", where: str = "1 = 1") -> int:
    row = await database.fetch_one(f"SELECT COUNT(*) FROM {table} WHERE {where}")
    return int(row[0]) if row else -1


async def _execute(database: Database, sql: str) -> None:
    await database.transaction(lambda c: c.execute(sql))


async def test_what_an_earlier_sync_missed_is_found(tmp_path: Path) -> None:
    """Conversations and messages that an earlier version left out, of which nothing here says
    so.
    """
    async with opened(tmp_path) as (sim, database, walk, [first, second]):
        for number in range(40):
            sim.customer_says(f"Customer {number % 30}", f"text {number}", inbox_id=INBOX)
        assert await walk.walk_next() is not None
        await _execute(database, "DELETE FROM social_messages WHERE id % 3 = 0")
        await _execute(database, "DELETE FROM social_messages WHERE conversation_id = 5")
        await _execute(database, "DELETE FROM social_conversations WHERE id = 5")
        await _execute(
            database, "UPDATE integrations SET omni_verified_at = NULL, omni_history_until = 0"
        )
        await _execute(database, "UPDATE social_conversations SET omni_verified_at = NULL")
        missing = 40 - await _count(database)
        outcome = await walk.walk_next()
        assert outcome is not None
        assert (outcome.integration_id, outcome.messages_created, outcome.errors) == (
            first,
            missing,
            [],
        )
        assert (await _count(database), await _count(database, "social_conversations")) == (40, 30)
        assert await _count(database, "integrations", "omni_verified_at IS NOT NULL") == 1
        other = await walk.walk_next()
        assert other is not None
        assert other.integration_id == second
        assert await walk.walk_next() is None, "a day passes before it begins again"


async def test_those_never_whole_come_first(tmp_path: Path) -> None:
    """Then those that were compared the longest ago; and only one at a time."""
    async with opened(tmp_path) as (_, database, _walk, [first, second]):
        now_us = database.clock.now_us()

        async def claimed(at_us: int) -> int | None:
            claim = await database.transaction(
                lambda c: history.claim(c, [first, second], at_us, at_us + 10**6)
            )
            return None if claim is None else claim.integration_id

        await _execute(database, f"UPDATE integrations SET omni_verified_at = 5 WHERE id = {first}")
        assert await claimed(now_us) == second
        assert await claimed(now_us) is None, "one is under way"
        await database.transaction(lambda c: history.release(c, second, now_us + _DAY_US))
        assert await claimed(now_us) == first
        await database.transaction(lambda c: history.release(c, first, now_us + _DAY_US))
        assert await claimed(now_us) is None
        await _execute(
            database, f"UPDATE integrations SET omni_verified_at = 4 WHERE id = {second}"
        )
        assert await claimed(now_us + 2 * _DAY_US) == second


async def test_one_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """Its process died: the next one leaves out what was verified since it began."""
    async with opened(tmp_path) as (sim, database, walk, [first, _]):
        for number in range(30):
            sim.customer_says(f"Customer {number}", "hello", inbox_id=INBOX)
        await walk.walk_next()
        now_us = database.clock.now_us()
        await _execute(
            database,
            f"UPDATE social_conversations SET omni_verified_at = {now_us - 10**6} WHERE id <= 10",
        )
        await _execute(
            database,
            f"UPDATE social_conversations SET omni_verified_at = {now_us - 10**9} WHERE id > 10",
        )
        await _execute(
            database,
            f"UPDATE integrations SET omni_history_began_at = {now_us - 10**8}, "
            f"omni_history_until = 1 WHERE id = {first}",
        )
        await _execute(
            database, f"UPDATE integrations SET omni_verified_at = NULL WHERE id = {first}"
        )
        sim.questions.log.clear()
        outcome = await walk.walk_next()
        assert outcome is not None
        assert (outcome.walked, outcome.walked_before) == (30, 10)
        assert sum("/messages" in question for question in sim.questions.log) == 20


async def test_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many requests an hour, also when several are asked for at once."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("server.chatwoot.budget.asyncio.sleep", sleep)
    budget = SlowBudget(RequestBudget(), 1_200, monotonic=lambda: 100.0)
    for _ in range(4):
        await budget.acquire(is_write=False)
    assert slept == [0.0, 3.0, 6.0, 9.0]
