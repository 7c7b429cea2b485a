"""Two processes, one Chatwoot: one walks, the other waits and is given what it found; a walk that
died is taken over.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.db import migrations
from server.db.engine.database import Connection, Database
from server.db.journal import sync_leases
from server.incoming import full_sync_leases
from server.incoming.full_sync import FullSync
from server.incoming.full_sync_leases import LeaseLost, SyncLeases
from tests.kit.eventually import eventually
from tests.unit.incoming.test_shared_syncs import INTEGRATION, Chatwoot

NUMBER = INTEGRATION.id


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Of two processes."""
    await asyncio.to_thread(migrations.upgrade, database_url)
    async with Database(database_url) as one, Database(database_url) as other:
        yield one, other


def _sync(database: Database, chatwoot: Chatwoot) -> FullSync:
    unused: Any = None
    return FullSync(database, unused, unused, lambda _integration: chatwoot)  # type: ignore[arg-type,return-value]


async def _take(database: Database, holder: str, seconds: float) -> bool:
    async def take(connection: Connection) -> bool:
        now_us = await database.clock.read(connection)
        until_us = now_us + int(seconds * 1_000_000)
        return await sync_leases.claim_lease(connection, NUMBER, holder, now_us, until_us)

    return await database.transaction(take)


async def test_two_processes_walk_once(databases: tuple[Database, Database]) -> None:
    """Both are given what the walk found; whoever asks after it is over begins a new one."""
    chatwoot, waited = Chatwoot(), asyncio.Event()
    first, second = (_sync(database, chatwoot) for database in databases)
    async with asyncio.TaskGroup() as group:
        walking = group.create_task(first.run(INTEGRATION))
        await eventually(lambda: chatwoot.walks == 1, 30)
        waiting = group.create_task(second.run(INTEGRATION, lambda _outcome: waited.set()))
        await eventually(waited.is_set, 30)
        chatwoot.may_answer.set()
    assert chatwoot.walks == 1
    assert walking.result() == waiting.result()
    await second.run(INTEGRATION)
    assert chatwoot.walks == 2


async def test_of_two_that_begin_at_once_one_has_the_lease(
    databases: tuple[Database, Database],
) -> None:
    """Whichever it is; it is one's own again only after the other's end."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_take(database, name, 20))
            for database, name in zip(databases, "ab", strict=True)
        ]
    assert sorted(task.result() for task in tasks) == [False, True]
    holder = "a" if tasks[0].result() else "b"
    assert not await _take(databases[0], "c", 20)
    await databases[1].transaction(lambda c: sync_leases.end_lease(c, NUMBER, holder, None))
    assert await _take(databases[0], "c", 20)


async def test_a_walk_whose_process_died_is_taken_over(
    databases: tuple[Database, Database],
) -> None:
    """Its lease runs out; one that a wrong clock wrote for next year holds nobody up."""
    chatwoot = Chatwoot()
    chatwoot.may_answer.set()
    for seconds in (0.5, 400 * 86_400.0):
        await _write_lease(databases[0], "dead", seconds)
        outcome = await _sync(databases[1], chatwoot).run(INTEGRATION)
        assert not outcome.errors
    assert chatwoot.walks == 2


async def _write_lease(database: Database, holder: str, seconds: float) -> None:
    """As a process leaves it that dies."""

    async def write(connection: Connection) -> None:
        until_us = await database.clock.read(connection) + int(seconds * 1_000_000)
        await connection.execute("DELETE FROM omni_sync_leases")
        await connection.execute(
            "INSERT INTO omni_sync_leases (integration_id, holder, lease_until) VALUES (:id, "
            ":holder, :until)",
            {"id": NUMBER, "holder": holder, "until": until_us},
        )

    await database.transaction(write)


async def test_who_has_lost_the_lease_ends(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stood still finds another walk under way, and leaves it alone, and its
    lease.
    """
    monkeypatch.setattr(full_sync_leases, "_RENEW_SECONDS", 0.02)
    began = asyncio.Event()

    async def walk() -> str:
        began.set()
        await asyncio.Event().wait()  # for good, unless it is ended
        return ""

    async def take_over() -> None:
        await began.wait()
        await _write_lease(databases[1], "another", 20)

    async with asyncio.TaskGroup() as group:
        group.create_task(take_over())
        with pytest.raises(LeaseLost):
            await SyncLeases(databases[0]).run(NUMBER, walk, lambda: None)
    left = await databases[1].read(lambda c: sync_leases.read_lease(c, NUMBER))
    assert left is not None
    assert (left.holder, left.lease_us > 0) == ("another", True)


async def test_what_a_walk_raises_ends_its_lease(databases: tuple[Database, Database]) -> None:
    """The next one begins at once."""

    async def fail() -> str:
        raise RuntimeError("in the middle of it")

    async def end() -> str:
        return "done"

    with pytest.raises(RuntimeError, match="in the middle"):
        await SyncLeases(databases[0]).run(NUMBER, fail, lambda: None)
    assert await SyncLeases(databases[1]).run(NUMBER, end, lambda: None) == "done"
