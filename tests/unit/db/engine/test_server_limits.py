"""What the database's own settings do to us: packets of one megabyte, a server that takes no
writes, idle transactions.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from server.db.engine import raw_connections
from server.db.engine.database import Database
from server.db.engine.sql_connection import Connection
from server.errors import DatabaseUnavailable, StatementTooLarge
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import PASSWORD, MariaDB, has_mariadb
from tests.kit.tcp_proxy import TcpProxy
from tests.unit.db.counters import create, is_whole

pytestmark = pytest.mark.xdist_group("small packets")  # they share a server of their own
_EMOJI = "\N{GRINNING FACE}" * 60_000  # 240 KB, in as few characters as a quarter of it
_BENGALI = "ক্ষ" * 30_000


@pytest.fixture(scope="module")
def small(shared_mariadb: MariaDB) -> Iterator[MariaDB]:
    """A server with the packets of an old my.cnf. Skips where there is none, as `shared_mariadb`
    does.
    """
    assert has_mariadb()
    server = MariaDB(options={"max-allowed-packet": "1M"})
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
async def database(small: MariaDB) -> AsyncIterator[Database]:
    async with Database(small.create_database(), pool=4, wait_seconds=scaled(20)) as opened:
        await opened.transaction(create)
        await opened.transaction(
            lambda c: c.execute(
                "CREATE TABLE texts (id INTEGER PRIMARY KEY, body MEDIUMTEXT) CHARACTER SET utf8mb4"
            )
        )
        yield opened


def _rows(text: str, count: int) -> list[dict[str, object]]:
    return [{"id": number, "body": text} for number in range(count)]


@pytest.mark.parametrize(
    "text", [_EMOJI, _BENGALI, "x" * 250_000], ids=["emoji", "bengali", "ascii"]
)
async def test_packets_are_counted_in_bytes(database: Database, text: str) -> None:
    """Rows of one INSERT, and statements that travel together, are split where the server would
    hang up.
    """
    await database.transaction(
        lambda c: c.execute_many(
            "INSERT INTO texts (id, body) VALUES (:id, :body)", _rows(text, 8)
        ),
        attempts=1,
    )

    async def update(c: Connection) -> None:
        for row in _rows(text[1:], 8):
            c.pipeline("UPDATE texts SET body = :body WHERE id = :id", row)

    await database.transaction(update, attempts=1)
    rows = await database.fetch_all("SELECT body FROM texts WHERE body = :body", {"body": text[1:]})
    assert len(rows) == 8


async def test_a_statement_larger_than_a_packet_is_the_error_of_its_call(
    database: Database,
) -> None:
    """Not a lost connection, which everybody on it would pay for; what was pipelined before it is
    undone.
    """
    before = await database.transaction(lambda c: c.fetch_one("SELECT CONNECTION_ID()"))

    async def write(c: Connection) -> None:
        c.pipeline("UPDATE counters SET value = 9 WHERE id = 0")
        await c.execute("UPDATE texts SET body = :body", {"body": _EMOJI * 5})

    for _ in range(3):
        with pytest.raises(StatementTooLarge, match="max_allowed_packet"):
            await database.transaction(write)
    with pytest.raises(StatementTooLarge):
        await database.transaction(
            lambda c: c.execute_many(
                "INSERT INTO texts (id, body) VALUES (:id, :body)", _rows(_EMOJI * 5, 1)
            )
        )
    assert database.is_reachable
    ids = {
        await database.transaction(lambda c: c.fetch_one("SELECT CONNECTION_ID()"))
        for _ in range(4)
    }
    assert before in ids
    assert await database.fetch_one("SELECT value FROM counters WHERE id = 0") == (0,)


async def test_a_demoted_server_is_left_for_the_one_that_takes_writes(
    small: MariaDB, mariadb: MariaDB
) -> None:
    """The old primary becomes read-only and keeps its connections; whoever connects anew comes to
    the new one.
    """
    url = small.create_database()
    name = url.rsplit("/", 1)[1]
    mariadb.sql(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    for server in (small, mariadb):
        # read_only does not bind SUPER
        server.sql(f"CREATE OR REPLACE USER plain@'%' IDENTIFIED BY '{PASSWORD}'")
        server.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `{name}`.* TO plain@'%'")
    async with TcpProxy(small.port) as proxy:
        address = f"mysql://plain:{PASSWORD}@127.0.0.1:{proxy.port}/{name}"
        async with Database(address, pool=4, wait_seconds=scaled(10)) as database:
            await database.transaction(create)
            await is_whole(database)
            async with Database(mariadb.url(name), pool=2, wait_seconds=scaled(10)) as other:
                await other.transaction(create)
            await asyncio.to_thread(small.sql, "SET GLOBAL read_only = 1")
            try:
                proxy.server_port = mariadb.port
                await database.transaction(
                    lambda c: c.execute("UPDATE counters SET value = 77 WHERE id = 1")
                )
                # readers too: what is read must not be older than what was written
                for _ in range(4):
                    assert await database.fetch_one("SELECT value FROM counters WHERE id = 1") == (
                        77,
                    )
            finally:
                await asyncio.to_thread(small.sql, "SET GLOBAL read_only = 0")
            assert await eventually(lambda: database.is_reachable)


async def test_a_server_without_writes_is_away(small: MariaDB) -> None:
    """Nobody's statement is to blame: it is told as an outage, and heals without a restart."""
    url = small.create_database()
    name = url.rsplit("/", 1)[1]
    small.sql(f"CREATE OR REPLACE USER plain@'%' IDENTIFIED BY '{PASSWORD}'")
    small.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `{name}`.* TO plain@'%'")
    async with Database(
        url.replace("omni:", "plain:"), pool=4, wait_seconds=scaled(10)
    ) as database:
        await database.transaction(create)
        await asyncio.to_thread(small.sql, "SET GLOBAL read_only = 1")
        try:
            with pytest.raises(DatabaseUnavailable):
                await database.transaction(
                    lambda c: c.execute("UPDATE counters SET value = 1 WHERE id = 1")
                )
            assert not database.is_reachable
        finally:
            await asyncio.to_thread(small.sql, "SET GLOBAL read_only = 0")
        await database.transaction(
            lambda c: c.execute("UPDATE counters SET value = 2 WHERE id = 1")
        )


