"""The one door to the database: whoever gives up, whatever is killed, no connection leaks and no commit is lost or made twice."""

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from server.db.connection import Numbers
from server.db.database import Connection, Database
from server.errors import DatabaseUnavailable, DuplicateRow
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import MariaDB

ROWS = 4


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With a table of four counters, and one to add rows to."""
    async with Database(database_url, pool=4, wait_seconds=scaled(20)) as opened:
        await opened.transaction(_create)
        yield opened


async def _create(c: Connection) -> None:
    engine = "" if c.dialect == "sqlite" else " ENGINE=InnoDB"
    await c.execute(f"CREATE TABLE IF NOT EXISTS counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL){engine}")
    await c.execute(f"CREATE TABLE IF NOT EXISTS marks (mark INTEGER PRIMARY KEY){engine}")
    await c.execute_many("INSERT INTO counters (id, value) VALUES (:id, 0)", [{"id": number} for number in range(ROWS)])


async def _add(c: Connection, mark: int) -> None:
    """Idempotent, as every write of ours must be."""
    if not await c.fetch_one("SELECT mark FROM marks WHERE mark = :mark", {"mark": mark}):
        await c.insert("INSERT INTO marks (mark) VALUES (:mark)", {"mark": mark})


async def _marks(database: Database) -> set[int]:
    return {row[0] for row in await database.fetch_all("SELECT mark FROM marks")}


async def _is_whole(database: Database) -> None:
    """As many calls at once as there are lanes, each way: a leaked connection would leave one of them waiting."""
    async with asyncio.timeout(scaled(15)), asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(database.transaction(lambda c: c.execute("UPDATE counters SET value = value + 1 WHERE id = 0")))
            group.create_task(database.fetch_one("SELECT :n", {"n": number}))


async def test_who_leaves_leaves_no_statement_behind(tmp_path: Path) -> None:
    """A long one that nobody waits for any more ends before its connection does: cut off there, SQLite's thread would go on by itself."""
    started, done = asyncio.Event(), threading.Event()

    async def slow(c: Connection) -> None:
        await c.raw.create_function("done", 0, done.set)
        started.set()
        await c.fetch_all(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3000000), m AS (SELECT MAX(x) AS x FROM n) "
            "SELECT x, done() FROM m"
        )

    async with Database(f"sqlite:///{tmp_path / 'omni.db'}", wait_seconds=0.05) as database, asyncio.TaskGroup() as group:
        reading = group.create_task(database.read(slow, wait_seconds=60))
        await started.wait()
        reading.cancel()
    assert done.is_set()


# -- callers that give up ----------------------------------------------------------------------------------------------


async def test_callers_that_give_up_leave_nothing_behind(database: Database) -> None:
    """Cancelled at any moment, under load: what was answered is there, no transaction stays open, no connection is lost."""
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
    assert answered <= await _marks(database)
    await _is_whole(database)


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
            await database.transaction(lambda c: c.execute("UPDATE counters SET value = 6 WHERE id = 1"), wait_seconds=0.1)
        gate.set()
        for task in holding:
            await task
    assert await database.fetch_one("SELECT value FROM counters WHERE id = 1") in ((5,), (6,))
    await _is_whole(database)


async def test_a_call_that_fails_is_rolled_back_whole(database: Database) -> None:
    """Its own error comes back, and the connection serves on."""

    async def fail(c: Connection) -> None:
        await _add(c, 1)
        raise LookupError("the caller's own")

    for _ in range(10):
        with pytest.raises(LookupError):
            await database.transaction(fail)
    assert await _marks(database) == set()
    await _is_whole(database)


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


@pytest.mark.parametrize("text", ["100% :name '", "a\x00b", "ক্ষ্ম 🙂 \\' \" -- /*", "%s %(name)s :name"])
async def test_text_comes_back_as_it_was_bound(database: Database, text: str) -> None:
    """Whatever means something to SQL or to a driver."""
    assert await database.fetch_one("SELECT :text, '%'", {"text": text}) == (text, "%")


