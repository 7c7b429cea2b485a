"""Journal and spool stand in for each other, a damaged file costs what is damaged, and the order is
kept in a shared file.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.db.engine.database import Connection, Database
from server.db.journal import damaged_spool, journal_reads
from server.db.journal.journal import Delivery
from server.db.journal.spool import Spool
from server.db.journal.spool_rows import SpoolFull, StrangersFull
from server.errors import DatabaseUnavailable, Unavailable
from server.incoming.recorder import Recorder
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite

_MOST_BYTES = 10_000_000


def _delivery(number: int, size: int = 100, *, is_verified: bool = True) -> Delivery:
    return Delivery(
        uid=f"uid-{number}",
        received_us=number,
        body="x" * size,
        headers={},
        is_verified=is_verified,
    )


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not look like a journal that is away."""
    monkeypatch.setattr("server.incoming.recorder._JOURNAL_SECONDS", 60.0)
    monkeypatch.setattr("server.incoming.recorder._ANSWER_SECONDS", 180.0)
    monkeypatch.setattr("server.db.journal.spool._ASK_SECONDS", 60.0)


def _spool(path: Path, most_bytes: int) -> Spool:
    return Spool(str(path), most_bytes, wait_seconds=60.0)


@contextlib.asynccontextmanager
async def _recording(recorder: Recorder, *, drains: bool = False) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(recorder.run())] + (
        [loop.create_task(recorder.run_drain())] if drains else []
    )
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _kept(database: Database) -> list[int]:
    return [
        delivery.received_us
        for delivery in await database.read(lambda c: journal_reads.peek_deliveries(c, 10_000))
    ]


async def _fill(spool: Spool, *, is_verified: bool) -> None:
    for number in range(1, 100):
        await spool.append([_delivery(number, 10_000, is_verified=is_verified)])


async def _refuse(connection: Connection) -> None:
    await connection.execute(
        "CREATE TRIGGER away BEFORE INSERT ON omni_webhook_deliveries BEGIN SELECT RAISE(FAIL, "
        "'away'); END"
    )


def _damage(path: Path, first: int, last: int) -> None:
    """Some pages in the middle of the file, as a dying disk leaves them."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        for page in range(first, last):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)


async def test_a_spool_that_takes_nothing_leaves_it_to_the_journal(tmp_path: Path) -> None:
    """While something waits in it, new ones go behind; where they cannot, the journal has them: to
    be kept comes before the order.
    """
    async with (
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        _spool(tmp_path / "spool.db", 100_000) as spool,
    ):
        with pytest.raises(SpoolFull):
            await _fill(spool, is_verified=True)
        waiting = spool.waiting
        recorder = Recorder(database, spool, lambda: None)
        async with _recording(recorder):
            await recorder.append(_delivery(1000))
        assert await _kept(database) == [1000]
        assert (spool.waiting, recorder.is_refusing) == (waiting, False)


async def test_kept_by_neither_is_refused(tmp_path: Path) -> None:
    """And said: both were tried."""
    async with (
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        _spool(tmp_path / "spool.db", 0) as spool,
    ):
        await database.transaction(_refuse)
        recorder = Recorder(database, spool, lambda: None)
        async with _recording(recorder):
            with contextlib.suppress(Unavailable):
                for number in range(10):
                    await recorder.append(_delivery(number))
            with pytest.raises(SpoolFull):
                await recorder.append(_delivery(11))
        assert recorder.is_refusing


async def test_slow_disks_under_both_refuse_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal does not answer, and the spool's disk stands still for longer than its own
    patience: it is waited for as long as Chatwoot waits for us.
    """
    monkeypatch.setattr("server.incoming.recorder._JOURNAL_SECONDS", 0.1)
    monkeypatch.setattr("server.db.journal.spool._ASK_SECONDS", 0.1)
    path, journal_path = tmp_path / "spool.db", tmp_path / "omni.db"
    async with (
        Database(fresh_sqlite(journal_path)) as database,
        Spool(str(path), _MOST_BYTES, wait_seconds=0.3) as spool,
    ):
        with _standing_still(journal_path), _standing_still(path) as slow:
            recorder = Recorder(database, spool, lambda: None)
            async with _recording(recorder):
                asyncio.get_running_loop().call_later(1.0, slow.rollback)
                await recorder.append(_delivery(1))
        assert (spool.waiting, spool.problem, recorder.is_refusing) == (1, None, False)


