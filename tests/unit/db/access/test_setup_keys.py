"""Whose set-up key counts, on both databases."""

from collections.abc import AsyncIterator

import pytest

from server.db.access import setup_keys
from server.db.engine.database import Database
from server.db.migrations import upgrade

SILENT = 45
NOW = 1_000


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With the tables."""
    upgrade(database_url)
    async with Database(database_url) as opened:
        yield opened


async def keep(database: Database, key: str, now: int) -> bool:
    return await database.transaction(lambda c: setup_keys.keep_key(c, key, now, SILENT))


async def test_one_process_keeps_its_key_until_it_is_silent(database: Database) -> None:
    """Another's is refused as long as the first is heard, and takes its place afterwards."""
    assert await keep(database, "a", NOW)
    assert not await keep(database, "b", NOW + SILENT)
    assert await keep(database, "a", NOW + SILENT)
    assert not await keep(database, "b", NOW + 2 * SILENT)
    assert await keep(database, "b", NOW + 2 * SILENT + 1)
    assert not await keep(database, "a", NOW + 2 * SILENT + 2)


async def test_a_clock_that_was_wrong_holds_nobody_back(database: Database) -> None:
    """Heard in the future: by a clock that was set back since."""
    assert await keep(database, "a", NOW + 86_400)
    assert await keep(database, "b", NOW)


async def test_a_key_is_good_while_its_process_is_heard_and_is_dropped_once(
    database: Database,
) -> None:
    """Of two who use it, one does."""
    assert await keep(database, "a", NOW)
    assert await database.read(lambda c: setup_keys.is_key(c, "a", NOW))
    assert not await database.read(lambda c: setup_keys.is_key(c, "a", NOW + 1))
    assert not await database.read(lambda c: setup_keys.is_key(c, "b", NOW))
    assert [
        await database.transaction(lambda c: setup_keys.drop_key(c, "a")) for _ in range(2)
    ] == [True, False]
