"""Statements that travel together: they take place in their order, all or none, and texts come back
as they were bound.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.db.engine.database import Connection, Database
from server.db.engine.driver_adapters import IntList
from server.errors import DuplicateRow
from tests.kit.eventually import scaled
from tests.unit.db.counters import create, is_whole, marks


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With a table of four counters, and one to add rows to."""
    async with Database(database_url, pool=4, wait_seconds=scaled(20)) as opened:
        await opened.transaction(create)
        yield opened


async def test_posted_statements_leave_with_the_commit(database: Database) -> None:
    """Nobody waits for them, and after the transaction they have taken place, in their order."""

    async def write(c: Connection) -> None:
        c.pipeline("UPDATE counters SET value = 5 WHERE id = 0")
        c.pipeline("UPDATE counters SET value = value * 2 WHERE id = 0")
        c.pipeline_many(
            "INSERT INTO marks (mark) VALUES (:mark)", [{"mark": mark} for mark in range(3)]
        )

    await database.transaction(write)

    assert await database.fetch_one("SELECT value FROM counters WHERE id = 0") == (10,)
    assert await marks(database) == {0, 1, 2}


async def test_a_posted_statement_that_fails_undoes_the_transaction(database: Database) -> None:
    """Its error comes with the next answer or the COMMIT; what was pipelined before it, and after
    it, has not taken place.
    """

    async def write(c: Connection) -> None:
        c.pipeline("UPDATE counters SET value = 5 WHERE id = 0")
        c.pipeline_many("INSERT INTO marks (mark) VALUES (:mark)", [{"mark": 1}, {"mark": 1}])
        c.pipeline("UPDATE counters SET value = 6 WHERE id = 1")

    with pytest.raises(DuplicateRow):
        await database.transaction(write, attempts=1)

    assert await marks(database) == set()
    assert await database.fetch_all(
        "SELECT value FROM counters WHERE id IN (0, 1) ORDER BY id"
    ) in ([(0,), (0,)], ((0,), (0,)))
    await is_whole(database)


async def test_a_single_posted_insert_of_many_rows_is_all_or_nothing(database: Database) -> None:
    """A statement that leaves without BEGIN is a transaction by itself; one that is several
    statements is not left alone.
    """
    rows = [{"mark": 1}, {"mark": 2}, {"mark": 1}]

    async def write(c: Connection) -> None:
        c.pipeline_many("INSERT INTO marks (mark) VALUES (:mark)", rows)

    with pytest.raises(DuplicateRow):
        await database.transaction(write, attempts=1)

    assert await marks(database) == set()


async def test_a_refusal_drops_what_was_posted(database: Database) -> None:
    """A call that raises leaves nothing for the next one on the same connection."""

    async def refuse(c: Connection) -> None:
        c.pipeline("UPDATE counters SET value = 7 WHERE id = 0")
        raise DuplicateRow

    for _ in range(8):
        with pytest.raises(DuplicateRow):
            await database.transaction(refuse, attempts=1)
    await is_whole(database)
    value = await database.fetch_one("SELECT value FROM counters WHERE id = 0")
    assert value is not None
    assert value[0] < 100


async def test_reads_see_what_was_posted_before_them(database: Database) -> None:
    """Several SELECTs leave together, after the statements that were posted; each has its own
    rows.
    """

    async def work(c: Connection) -> list[Any]:
        c.pipeline("UPDATE counters SET value = 9 WHERE id = 2")
        return await c.fetch_each(
            ("SELECT value FROM counters WHERE id = :id", {"id": 2}),
            ("SELECT id FROM counters WHERE id IN (:ids) ORDER BY id", {"ids": IntList([3, 1])}),
            ("SELECT id FROM counters WHERE id IN (:ids)", {"ids": IntList()}),
        )

    found = await database.transaction(work)
    assert [list(rows) for rows in found] == [[(9,)], [(1,), (3,)], []]


async def test_each_inserted_row_tells_its_id(database: Database) -> None:
    """In the order of the rows, whatever was pipelined before."""

    async def work(c: Connection) -> list[int]:
        c.pipeline("UPDATE counters SET value = 1 WHERE id = 0")
        return await c.insert_each(
            "INSERT INTO marks (mark) VALUES (:mark)", [{"mark": 4}, {"mark": 3}]
        )

    ids = await database.transaction(work)
    # there the primary key is the row's id; MySQL tells only those it has counted up itself
    if database.dialect == "sqlite":
        assert ids == [4, 3]
    assert await marks(database) == {3, 4}


DIFFICULT = (
    "",
    'it\'s "quoted" \\ and ; -- DROP',
    "%s %d %% %(name)s :name ::x",
    "নমস্কার র্ক্ষ্যু 👩‍👩‍👧 \u202eabc",
    "\x00\x01\x1f\x7f\u2028 \t\r\n",
    "'; COMMIT; --",
    "\\' OR 1=1",
)


@pytest.mark.parametrize("text", DIFFICULT)
async def test_texts_come_back_as_they_were(database: Database, text: str) -> None:
    """Bound in one statement, in many rows and in a condition."""
    engine = (
        ""
        if database.dialect == "sqlite"
        else " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    )

    async def work(c: Connection) -> list[Any]:
        await c.execute(f"CREATE TABLE texts (id INTEGER PRIMARY KEY, text VARCHAR(200)){engine}")
        c.pipeline("INSERT INTO texts (id, text) VALUES (:id, :text)", {"id": 1, "text": text})
        c.pipeline_many(
            "INSERT INTO texts (id, text) VALUES (:id, :text)",
            [{"id": 2, "text": text}, {"id": 3, "text": text + "."}],
        )
        return list(
            await c.fetch_all(
                "SELECT id, text FROM texts WHERE text = :text ORDER BY id", {"text": text}
            )
        )

    assert await database.transaction(work) == [(1, text), (2, text)]


async def test_more_than_a_packet_leaves_in_several(database: Database) -> None:
    """Rows of a few megabytes in all, as a burst of large deliveries makes them."""
    engine = "" if database.dialect == "sqlite" else " ENGINE=InnoDB"

    async def work(c: Connection) -> Any:
        await c.execute(f"CREATE TABLE large (id INTEGER PRIMARY KEY, text LONGTEXT){engine}")
        c.pipeline_many(
            "INSERT INTO large (id, text) VALUES (:id, :text)",
            [{"id": n, "text": "x" * 300_000} for n in range(12)],
        )
        return await c.fetch_one("SELECT COUNT(*), SUM(LENGTH(text)) FROM large")

    found = await database.transaction(work)
    assert (int(found[0]), int(found[1])) == (12, 3_600_000)