async def test_who_is_refused_at_the_door_is_told_so(small: MariaDB) -> None:
    """A database that is not there (yet) is an outage like any other."""
    async with Database(small.url("nowhere"), pool=2, wait_seconds=scaled(5)) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.fetch_one("SELECT 1")


async def test_who_stands_still_in_a_transaction_gives_its_locks_back(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process, or one whose machine has lost power: the server ends the session, nobody
    waits for the dead.
    """
    monkeypatch.setattr(raw_connections, "IDLE_TRANSACTION_SECONDS", 1)
    url = mariadb.create_database()
    still, tries = asyncio.Event(), 0

    async def stand_still(c: Connection) -> None:
        nonlocal tries
        tries += 1
        await c.execute("UPDATE counters SET value = value + 1 WHERE id = 1")
        if tries == 1:
            await still.wait()
        await c.execute("UPDATE counters SET value = value + 10 WHERE id = 1")

    async with (
        Database(url, pool=4, wait_seconds=scaled(60)) as stopped,
        Database(url, pool=4, wait_seconds=scaled(60)) as other,
        asyncio.TaskGroup() as group,
    ):
        await stopped.transaction(create)
        task = group.create_task(stopped.transaction(stand_still))
        await eventually(lambda: tries == 1)
        await other.transaction(
            lambda c: c.execute("UPDATE counters SET value = 100 WHERE id = 1"), attempts=20
        )
        still.set()  # it moves again: finds its lane cut, and does the whole once more
        await task
        assert await other.fetch_one("SELECT value FROM counters WHERE id = 1") == (111,)
        assert tries == 2


_BREAKING_OUT = (
    "'", "\\'", "\\", "''", ("\\\\' OR 1 = 1 -- "), "\0", ("%s %(id)s :body {0}"), ("\u02bc \uff07 \u2019"), ("/*! */ ; DROP TABLE texts"),  # noqa: E501
)  # fmt: skip


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,PIPES_AS_CONCAT"])
async def test_texts_made_to_break_out_are_texts_in_every_sql_mode(
    small: MariaDB, database: Database, mode: str
) -> None:
    """How a text is quoted depends on the session's mode: it is set for each one, also for those
    made anew after a cut.
    """
    before = (await database.fetch_all("SELECT @@GLOBAL.sql_mode"))[0][0]
    try:
        await asyncio.to_thread(small.sql, f"SET GLOBAL sql_mode = '{mode}'")
        for _ in range(2):
            await asyncio.to_thread(small.drop_connections)
            rows = [{"id": number, "body": text} for number, text in enumerate(_BREAKING_OUT)]

            async def write(c: Connection) -> None:
                await c.execute("DELETE FROM texts")
                # awaited at once
                await c.execute_many("INSERT INTO texts (id, body) VALUES (:id, :body)", rows)  # noqa: B023
                for row in rows:  # noqa: B023
                    await c.execute(
                        "UPDATE texts SET body = :body WHERE id = :id AND body = :body", row
                    )

            await database.transaction(write)
            held = await database.fetch_all("SELECT body FROM texts ORDER BY id")
            assert [row[0] for row in held] == list(_BREAKING_OUT)
    finally:
        await asyncio.to_thread(small.sql, f"SET GLOBAL sql_mode = '{before}'")