async def test_rows_found_are_counted_also_when_nothing_changes(database: Database) -> None:
    """Both dialects agree."""
    for _ in range(2):
        assert await database.transaction(lambda c: c.execute("UPDATE counters SET value = 9 WHERE id <= 1")) == 2


async def test_many_rows_and_none(database: Database) -> None:
    """In one statement; an empty list is no statement."""
    rows = [{"mark": mark} for mark in range(1000)]
    await database.transaction(lambda c: c.execute_many("INSERT INTO marks (mark) VALUES (:mark)", rows))
    await database.transaction(lambda c: c.execute_many("INSERT INTO marks (mark) VALUES (:mark)", []))
    assert len(await _marks(database)) == 1000


# -- servers that fail (rows 23 and 24) --------------------------------------------------------------------------------


@pytest.fixture
async def on_mariadb(mariadb: MariaDB) -> AsyncIterator[Database]:
    """The same tables on the server that tests may kill."""
    async with Database(mariadb.create_database(), pool=6, wait_seconds=scaled(30)) as opened:
        await opened.transaction(_create)
        yield opened


async def test_a_deadlock_is_tried_again(on_mariadb: Database) -> None:
    """Two transactions lock two rows crosswise: one is the victim, both are done in the end, once each."""
    first_locked = {0: asyncio.Event(), 1: asyncio.Event()}
    calls = count()

    async def crosswise(c: Connection, own: int) -> None:
        next(calls)
        await c.execute("UPDATE counters SET value = value + 1 WHERE id = :id", {"id": own})
        first_locked[own].set()
        await first_locked[1 - own].wait()
        await c.execute("UPDATE counters SET value = value + 1 WHERE id = :id", {"id": 1 - own})

    async with asyncio.TaskGroup() as group:
        for own in (0, 1):
            group.create_task(on_mariadb.transaction(lambda c, own=own: crosswise(c, own)))  # type: ignore[misc]
    assert next(calls) == 3
    assert await on_mariadb.fetch_all("SELECT value FROM counters WHERE id < 2") == ((2,), (2,))
    await _is_whole(on_mariadb)


@pytest.mark.parametrize("kind", ["read", "transaction"])
async def test_killed_connections_are_made_anew(mariadb: MariaDB, kind: str) -> None:
    """The next read and the next write work, without an error for anyone, however many pooled connections were killed."""
    async with Database(mariadb.create_database(), pool=8, wait_seconds=scaled(10)) as database:
        await database.transaction(_create)
        await _is_whole(database)
        assert await asyncio.to_thread(mariadb.drop_connections) > 0
        await (database.read if kind == "read" else database.transaction)(lambda c: c.fetch_one("SELECT 1"))


async def test_connections_killed_under_load_lose_nothing(on_mariadb: Database, mariadb: MariaDB) -> None:
    """Also at COMMIT, where nobody knows whether it took place: rows added are transactions answered."""
    answered = await _write_under(on_mariadb, lambda: asyncio.to_thread(mariadb.drop_connections), times=6)
    assert answered == await _marks(on_mariadb)
    await _is_whole(on_mariadb)


async def test_a_server_killed_under_load_loses_nothing(on_mariadb: Database, mariadb: MariaDB) -> None:
    """kill -9 and a restart: what was answered is there; what was not may be."""

    async def kill_and_start() -> None:
        await asyncio.to_thread(mariadb.kill)
        await asyncio.to_thread(mariadb.start)

    answered = await _write_under(on_mariadb, kill_and_start, times=2)
    assert answered == await _marks(on_mariadb)
    assert on_mariadb.is_reachable
    await _is_whole(on_mariadb)