async def test_a_disk_that_stands_still_is_named(tmp_path: Path) -> None:
    """Not the database, which a person would look after in vain."""
    path = tmp_path / "spool.db"
    async with Spool(str(path), _MOST_BYTES, wait_seconds=60.0) as spool:
        await spool.append([_delivery(1)])
        with _standing_still(path), pytest.raises(DatabaseUnavailable):
            await spool.append([_delivery(2)], 0.1)
        assert str(path) in str(spool.problem)
        assert "disk" in str(spool.problem)
        assert "database" not in str(spool.problem)


@contextlib.contextmanager
def _standing_still(path: Path) -> Iterator[sqlite3.Connection]:
    """Nobody else writes into this file until its transaction is rolled back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def test_moved_but_not_deleted_waits_no_longer(tmp_path: Path) -> None:
    """To delete needs room on the disk: what is in the journal does not hold back what comes, and
    is deleted when it can be.
    """
    async with _spool(tmp_path / "spool.db", _MOST_BYTES) as spool:
        await spool.append([_delivery(1), _delivery(2)])
        places = [place for place, _ in await spool.read(10)]
        _sql(
            tmp_path / "spool.db",
            "CREATE TRIGGER full BEFORE DELETE ON spooled_deliveries BEGIN SELECT RAISE(FAIL, "
            "'disk is full'); END",
        )
        await spool.remove(places[-1])
        assert not await spool.has_waiting()
        assert "full" in str(spool.problem)
        assert await spool.read(10) == []
        await spool.append([_delivery(3)])
        assert [delivery.uid for _, delivery in await spool.read(10)] == ["uid-3"]
        _sql(tmp_path / "spool.db", "DROP TRIGGER full")
        await spool.remove((await spool.read(10))[-1][0])
        assert _sql(tmp_path / "spool.db", "SELECT COUNT(*) FROM spooled_deliveries") == [(0,)]


async def test_two_processes_with_one_file_keep_the_order(tmp_path: Path) -> None:
    """One moves rows of the other: it must not believe that the file is empty, and let a new
    delivery overtake what still waits.
    """
    path = tmp_path / "spool.db"
    database = Database(fresh_sqlite(tmp_path / "omni.db"))
    async with database, _spool(path, _MOST_BYTES) as one, _spool(path, _MOST_BYTES) as other:
        await one.append([_delivery(1)])
        await other.append([_delivery(2), _delivery(3)])
        await one.remove((await one.read(2))[-1][0])  # its own and one of the other's
        recorder = Recorder(database, one, lambda: None)
        async with _recording(recorder):
            await recorder.append(_delivery(4))
        assert await _kept(database) == []
        assert [delivery.received_us for _, delivery in await other.read(10)] == [3, 4]


async def test_what_another_process_spools_is_seen_at_once(tmp_path: Path) -> None:
    """One that spooled nothing itself does not overtake the other's."""
    path = tmp_path / "spool.db"
    database = Database(fresh_sqlite(tmp_path / "omni.db"))
    async with database, _spool(path, _MOST_BYTES) as one, _spool(path, _MOST_BYTES) as other:
        recorder = Recorder(database, one, lambda: None)
        async with _recording(recorder):
            await recorder.append(_delivery(1))
            await other.append([_delivery(2)])
            await recorder.append(_delivery(3))
        assert await _kept(database) == [1]


