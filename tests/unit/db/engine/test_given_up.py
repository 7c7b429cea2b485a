"""A caller who was told that nothing can be done is told the truth: what was answered 503 does not
happen afterwards.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from server.db.engine.database import Connection, Database
from server.errors import DatabaseUnavailable, OutcomeUnknown
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import MariaDB
from tests.kit.tcp_proxy import TcpProxy
from tests.unit.db.counters import create, is_whole, marks


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, pool=4, wait_seconds=scaled(20)) as opened:
        await opened.transaction(create)
        yield opened


async def _mark(c: Connection) -> None:
    await c.insert("INSERT INTO marks (mark) VALUES (1)", {})


async def test_what_was_given_up_is_rolled_back(database: Database) -> None:
    """The call goes on to its end in its lane, and its end is ROLLBACK; the connection serves the
    next one.
    """
    gate, ended = asyncio.Event(), asyncio.Event()

    async def slow(c: Connection) -> None:
        await _mark(c)
        await gate.wait()
        await c.fetch_one("SELECT mark FROM marks")
        ended.set()

    with pytest.raises(DatabaseUnavailable) as told:
        await database.transaction(slow, wait_seconds=0.1)
    assert not isinstance(told.value, OutcomeUnknown), "nothing was committed, and that is known"
    gate.set()
    await ended.wait()
    await is_whole(database)
    assert await marks(database) == set()


async def test_a_call_that_fails_when_its_caller_has_gone_is_no_mistake_of_ours(
    database: Database,
) -> None:
    """asyncio logs a future's exception that nobody fetches; who has given up knows already."""
    gate, logged = asyncio.Event(), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context))

    async def fails(c: Connection) -> None:
        await gate.wait()
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await database.transaction(fails, wait_seconds=0.1)
    with pytest.raises(DatabaseUnavailable):
        await database.read(fails, wait_seconds=0.1)
    gate.set()
    await is_whole(database)  # each lane has let go of the call before
    gc.collect()
    assert logged == []


async def test_a_cancelled_call_is_rolled_back(database: Database) -> None:
    """A request whose client has gone, a service that stops: nobody will ever hear of it."""
    started, gate, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(c: Connection) -> None:
        await _mark(c)
        started.set()
        await gate.wait()
        ended.set()

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(database.transaction(slow))
        await started.wait()
        writing.cancel()
    gate.set()
    await ended.wait()
    await is_whole(database)
    assert await marks(database) == set()


async def test_a_commit_under_way_is_waited_for(mariadb: MariaDB) -> None:
    """The answer to COMMIT takes longer than the caller's patience: its outcome is told, not a
    guess.
    """
    url = await asyncio.to_thread(mariadb.create_database)
    async with (
        TcpProxy(mariadb.port) as proxy,
        _through(url, proxy, commit_seconds=scaled(20)) as database,
    ):
        await database.transaction(create, wait_seconds=scaled(20))
        at_commit = asyncio.Event()

        async def write(c: Connection) -> None:
            await _mark(c)
            proxy.freeze()  # the COMMIT leaves into silence
            at_commit.set()

        async with asyncio.TaskGroup() as group:
            writing = group.create_task(database.transaction(write, wait_seconds=0.2))
            await at_commit.wait()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):  # beyond its patience
                    await asyncio.shield(writing)
            proxy.thaw()
            await writing
        assert await marks(database) == {1}


async def test_a_commit_that_never_answers_is_said_to_be_unknown(mariadb: MariaDB) -> None:
    """Neither `done` nor `not done` would be true."""
    url = await asyncio.to_thread(mariadb.create_database)
    async with (
        TcpProxy(mariadb.port) as proxy,
        _through(url, proxy, commit_seconds=0.2) as database,
    ):
        await database.transaction(create, wait_seconds=scaled(20))

        async def write(c: Connection) -> None:
            await _mark(c)
            proxy.freeze()  # the COMMIT leaves into silence

        with pytest.raises(OutcomeUnknown) as told:
            await database.transaction(write, wait_seconds=0.2)
        assert (told.value.code, told.value.status) == ("outcome_unknown", 503)
        proxy.thaw()
        await eventually(lambda: _is_marked(database), limit=20)


async def test_a_connection_lost_in_the_middle_of_commit_is_unknown_unless_a_repetition_tells(
    mariadb: MariaDB,
) -> None:
    """Lost before COMMIT: nothing happened. Lost in it, and no repetition came through: nobody
    knows.
    """
    url = await asyncio.to_thread(mariadb.create_database)
    async with (
        TcpProxy(mariadb.port) as proxy,
        _through(url, proxy, commit_seconds=0.2) as database,
    ):
        await database.transaction(create, wait_seconds=scaled(20))

        async def lost_before(c: Connection) -> None:
            proxy.refuse_new()
            proxy.cut_all()
            await c.fetch_one("SELECT 1")

        async def lost_in_it(c: Connection) -> None:
            await _mark(c)
            proxy.refuse_new()
            proxy.cut_all()

        for call, is_known in ((lost_before, True), (lost_in_it, False)):
            with pytest.raises(DatabaseUnavailable) as told:
                await database.transaction(call, attempts=2, wait_seconds=scaled(3))
            assert isinstance(told.value, OutcomeUnknown) is not is_known, call.__name__
            proxy.accept_new()


def _through(url: str, proxy: TcpProxy, *, commit_seconds: float) -> Database:
    port = urlsplit(url).port
    return Database(
        url.replace(f":{port}/", f":{proxy.port}/"),
        pool=4,
        wait_seconds=scaled(20),
        commit_seconds=commit_seconds,
    )


async def _is_marked(database: Database) -> bool:
    return await marks(database) == {1}
