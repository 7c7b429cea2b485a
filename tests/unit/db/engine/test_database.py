"""The one door to the database: whoever gives up, whatever is killed, no connection leaks and no
commit is lost or made twice.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest

from server.db.engine.database import Connection, Database
from server.errors import DatabaseUnavailable, DuplicateRow
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import MariaDB
from tests.unit.db.counters import create, is_whole, marks


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With a table of four counters, and one to add rows to."""
    async with Database(database_url, pool=4, wait_seconds=scaled(20)) as opened:
        await opened.transaction(create)
        yield opened


async def _add(c: Connection, mark: int) -> None:
    """Idempotent, as every write of ours must be."""
    if not await c.fetch_one("SELECT mark FROM marks WHERE mark = :mark", {"mark": mark}):
        await c.insert("INSERT INTO marks (mark) VALUES (:mark)", {"mark": mark})


async def test_who_leaves_leaves_no_statement_behind(tmp_path: Path) -> None:
    """A long one that nobody waits for any more ends before its connection does: cut off there,
    SQLite's thread would go on by itself.
    """
    started, done = asyncio.Event(), threading.Event()

    async def slow(c: Connection) -> None:
        await c.raw.create_function("done", 0, done.set)
        started.set()
        await c.fetch_all(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3000000), m AS "
            "(SELECT MAX(x) AS x FROM n) "
            "SELECT x, done() FROM m"
        )

    async with (
        Database(f"sqlite:///{tmp_path / 'omni.db'}", wait_seconds=0.05) as database,
        asyncio.TaskGroup() as group,
    ):
        reading = group.create_task(database.read(slow, wait_seconds=60))
        await started.wait()
        reading.cancel()
    assert done.is_set()


# -- callers that give up
# ----------------------------------------------------------------------------------------------


async def test_callers_that_give_up_leave_nothing_behind(database: Database) -> None:
    """Cancelled at any moment, under load: what was answered is there, no transaction stays open,
    no connection is lost.
    """
    answered: set[int] = set()

    async def work(mark: int) -> None:
        await database.transaction(lambda c: _add(c, mark))
        answered.add(mark)
        await database.fetch_all("SELECT mark FROM marks LIMIT 5")

    rng = random.Random(7)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(mark)) for mark in range(150)]
        while not all(task.done() for task in tasks):
            rng.choice(tasks).cancel()
            await asyncio.sleep(0.001 * rng.random())
    assert len(answered) < 150
    assert answered <= await marks(database)
    await is_whole(database)


