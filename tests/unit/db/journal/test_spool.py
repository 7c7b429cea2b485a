"""The spool: durable, in order, bounded by what it holds, and never stopped by one delivery."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.db.engine.database import Connection, Database
from server.db.journal import journal_reads
from server.db.journal.journal import Delivery
from server.db.journal.spool import Spool
from server.db.journal.spool_rows import SpoolFull
from server.incoming.recorder import Recorder
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite

_MOST_BYTES = 400_000


def _delivery(number: int, size: int = 100) -> Delivery:
    return Delivery(
        uid=f"uid-{number}", received_us=number, body="x" * size, headers={}, is_verified=True
    )


@contextlib.asynccontextmanager
async def _spool(path: Path) -> AsyncIterator[Spool]:
    async with Spool(str(path), _MOST_BYTES) as spool:
        yield spool


async def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    """In the order in which it came."""
    async with _spool(tmp_path / "spool.db") as spool:
        await spool.append([_delivery(1), _delivery(2)])
        await spool.append([_delivery(3)])
    async with _spool(tmp_path / "spool.db") as spool:
        assert spool.waiting == 3
        assert [delivery.uid for _, delivery in await spool.read(10)] == ["uid-1", "uid-2", "uid-3"]


async def test_full_is_what_it_holds_and_not_what_the_file_was_once(tmp_path: Path) -> None:
    """Refused above the bound; when most has been moved there is room again, although the file
    keeps its size.
    """
    async with _spool(tmp_path / "spool.db") as spool:
        with pytest.raises(SpoolFull):
            await _fill(spool)
        assert "full" in (spool.problem or "")
        assert 20 < spool.waiting < 60
        places = [place for place, _ in await spool.read(1000)]
        await spool.remove(places[-2])
        await spool.append([_delivery(1001, 10_000)])
        assert spool.waiting == 2


async def _fill(spool: Spool) -> None:
    for count in range(1000):
        await spool.append([_delivery(count, 10_000)])


async def test_an_emptied_file_gives_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of an hour must not cost the disk for ever; what waits is not touched."""
    monkeypatch.setattr("server.db.journal.spool._SHRINK_BYTES", 50_000)
    path = tmp_path / "spool.db"
    async with _spool(path) as spool:
        await spool.append([_delivery(number, 10_000) for number in range(20)])
        await spool.shrink()
        assert len(await spool.read(100)) == 20
        await spool.remove(2**40)
        await spool.shrink()
        assert sum(os.stat(f"{path}{end}").st_size for end in ("", "-wal")) < 50_000
        await spool.append([_delivery(1)])
        assert len(await spool.read(100)) == 1


async def test_what_cannot_be_read_is_put_aside_and_offered_again_by_the_next_start(
    tmp_path: Path,
) -> None:
    """A row that some other version wrote: those behind it go on, and nothing is thrown away."""
    path = tmp_path / "spool.db"
    async with _spool(path) as spool:
        await spool.append([_delivery(1), _delivery(2)])
        _sql(path, "UPDATE spooled_deliveries SET delivery = '{' WHERE id = 1")
        assert [delivery.uid for _, delivery in await spool.read(10)] == ["uid-2"]
        assert (spool.waiting, spool.refused) == (1, 1)
    _sql(path, "UPDATE refused_deliveries SET delivery = (SELECT delivery FROM spooled_deliveries)")
    async with _spool(path) as spool:
        assert (spool.waiting, spool.refused) == (2, 0)


async def _refuse_five(connection: Connection) -> None:
    """As MySQL refuses what is larger than its packets."""
    await connection.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON omni_webhook_deliveries WHEN NEW.uid = 'uid-5' "
        "BEGIN SELECT RAISE(FAIL, 'too large'); END"
    )


async def _refuse_all(connection: Connection) -> None:
    await connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON omni_webhook_deliveries BEGIN SELECT RAISE(FAIL, "
        "'disk is full'); END"
    )


async def _accept_all(connection: Connection) -> None:
    await connection.execute("DROP TRIGGER full")