async def test_a_file_damaged_while_running_costs_what_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept under another name, a new one is begun, what can be read is taken over, and
    nothing new is refused.
    """
    monkeypatch.setattr("server.incoming.recorder._DRAIN_SECONDS", 0.005)
    path = tmp_path / "spool.db"
    async with (
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        _spool(path, _MOST_BYTES) as spool,
    ):
        for number in range(1, 1001, 100):
            await spool.append([_delivery(n, 3_000) for n in range(number, number + 100)])
        await asyncio.to_thread(_damage, path, 300, 320)
        recorder = Recorder(database, spool, lambda: None)
        async with _recording(recorder, drains=True):
            await eventually(lambda: spool.aside, limit=60)
            await recorder.append(_delivery(2000))
            await eventually(
                lambda: (
                    not spool.waiting and not spool.has_damaged and spool.aside[0].endswith(".read")
                ),
                limit=60,
            )
            await eventually(lambda: _are_kept(database, 900), limit=60)
        kept = await _kept(database)
        assert 2000 in kept
        assert {*range(1, 200), *range(800, 1001)} <= set(kept)
        assert len(set(kept)) == len(kept)
        assert spool.problem is None


async def _are_kept(database: Database, least: int) -> bool:
    return len(await _kept(database)) >= least


@pytest.mark.parametrize(
    "content", [b"no database at all " * 1_000, b"SQLite format 3\0" + b"\xff" * 20_000]
)
async def test_a_file_that_is_none_at_the_start_is_set_aside(
    tmp_path: Path, content: bytes
) -> None:
    """Deliveries are kept at once; the file that was there is still there."""
    path = tmp_path / "spool.db"
    path.write_bytes(content)
    async with _spool(path, _MOST_BYTES) as spool:
        await spool.append([_delivery(1)])
        assert spool.waiting == 1
        [aside] = spool.aside
        assert (tmp_path / aside).read_bytes() == content
        await spool.read_damaged()
        assert [delivery.uid for _, delivery in await spool.read(10)] == ["uid-1"]
    async with _spool(path, _MOST_BYTES) as spool:
        assert spool.waiting == 1
        assert spool.aside  # said until someone has looked


async def test_a_file_exchanged_by_another_process_is_let_go(tmp_path: Path) -> None:
    """Nothing is written any more into the one that has lost its name."""
    path = tmp_path / "spool.db"
    async with _spool(path, _MOST_BYTES) as one, _spool(path, _MOST_BYTES) as other:
        await one.append([_delivery(1)])
        await other.append([_delivery(2)])
        await asyncio.to_thread(damaged_spool.set_aside, path, damaged_spool.identity(path))
        await one.append([_delivery(3)])
        await other.append([_delivery(4)])
        assert [delivery.uid for _, delivery in await other.read(10)] == ["uid-3", "uid-4"]


async def test_strangers_have_a_tenth_of_the_spool(tmp_path: Path) -> None:
    """They fill their part; what was judged on arrival still has all the rest, and theirs again
    when it was moved.
    """
    async with _spool(tmp_path / "spool.db", 1_000_000) as spool:
        with pytest.raises(StrangersFull):
            await _fill(spool, is_verified=False)
        assert 5 < spool.waiting < 15
        assert spool.problem is None
        await spool.append([_delivery(1000, 500_000)])
        await spool.remove((await spool.read(1000))[-1][0])
        await spool.append([_delivery(1001, 10_000, is_verified=False)])


@pytest.mark.parametrize(
    ("letter", "length"),
    [("x", 4_000_000), ("\N{GRINNING FACE}", 1_000_000)],
    ids=["ascii", "emoji"],
)
async def test_what_waits_is_bounded_in_bytes(tmp_path: Path, letter: str, length: int) -> None:
    """In memory, where a letter takes one to four bytes; and of it strangers have a part only."""

    def large(number: int, *, is_verified: bool = True) -> Delivery:
        return Delivery(
            uid=f"uid-{number}",
            received_us=number,
            body=letter * length,
            headers={},
            is_verified=is_verified,
        )

    async with (
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        _spool(tmp_path / "spool.db", 10 * _MOST_BYTES) as spool,
    ):
        # which does not run yet: all of them wait
        recorder = Recorder(database, spool, lambda: None)
        loop = asyncio.get_running_loop()
        strangers = [
            loop.create_task(recorder.append(large(n, is_verified=False))) for n in range(10)
        ]
        verified = [loop.create_task(recorder.append(large(n))) for n in range(100, 120)]
        await asyncio.sleep(0)
        await eventually(lambda: recorder.waiting and all(task.done() for task in strangers[3:]))
        assert recorder.waiting < 17
        refused = [task for task in (*strangers, *verified) if task.done()]
        assert all(isinstance(task.exception(), Unavailable) for task in refused)
        async with _recording(recorder):
            await asyncio.wait([*strangers, *verified])
            await recorder.append(large(200))
        count = await database.fetch_one("SELECT COUNT(*) FROM omni_webhook_deliveries")
        assert count is not None
        assert count[0] == 31 - len(refused)


def _sql(path: Path, statement: str) -> list[object]:
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection, connection:
        return connection.execute(statement).fetchall()