async def test_who_waits_too_long_is_told(database: Database) -> None:
    """The call before goes on to its end; the next one is served."""
    gate = asyncio.Event()

    async def hold(c: Connection) -> None:
        await c.execute("UPDATE counters SET value = 5 WHERE id = 1")
        await gate.wait()

    async with asyncio.TaskGroup() as group:
        holding = [group.create_task(database.transaction(hold)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(DatabaseUnavailable):
            await database.transaction(
                lambda c: c.execute("UPDATE counters SET value = 6 WHERE id = 1"), wait_seconds=0.1
            )
        gate.set()
        for task in holding:
            await task
    assert await database.fetch_one("SELECT value FROM counters WHERE id = 1") in ((5,), (6,))
    await is_whole(database)


async def test_calls_that_hold_too_much_are_refused_at_once(database_url: str) -> None:
    """By bytes, not by number; what holds nothing is served, and one alone may hold more."""
    holds, gate = asyncio.Event(), asyncio.Event()

    async def hold(c: Connection) -> None:
        holds.set()
        await gate.wait()

    async def write(c: Connection) -> int:
        return await c.execute("UPDATE counters SET value = 6 WHERE id = 1")

    async with Database(database_url, pool=2, wait_seconds=60, max_held_bytes=1_000) as database:
        await database.transaction(create)
        async with asyncio.TaskGroup() as group:
            held = group.create_task(database.transaction(hold))
            await holds.wait()
            large = group.create_task(database.transaction(write, held_bytes=5_000))
            await eventually(lambda: database.waiting == 1)
            with pytest.raises(DatabaseUnavailable):
                await database.transaction(write, held_bytes=1)
            plain = group.create_task(database.transaction(write))
            await eventually(lambda: database.waiting == 2)
            gate.set()
            for task in (held, large, plain):
                await task
            fitting = [
                group.create_task(database.transaction(write, held_bytes=500)) for _ in range(2)
            ]
        assert [task.result() for task in fitting] == [1, 1]


async def test_a_call_that_fails_is_rolled_back_whole(database: Database) -> None:
    """Its own error comes back, and the connection serves on."""

    async def fail(c: Connection) -> None:
        await _add(c, 1)
        raise LookupError("the caller's own")

    for _ in range(10):
        with pytest.raises(LookupError):
            await database.transaction(fail)
    assert await marks(database) == set()
    await is_whole(database)


async def test_a_row_that_is_there_already_is_told_apart(database: Database) -> None:
    """A unique index refused it; that is no reason to try again."""
    calls = count()

    async def insert(c: Connection) -> int:
        next(calls)
        return await c.insert("INSERT INTO marks (mark) VALUES (:mark)", {"mark": 1})

    await database.transaction(insert)
    with pytest.raises(DuplicateRow):
        await database.transaction(insert)
    assert next(calls) == 2


@pytest.mark.parametrize("value", [[1], (1,), {"a": 1}, object()])
async def test_only_plain_values_are_bound(database: Database, value: object) -> None:
    """A list would be written into the text of the statement."""
    with pytest.raises(TypeError, match="cannot be bound"):
        await database.fetch_all("SELECT :value", {"value": value})


@pytest.mark.parametrize(
    "text", ["100% :name '", "a\x00b", "ক্ষ্ম 🙂 \\' \" -- /*", "%s %(name)s :name"]
)
async def test_text_comes_back_as_it_was_bound(database: Database, text: str) -> None:
    """Whatever means something to SQL or to a driver."""
    assert await database.fetch_one("SELECT :text, '%'", {"text": text}) == (text, "%")


async def test_rows_found_are_counted_also_when_nothing_changes(database: Database) -> None:
    """Both dialects agree."""
    for _ in range(2):
        assert (
            await database.transaction(
                lambda c: c.execute("UPDATE counters SET value = 9 WHERE id <= 1")
            )
            == 2
        )


async def test_many_rows_and_none(database: Database) -> None:
    """In one statement; an empty list is no statement."""
    rows = [{"mark": mark} for mark in range(1000)]
    await database.transaction(
        lambda c: c.execute_many("INSERT INTO marks (mark) VALUES (:mark)", rows)
    )
    await database.transaction(
        lambda c: c.execute_many("INSERT INTO marks (mark) VALUES (:mark)", [])
    )
    assert len(await marks(database)) == 1000


# -- servers that fail (rows 23 and 24)
# --------------------------------------------------------------------------------


@pytest.fixture
async def on_mariadb(mariadb: MariaDB) -> AsyncIterator[Database]:
    """The same tables on the server that tests may kill."""
    async with Database(mariadb.create_database(), pool=6, wait_seconds=scaled(30)) as opened:
        await opened.transaction(create)
        yield opened


async def test_a_deadlock_is_tried_again(on_mariadb: Database) -> None:
    """Two transactions lock two rows crosswise: one is the victim, both are done in the end, once
    each.
    """
    first_locked = {0: asyncio.Event(), 1: asyncio.Event()}
    calls, committed = count(), list[int]()

    async def crosswise(c: Connection, own: int) -> None:
        next(calls)
        c.after_commit(lambda: committed.append(own))
        await c.execute("UPDATE counters SET value = value + 1 WHERE id = :id", {"id": own})
        first_locked[own].set()
        await first_locked[1 - own].wait()
        await c.execute("UPDATE counters SET value = value + 1 WHERE id = :id", {"id": 1 - own})

    async with asyncio.TaskGroup() as group:
        for own in (0, 1):
            group.create_task(on_mariadb.transaction(lambda c, own=own: crosswise(c, own)))  # type: ignore[misc]
    assert next(calls) == 3
    assert sorted(committed) == [0, 1]
    assert await on_mariadb.fetch_all("SELECT value FROM counters WHERE id < 2") == ((2,), (2,))
    await is_whole(on_mariadb)


@pytest.mark.parametrize("kind", ["read", "transaction"])
async def test_killed_connections_are_made_anew(mariadb: MariaDB, kind: str) -> None:
    """The next read and the next write work, without an error for anyone, however many pooled
    connections were killed.
    """
    async with Database(mariadb.create_database(), pool=8, wait_seconds=scaled(10)) as database:
        await database.transaction(create)
        await is_whole(database)
        assert await asyncio.to_thread(mariadb.drop_connections) > 0
        await (database.read if kind == "read" else database.transaction)(
            lambda c: c.fetch_one("SELECT 1")
        )


async def test_connections_killed_under_load_lose_nothing(
    on_mariadb: Database, mariadb: MariaDB
) -> None:
    """Also at COMMIT, where nobody knows whether it took place: rows added are transactions
    answered.
    """
    answered = await _write_under(
        on_mariadb, lambda: asyncio.to_thread(mariadb.drop_connections), times=6
    )
    assert answered == await marks(on_mariadb)
    await is_whole(on_mariadb)


async def test_a_server_killed_under_load_loses_nothing(
    on_mariadb: Database, mariadb: MariaDB
) -> None:
    """kill -9 and a restart: what was answered is there; what was not may be."""

    async def kill_and_start() -> None:
        await asyncio.to_thread(mariadb.kill)
        await asyncio.to_thread(mariadb.start)

    answered = await _write_under(on_mariadb, kill_and_start, times=2)
    assert answered == await marks(on_mariadb)
    assert on_mariadb.is_reachable
    await is_whole(on_mariadb)


async def _write_under(
    database: Database, harm: Callable[[], Awaitable[object]], times: int
) -> set[int]:
    """Eight writers add mark after mark, each until it is answered, while harm is done; returns the
    marks that were answered.
    """
    marks, answered, is_over = count(), set[int](), asyncio.Event()

    async def write() -> None:
        while not is_over.is_set():
            mark = next(marks)
            while mark not in answered:
                with contextlib.suppress(DatabaseUnavailable):
                    # awaited at once
                    await database.transaction(lambda c: _add(c, mark))  # noqa: B023
                    answered.add(mark)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(write())
        for _ in range(times):
            before = len(answered)
            await harm()
            # awaited at once
            await eventually(lambda: len(answered) > before + 20, limit=30)  # noqa: B023
        is_over.set()
    return answered


async def test_a_server_that_is_away_is_told_at_once_and_found_again(
    on_mariadb: Database, mariadb: MariaDB
) -> None:
    """Entering needs no server either."""
    await asyncio.to_thread(mariadb.kill)
    with pytest.raises(DatabaseUnavailable):
        await on_mariadb.fetch_one("SELECT 1", wait_seconds=scaled(1))
    assert not on_mariadb.is_reachable
    async with Database(mariadb.url("none"), wait_seconds=0.2) as other:
        with pytest.raises(DatabaseUnavailable):
            await other.fetch_one("SELECT 1")
    await asyncio.to_thread(mariadb.start)
    await is_whole(on_mariadb)
    assert on_mariadb.is_reachable


async def test_a_frozen_server_holds_nobody_for_long(
    on_mariadb: Database, mariadb: MariaDB
) -> None:
    """It accepts and says nothing; when it moves again everything does."""
    mariadb.freeze()
    try:
        with pytest.raises(DatabaseUnavailable):
            await on_mariadb.transaction(lambda c: _add(c, 1), wait_seconds=scaled(0.3))
    finally:
        mariadb.thaw()
    await is_whole(on_mariadb)