async def _write_under(database: Database, harm: Callable[[], Awaitable[object]], times: int) -> set[int]:
    """Eight writers add mark after mark, each until it is answered, while harm is done; returns the marks that were answered."""
    marks, answered, is_over = count(), set[int](), asyncio.Event()

    async def write() -> None:
        while not is_over.is_set():
            mark = next(marks)
            while mark not in answered:
                with contextlib.suppress(DatabaseUnavailable):
                    await database.transaction(lambda c: _add(c, mark))  # noqa: B023 - awaited at once
                    answered.add(mark)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(write())
        for _ in range(times):
            before = len(answered)
            await harm()
            await eventually(lambda: len(answered) > before + 20, limit=30)  # noqa: B023 - awaited at once
        is_over.set()
    return answered


async def test_a_server_that_is_away_is_told_at_once_and_found_again(on_mariadb: Database, mariadb: MariaDB) -> None:
    """Entering needs no server either."""
    await asyncio.to_thread(mariadb.kill)
    with pytest.raises(DatabaseUnavailable):
        await on_mariadb.fetch_one("SELECT 1", wait_seconds=scaled(1))
    assert not on_mariadb.is_reachable
    async with Database(mariadb.url("none"), wait_seconds=0.2) as other:
        with pytest.raises(DatabaseUnavailable):
            await other.fetch_one("SELECT 1")
    await asyncio.to_thread(mariadb.start)
    await _is_whole(on_mariadb)
    assert on_mariadb.is_reachable


async def test_a_frozen_server_holds_nobody_for_long(on_mariadb: Database, mariadb: MariaDB) -> None:
    """It accepts and says nothing; when it moves again everything does."""
    mariadb.freeze()
    try:
        with pytest.raises(DatabaseUnavailable):
            await on_mariadb.transaction(lambda c: _add(c, 1), wait_seconds=scaled(0.3))
    finally:
        mariadb.thaw()
    await _is_whole(on_mariadb)


# -- statements that travel together -----------------------------------------------------------------------------------


async def test_posted_statements_leave_with_the_commit(database: Database) -> None:
    """Nobody waits for them, and after the transaction they have taken place, in their order."""

    async def write(c: Connection) -> None:
        c.post("UPDATE counters SET value = 5 WHERE id = 0")
        c.post("UPDATE counters SET value = value * 2 WHERE id = 0")
        c.post_many("INSERT INTO marks (mark) VALUES (:mark)", [{"mark": mark} for mark in range(3)])

    await database.transaction(write)

    assert await database.fetch_one("SELECT value FROM counters WHERE id = 0") == (10,)
    assert await _marks(database) == {0, 1, 2}


async def test_a_posted_statement_that_fails_undoes_the_transaction(database: Database) -> None:
    """Its error comes with the next answer or the COMMIT; what was posted before it, and after it, has not taken place."""

    async def write(c: Connection) -> None:
        c.post("UPDATE counters SET value = 5 WHERE id = 0")
        c.post_many("INSERT INTO marks (mark) VALUES (:mark)", [{"mark": 1}, {"mark": 1}])
        c.post("UPDATE counters SET value = 6 WHERE id = 1")

    with pytest.raises(DuplicateRow):
        await database.transaction(write, attempts=1)

    assert await _marks(database) == set()
    assert await database.fetch_all("SELECT value FROM counters WHERE id IN (0, 1) ORDER BY id") in ([(0,), (0,)], ((0,), (0,)))
    await _is_whole(database)


async def test_a_single_posted_insert_of_many_rows_is_all_or_nothing(database: Database) -> None:
    """A statement that leaves without BEGIN is a transaction by itself; one that is several statements is not left alone."""
    rows = [{"mark": 1}, {"mark": 2}, {"mark": 1}]

    async def write(c: Connection) -> None:
        c.post_many("INSERT INTO marks (mark) VALUES (:mark)", rows)

    with pytest.raises(DuplicateRow):
        await database.transaction(write, attempts=1)

    assert await _marks(database) == set()