async def test_one_that_the_journal_refuses_holds_back_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found and put aside; but while the journal takes nothing at all, nobody is to blame and
    nothing is moved.
    """
    monkeypatch.setattr("server.incoming.recorder._DRAIN_SECONDS", 0.005)
    async with (
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        _spool(tmp_path / "spool.db") as spool,
    ):
        await database.transaction(_refuse_five)
        recorder = Recorder(database, spool, lambda: None)
        await spool.append([_delivery(number) for number in range(1, 21)])
        await database.transaction(_refuse_all)
        task = asyncio.get_running_loop().create_task(recorder.run_drain())
        try:
            await eventually(lambda: recorder._stuck > 10, limit=60)
            assert (spool.waiting, spool.refused) == (20, 0)
            await database.transaction(_accept_all)
            await eventually(lambda: not spool.waiting, limit=60)
        finally:
            task.cancel()
        kept = await database.read(lambda c: journal_reads.peek_deliveries(c, 100))
        assert [delivery.received_us for delivery in kept] == [n for n in range(1, 21) if n != 5]
        assert spool.refused == 1
        assert _sql(tmp_path / "spool.db", "SELECT reason FROM refused_deliveries")


async def test_trouble_that_passes_between_two_tries_keeps_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was refused, then all is well: the second is tried to find out whose fault it was,
    and must not come before the first.
    """
    monkeypatch.setattr("server.incoming.recorder._DRAIN_SECONDS", 0.005)
    async with (
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        _spool(tmp_path / "spool.db") as spool,
    ):
        recorder = Recorder(database, spool, lambda: None)
        await spool.append([_delivery(number) for number in range(1, 6)])
        await database.transaction(_refuse_all)
        move, tries = recorder._move, 0

        async def then_well(spooled: list[tuple[int, Delivery]], **options: int) -> None:
            nonlocal tries
            try:
                await move(spooled, **options)
            except Exception:
                tries += 1
                if recorder._stuck >= 3:  # they are tried one by one by now
                    with contextlib.suppress(sqlite3.OperationalError):
                        await database.transaction(_accept_all)
                raise

        monkeypatch.setattr(recorder, "_move", then_well)
        task = asyncio.get_running_loop().create_task(recorder.run_drain())
        try:
            await eventually(lambda: not spool.waiting, limit=60)
        finally:
            task.cancel()
        kept = await database.read(lambda c: journal_reads.peek_deliveries(c, 100))
        assert [delivery.received_us for delivery in kept] == [1, 2, 3, 4, 5]
        assert (tries > 3, spool.refused) == (True, 0)


async def test_what_a_process_that_died_has_left_is_moved_by_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of a machine share the file; one of them may never come back. What another one
    has moved meanwhile waits no more.
    """
    monkeypatch.setattr("server.incoming.recorder._DRAIN_SECONDS", 0.005)
    monkeypatch.setattr("server.incoming.recorder._LEFT_SECONDS", 0.005)
    path = tmp_path / "spool.db"
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database, _spool(path) as spool:
        async with _spool(path) as other:
            await other.append([_delivery(1), _delivery(2)])
        assert spool.waiting == 0
        task = asyncio.get_running_loop().create_task(
            Recorder(database, spool, lambda: None).run_drain()
        )
        try:
            await eventually(lambda: _count(database, 2), limit=60)
            await eventually(lambda: not spool.waiting)
        finally:
            task.cancel()


async def _count(database: Database, count: int) -> bool:
    return len(await database.read(lambda c: journal_reads.peek_deliveries(c, 100))) == count


async def test_what_is_appended_while_an_empty_spool_is_read_still_counts(tmp_path: Path) -> None:
    """Another process has moved all this one knew of. What comes in that moment is known to nobody
    else, and must not be forgotten.
    """
    path = tmp_path / "spool.db"
    async with _spool(path) as spool, _spool(path) as other:
        await spool.append([_delivery(1), _delivery(2)])
        await other.remove(2**40)
        run = spool._run

        async def run_late(*arguments: Any) -> Any:
            result = await run(*arguments)
            spool._run = run  # type: ignore[method-assign]
            # committed and counted between the SELECT and its answer
            await spool.append([_delivery(3)])
            return result

        spool._run = run_late  # type: ignore[method-assign,assignment]
        assert await spool.read(10) == []
        assert spool.waiting == 1


def _sql(path: Path, statement: str) -> list[object]:
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection, connection:
        return connection.execute(statement).fetchall()
