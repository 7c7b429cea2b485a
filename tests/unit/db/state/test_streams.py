"""The lock on a company's stream: nobody waits for it in a lane, and no other company is
concerned.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pymysql
import pytest

from server.core.state.cursors import Stream
from server.db.engine.database import Database
from server.db.engine.sql_connection import Connection
from server.db.migrations import upgrade
from server.db.state import eventlog
from server.errors import CompanyBusy
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import PASSWORD, USER, MariaDB


@contextlib.contextmanager
def held(mariadb: MariaDB, url: str, sql: str) -> Iterator[None]:
    """Another client of the database, a CRM or somebody's console, that locks rows and keeps
    them.
    """
    connection = pymysql.connect(
        host="127.0.0.1",
        port=mariadb.port,
        user=USER,
        password=PASSWORD,
        database=url.rsplit("/", 1)[1],
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(sql)
        yield
    finally:
        connection.close()


@pytest.fixture
async def database(mariadb: MariaDB) -> AsyncIterator[tuple[Database, str]]:
    """With the streams of companies 1 and 2."""
    url = mariadb.create_database()
    await asyncio.to_thread(upgrade, url)
    async with Database(url, pool=4, wait_seconds=scaled(10)) as opened:
        await _lock(opened, 1, 2)
        yield opened, url


async def _lock(
    database: Database, *company_ids: int, wait_seconds: float | None = None
) -> dict[int, Stream]:
    return await database.transaction(
        lambda c: eventlog.lock_streams(c, company_ids, "epoch"), wait_seconds=wait_seconds
    )


async def test_a_company_that_is_held_holds_up_no_other(
    database: tuple[Database, str], mariadb: MariaDB
) -> None:
    """Twenty callers wait for company 1, more than there are lanes; company 2 is served as if they
    were not there.
    """
    opened, url = database
    with held(mariadb, url, "SELECT * FROM omni_inbox_streams WHERE company_id = 1 FOR UPDATE"):
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(_lock(opened, 1, wait_seconds=60)) for _ in range(20)]
            await eventually(lambda: opened.busy.locked(0.3), limit=30)
            for _ in range(20):  # with less patience than one lock wait of the database
                assert set(await _lock(opened, 2, wait_seconds=scaled(1.5))) == {2}
            assert opened.is_reachable
            assert set(opened.busy.locked(0.3)) == {1}
            for task in waiting:
                assert not task.done()
                task.cancel()


async def test_who_has_no_patience_left_is_told_which_company_it_was(
    database: tuple[Database, str], mariadb: MariaDB
) -> None:
    """And not that the database cannot be reached."""
    opened, url = database
    with held(mariadb, url, "SELECT * FROM omni_inbox_streams WHERE company_id = 1 FOR UPDATE"):
        with pytest.raises(CompanyBusy) as caught:
            await _lock(opened, 1, 2, wait_seconds=0.2)
        assert caught.value.company_ids == {1}
        assert caught.value.status == 503
        assert opened.is_reachable

        # once the last try of the call above has been rolled back
        async def locks_the_other() -> bool:
            streams, found = await opened.transaction(
                lambda c: eventlog.lock_free_and_read(c, [1, 2], ("SELECT 5", {}))
            )
            assert [tuple(rows[0]) for rows in found] == [(5,)]
            return set(streams) == {2}

        assert await eventually(locks_the_other, limit=30)


async def test_it_goes_on_by_itself_when_the_row_is_free(
    database: tuple[Database, str], mariadb: MariaDB
) -> None:
    """The caller waits outside of the lane, and takes its turn."""
    opened, url = database
    async with asyncio.TaskGroup() as group:
        with held(mariadb, url, "SELECT * FROM omni_inbox_streams WHERE company_id = 1 FOR UPDATE"):
            task = group.create_task(_lock(opened, 1, wait_seconds=60))
            await eventually(lambda: opened.busy.locked(0.0), limit=30)
        assert set(await task) == {1}
    assert opened.busy.locked(0.0) == {}


async def test_many_lock_one_company_and_each_has_its_turn(database: tuple[Database, str]) -> None:
    """Of two processes; no number is given twice, and none is left out."""
    opened, url = database

    async def append(connection: Connection) -> None:
        stream = (await eventlog.lock_streams(connection, [1], "epoch"))[1]
        await asyncio.sleep(0.001)
        await connection.execute(
            "UPDATE omni_inbox_streams SET head = :head WHERE company_id = 1",
            {"head": stream.head + 1},
        )

    async with (
        Database(url, pool=4, wait_seconds=scaled(30)) as other,
        asyncio.TaskGroup() as group,
    ):
        for number in range(60):
            group.create_task(
                (other if number % 2 else opened).transaction(append, wait_seconds=scaled(30))
            )
    assert await opened.fetch_one("SELECT head FROM omni_inbox_streams WHERE company_id = 1") == (
        60,
    )


async def test_two_make_the_first_row_of_a_company_at_once(database: tuple[Database, str]) -> None:
    """One of them makes it, the other finds it."""
    opened, _ = database
    async with asyncio.TaskGroup() as group:
        for company_id in range(10, 20):
            for _ in range(4):
                group.create_task(_lock(opened, company_id, wait_seconds=scaled(30)))
    rows = await opened.fetch_all(
        "SELECT company_id FROM omni_inbox_streams WHERE company_id >= 10"
    )
    assert len(rows) == 10


async def test_companies_whose_logs_begin_together_have_epochs_of_their_own(
    database: tuple[Database, str],
) -> None:
    """In one transaction: else a cursor of the one would fit the log of the other."""
    opened, _ = database
    streams = await opened.transaction(lambda c: eventlog.lock_streams(c, [11, 12]))
    assert streams[11].epoch != streams[12].epoch
