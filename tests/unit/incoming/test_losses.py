"""Late or lost: what asking found first is judged by what the journal got."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from server.core.times import iso
from server.db.engine.database import Database
from server.db.journal import finds, journal
from server.db.journal.finds import Find
from server.db.journal.journal import Delivery
from server.incoming.losses import Losses
from tests.unit.databases import fresh_sqlite

_HOUR_US = 3_600 * 10**6


@asynccontextmanager
async def _opened(tmp_path: Path) -> AsyncIterator[tuple[Database, Losses]]:
    async with Database(fresh_sqlite(tmp_path / "losses.db")) as database:
        await database.transaction(
            lambda c: c.execute(
                "INSERT INTO integrations (id, company_id, provider) VALUES (1, 1, 'chatwoot')"
            )
        )
        yield database, Losses(database, 3_600)


async def _found(database: Database, kind: str, number: int, seconds_ago: float) -> None:
    now_us = database.clock.now_us()
    find = Find(1, kind, number, now_us - 2 * _HOUR_US, now_us - int(seconds_ago * 1e6))
    await database.transaction(lambda c: finds.append_finds(c, [find]))


async def _deliver(
    database: Database,
    event: str,
    number: int,
    seconds_ago: float = 0,
    uid: str = "",
    *,
    late_seconds: float = 0,
) -> None:
    received_us = database.clock.now_us() - int(seconds_ago * 1e6)
    payload = {
        "event": event,
        "id": number,
        "content": "hello",
        "message_type": "incoming",
        "created_at": iso(received_us - int(late_seconds * 1e6)),
        "conversation": {"id": 9, "updated_at": 1_700_000_000.5},
    }
    fields: dict[str, Any] = {
        "uid": uid or f"{event}{number}{seconds_ago}",
        "received_us": received_us,
        "body": json.dumps(payload),
    }
    delivery = Delivery(**fields, integration_id=1, is_verified=True, headers={})
    await database.transaction(lambda c: journal.append_deliveries(c, [delivery]))


async def _states(database: Database) -> dict[int, str]:
    rows = await database.fetch_all("SELECT number, state FROM omni_found_by_asking")
    return {int(row[0]): str(row[1]) for row in rows}


async def _count(database: Database) -> int:
    row = await database.fetch_one("SELECT omni_repaired_count FROM integrations WHERE id = 1")
    return int(row[0]) if row else -1


async def test_a_late_webhook_is_not_lost(tmp_path: Path) -> None:
    """Found at 10 minutes ago, its webhook came since: late. Another one may still come, a third
    one has had its hour: lost.
    """
    async with _opened(tmp_path) as (database, losses):
        await _found(database, "message", 5, 600)
        await _found(database, "message", 6, 600)
        await _found(database, "message", 7, 3_700)
        await _deliver(database, "message_created", 5, 300)
        await losses.judge()
        assert await _states(database) == {5: "late", 6: "open", 7: "lost"}
        assert await _count(database) == 1
        await _deliver(database, "message_created", 6)
        await losses.judge()
        assert await _states(database) == {5: "late", 6: "late", 7: "lost"}
        await losses.judge()
        assert await _count(database) == 1


async def test_a_webhook_that_waited_in_the_journal_had_come(tmp_path: Path) -> None:
    """It came just before the asking and was taken in after it."""
    async with _opened(tmp_path) as (database, losses):
        await _deliver(database, "message_created", 5, 3_710)
        await _found(database, "message", 5, 3_700)
        await losses.judge()
        assert await _states(database) == {5: "late"}


async def test_the_webhook_of_before_an_edit_says_nothing_of_it(tmp_path: Path) -> None:
    """Only one that came after it was found is the edit's own."""
    async with _opened(tmp_path) as (database, losses):
        await _deliver(database, "message_created", 5, 3_710)
        await _found(database, "edit", 5, 3_700)
        await _found(database, "edit", 6, 3_700)
        await _deliver(database, "message_updated", 6, 60)
        await losses.judge()
        assert await _states(database) == {5: "lost", 6: "late"}


async def test_two_processes_count_a_loss_once(tmp_path: Path) -> None:
    """Both judge."""
    async with _opened(tmp_path) as (database, losses):
        await _found(database, "message", 7, 3_700)
        for one in (losses, Losses(database, 3_600)):
            await one.judge()
        assert (await _states(database), await _count(database)) == ({7: "lost"}, 1)


async def test_how_late_is_told_by_the_journal(tmp_path: Path) -> None:
    """For a command, which has heard nothing itself. A message of last year, written down only now,
    was not late.
    """
    async with _opened(tmp_path) as (database, losses):
        assert await losses.recent_delay(1) is None
        await _deliver(database, "message_created", 4, late_seconds=365 * 86_400)
        assert await losses.recent_delay(1) is None
        await _deliver(database, "message_created", 5, late_seconds=43)
        assert round(await losses.recent_delay(1) or 0) == 43
        today = await database.read(lambda c: finds.read_losses(c, {1}, 0))
        assert (today.came, today.lost, today.late) == (2, 0, 0)