async def test_a_refusal_drops_what_was_posted(database: Database) -> None:
    """A call that raises leaves nothing for the next one on the same connection."""

    async def refuse(c: Connection) -> None:
        c.post("UPDATE counters SET value = 7 WHERE id = 0")
        raise DuplicateRow

    for _ in range(8):
        with pytest.raises(DuplicateRow):
            await database.transaction(refuse, attempts=1)
    await _is_whole(database)
    value = await database.fetch_one("SELECT value FROM counters WHERE id = 0")
    assert value is not None
    assert value[0] < 100


async def test_reads_see_what_was_posted_before_them(database: Database) -> None:
    """Several SELECTs leave together, after the statements that were posted; each has its own rows."""

    async def work(c: Connection) -> list[Any]:
        c.post("UPDATE counters SET value = 9 WHERE id = 2")
        return await c.fetch_each(
            ("SELECT value FROM counters WHERE id = :id", {"id": 2}),
            ("SELECT id FROM counters WHERE id IN (:ids) ORDER BY id", {"ids": Numbers([3, 1])}),
            ("SELECT id FROM counters WHERE id IN (:ids)", {"ids": Numbers()}),
        )

    found = await database.transaction(work)
    assert [list(rows) for rows in found] == [[(9,)], [(1,), (3,)], []]


async def test_each_inserted_row_tells_its_id(database: Database) -> None:
    """In the order of the rows, whatever was posted before."""

    async def work(c: Connection) -> list[int]:
        c.post("UPDATE counters SET value = 1 WHERE id = 0")
        return await c.insert_each("INSERT INTO marks (mark) VALUES (:mark)", [{"mark": 4}, {"mark": 3}])

    ids = await database.transaction(work)
    if database.dialect == "sqlite":  # there the primary key is the row's id; MySQL tells only those it has counted up itself
        assert ids == [4, 3]
    assert await _marks(database) == {3, 4}


DIFFICULT = (
    "",
    "it's \"quoted\" \\ and ; -- DROP",
    "%s %d %% %(name)s :name ::x",
    "নমস্কার র্ক্ষ্যু 👩‍👩‍👧 \u202eabc",
    "\x00\x01\x1f\x7f\u2028 \t\r\n",
    "'; COMMIT; --",
    "\\' OR 1=1",
)


@pytest.mark.parametrize("text", DIFFICULT)
async def test_texts_come_back_as_they_were(database: Database, text: str) -> None:
    """Bound in one statement, in many rows and in a condition."""
    engine = "" if database.dialect == "sqlite" else " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

    async def work(c: Connection) -> list[Any]:
        await c.execute(f"CREATE TABLE texts (id INTEGER PRIMARY KEY, text VARCHAR(200)){engine}")
        c.post("INSERT INTO texts (id, text) VALUES (:id, :text)", {"id": 1, "text": text})
        c.post_many("INSERT INTO texts (id, text) VALUES (:id, :text)", [{"id": 2, "text": text}, {"id": 3, "text": text + "."}])
        return list(await c.fetch_all("SELECT id, text FROM texts WHERE text = :text ORDER BY id", {"text": text}))

    assert await database.transaction(work) == [(1, text), (2, text)]


async def test_more_than_a_packet_leaves_in_several(database: Database) -> None:
    """Rows of a few megabytes in all, as a burst of large deliveries makes them."""
    engine = "" if database.dialect == "sqlite" else " ENGINE=InnoDB"

    async def work(c: Connection) -> Any:
        await c.execute(f"CREATE TABLE large (id INTEGER PRIMARY KEY, text LONGTEXT){engine}")
        c.post_many("INSERT INTO large (id, text) VALUES (:id, :text)", [{"id": n, "text": "x" * 300_000} for n in range(12)])
        return await c.fetch_one("SELECT COUNT(*), SUM(LENGTH(text)) FROM large")

    found = await database.transaction(work)
    assert (int(found[0]), int(found[1])) == (12, 3_600_000)
