"""Retention: what is old goes, batch by batch; the floor moves with it; what someone still has to
look at stays.
"""

import time
from pathlib import Path

import pytest

from server.core.times import SECOND, wall_now_us
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.journal import journal, journal_reads
from server.db.journal.journal import Delivery
from server.db.state import eventlog
from server.operation.retention import Retention
from tests.unit.databases import fresh_sqlite
from tests.unit.sockets import event

_DAY_US = 86_400 * SECOND


async def _append(database: Database, company_id: int, count: int, age_days: float) -> None:
    at_us = wall_now_us() - int(age_days * _DAY_US)

    async def write(c: Connection) -> None:
        stream = (await eventlog.lock_streams(c, [company_id], "e1"))[company_id]
        bodies = tuple(event(stream.head + n, "e1") for n in range(1, count + 1))
        await eventlog.append_events(
            c, EventBatch(company_id, "e1", stream.head + 1, bodies), at_us
        )

    await database.transaction(write)


async def test_old_events_go_with_the_floor(tmp_path: Path) -> None:
    """Several batches of one company, nothing of another; whatever moment one looks at, the log
    begins right above its floor.
    """
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        await _append(database, 1, 2_300, age_days=8)
        await _append(database, 1, 5, age_days=1)
        await _append(database, 2, 3, age_days=6.9)
        retention = Retention(database, event_days=7, journal_days=30)
        assert await retention.trim() == 2_300
        streams = await database.read(lambda c: eventlog.read_streams(c, [1, 2]))
        assert [(stream.floor, stream.head) for stream in streams.values()] == [
            (2_300, 2_305),
            (0, 3),
        ]
        kept = await database.read(lambda c: eventlog.read_events(c, 1, 0, 10_000))
        assert [seq for seq, _ in kept] == list(range(2_301, 2_306))
        assert await retention.trim() == 0


async def test_a_floor_never_moves_without_its_events(tmp_path: Path) -> None:
    """A transaction that fails after the deletion leaves both as they were."""
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        await _append(database, 1, 5, age_days=8)
        await database.transaction(_refuse_deletion)
        retention = Retention(database, event_days=7, journal_days=30)
        assert await retention.trim() == 0
        assert retention.failures == 1
        stream = (await database.read(lambda c: eventlog.read_streams(c, [1])))[1]
        assert (stream.floor, stream.head) == (0, 5)
        assert len(await database.read(lambda c: eventlog.read_events(c, 1, 0, 10))) == 5


async def test_one_company_that_cannot_be_trimmed_stops_nobody(tmp_path: Path) -> None:
    """Nor does a kind of row: those after it are trimmed in the same round, and it is counted."""
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        await _append(database, 1, 5, age_days=8)
        await database.transaction(_refuse_deletion)
        await _append(database, 2, 3, age_days=8)
        old_us = int(time.time() * SECOND) - 31 * _DAY_US
        await database.transaction(
            lambda c: journal.append_deliveries(
                c, [Delivery(uid="u1", received_us=old_us, body="{}", headers={})]
            )
        )
        await database.transaction(lambda c: journal.mark_parked(c, [(1, "ignored", "-")], old_us))
        retention = Retention(database, event_days=7, journal_days=30)
        assert await retention.trim() == 3 + 1
        assert retention.failures == 1
        streams = await database.read(lambda c: eventlog.read_streams(c, [1, 2]))
        assert [streams[one].floor for one in (1, 2)] == [0, 3]
        await database.transaction(lambda c: c.execute("DROP TRIGGER never"))
        assert await retention.trim() == 5


async def test_companies_beyond_one_round_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot be trimmed comes first each time: those behind are reached all the same."""
    monkeypatch.setattr("server.operation.retention._COMPANIES", 1)
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        await _append(database, 1, 5, age_days=8)
        await database.transaction(_refuse_deletion)
        await _append(database, 2, 3, age_days=8)
        retention = Retention(database, event_days=7, journal_days=30)
        assert [await retention.trim() for _ in range(2)] == [0, 3]


async def _refuse_deletion(connection: Connection) -> None:
    await connection.execute(
        "CREATE TRIGGER never BEFORE DELETE ON omni_inbox_events WHEN OLD.seq = 5 BEGIN SELECT "
        "RAISE(FAIL, 'not now'); END"
    )


async def test_finished_deliveries_go_and_dead_ones_stay(tmp_path: Path) -> None:
    """Those that were not taken in, for whatever reason, wait until someone has looked."""
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        old_us = wall_now_us() - 31 * _DAY_US
        deliveries = [
            Delivery(uid=f"u{n}", received_us=old_us, body="{}", headers={}) for n in range(1, 5)
        ]
        await database.transaction(lambda c: journal.append_deliveries(c, deliveries))
        await database.transaction(
            lambda c: journal.mark_parked(
                c, [(1, "ignored", "-"), (2, "dead", "-"), (3, "ignored", "-")], old_us
            )
        )
        assert await Retention(database, event_days=7, journal_days=30).trim() == 2
        rows = await database.fetch_all("SELECT id, state FROM omni_webhook_deliveries ORDER BY id")
        assert [tuple(row) for row in rows] == [(2, "dead"), (4, "received")]


async def test_deliveries_of_nobody_go_after_a_day(tmp_path: Path) -> None:
    """Ignored or dead, where no integration knew them; those of integrations stay as long as all
    others.
    """
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        now = wall_now_us()
        old, young = now - int(1.5 * _DAY_US), now - _DAY_US // 2
        stranger = {journal.STRANGER: "1"}
        given = [
            ("old", old, stranger),
            ("young", young, stranger),
            ("known", old, {}),
            ("taken", old, stranger),
            ("dead", old, stranger),
        ]
        deliveries = [
            Delivery(uid=uid, received_us=at, body="{}", headers=headers)
            for uid, at, headers in given
        ]
        await database.transaction(lambda c: journal.append_deliveries(c, deliveries))
        numbers = {
            d.uid: d.id for d in await database.read(lambda c: journal_reads.peek_deliveries(c, 10))
        }
        states = [
            (numbers[uid], "dead" if uid == "dead" else "ignored", "nobody's")
            for uid, _, _ in given
            if uid != "taken"
        ]
        await database.transaction(lambda c: journal.mark_parked(c, states, now))
        await database.transaction(lambda c: journal.mark_done(c, [numbers["taken"]], 1, now))
        assert await Retention(database, event_days=7, journal_days=30).trim() == 2
        kept = await database.fetch_all("SELECT uid FROM omni_webhook_deliveries ORDER BY uid")
        assert [uid for (uid,) in kept] == ["known", "taken", "young"]


async def test_the_audit_log_has_a_retention_of_its_own(tmp_path: Path) -> None:
    """Longer than that of events and deliveries, and an end."""
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        now_us = wall_now_us()
        rows = [
            {"at": now_us - age * _DAY_US, "act": f"{age} days ago"} for age in (401, 399, 100, 1)
        ]
        sql = (
            "INSERT INTO omni_audit_log (company_id, at, actor, act) VALUES (1, :at, 'Asha', :act)"
        )
        await database.transaction(lambda c: c.execute_many(sql, rows))
        assert await Retention(database, event_days=7, journal_days=30, audit_days=400).trim() == 1
        kept = await database.fetch_all("SELECT act FROM omni_audit_log ORDER BY at")
        assert [act for (act,) in kept] == ["399 days ago", "100 days ago", "1 days ago"]
