"""Whose turn a round of reconcile is, in one row for all processes: on SQLite and MariaDB."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.core.times import SECOND
from server.db import migrations
from server.db.access import integration_record, integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.journal import reconcile_claims
from server.db.journal.reconcile_claims import Claim

NOW_US = 1_800_000_000 * SECOND
_LEASE_US = 45 * SECOND
_EVERY_US = 180 * SECOND


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With one integration, whose number is 1."""
    await asyncio.to_thread(migrations.upgrade, database_url)
    values = {
        "company_id": 1,
        "account_id": 3,
        "inbox_id": 12,
        "base_url": "",
        "access_token": "t",
        "webhook_secret": None,
    }
    async with Database(database_url) as opened:
        await opened.transaction(
            lambda c: integration_rows.add_integration(c, Vault(""), values, NOW_US)
        )
        yield opened


async def _claim(database: Database, now_us: int, every_us: int = _EVERY_US) -> Claim | None:
    return await database.transaction(
        lambda c: reconcile_claims.claim(c, 1, now_us, now_us + _LEASE_US, every_us)
    )


async def _release(
    database: Database, claim: Claim, newest_us: int = 0, problem: str | None = None
) -> bool:
    return await database.transaction(
        lambda c: reconcile_claims.release(
            c, claim, reconciled_us=NOW_US, newest_us=newest_us, problem=problem
        )
    )


async def _integration(database: Database) -> integration_record.Integration:
    [integration] = await database.read(lambda c: integration_rows.read_integrations(c, Vault("")))
    return integration


async def test_a_round_is_one_process_s(database: Database) -> None:
    """While it has the lease, and until its time has come again, nobody else begins one."""
    claim = await _claim(database, NOW_US)
    assert claim is not None
    assert claim.reconciled_us == 0
    assert await _claim(database, NOW_US + SECOND, every_us=0) is None
    assert await _release(database, claim)
    assert await _claim(database, NOW_US + _EVERY_US - 1) is None
    again = await _claim(database, NOW_US + _EVERY_US)
    assert again is not None
    assert again.reconciled_us == NOW_US


async def test_a_dead_process_s_round_is_taken_over(database: Database) -> None:
    """When its lease has run out; what the dead one would still write down is refused."""
    dead = await _claim(database, NOW_US)
    assert dead is not None
    taken = await _claim(database, NOW_US + _LEASE_US + 1, every_us=0)
    assert taken is not None
    assert not await database.transaction(
        lambda c: reconcile_claims.renew(c, dead, NOW_US + 9 * _LEASE_US)
    )
    assert not await _release(database, dead, newest_us=NOW_US + SECOND)
    assert await _release(database, taken, newest_us=NOW_US)
    assert (await _integration(database)).repaired_us == NOW_US


async def test_a_lost_answer_changes_nothing(database: Database) -> None:
    """Each statement may be run again after a COMMIT whose answer was lost: repairs are counted
    once.
    """
    claim = await _claim(database, NOW_US)
    assert claim is not None
    for _ in range(2):
        assert await database.transaction(
            lambda c: reconcile_claims.renew(c, claim, claim.lease_us + SECOND)
        )
    renewed = Claim(1, claim.lease_us + SECOND, 0)
    assert await _release(database, renewed, newest_us=NOW_US, problem="x" * 300)
    assert not await _release(database, renewed, newest_us=NOW_US + SECOND)
    after = await _integration(database)
    assert (after.repaired_us, after.walk_problem) == (NOW_US, "x" * 255)


async def test_a_clock_that_was_wrong_stops_nobody(database: Database) -> None:
    """A round that began an hour from now, by a clock that has been set back since, counts as
    none.
    """
    claim = await _claim(database, NOW_US + 3600 * SECOND)
    assert claim is not None
    assert await _release(database, claim)
    assert await _claim(database, NOW_US) is not None


async def test_a_lease_that_cannot_be_is_not_waited_for(database: Database) -> None:
    """A process whose clock was an hour ahead died in its round; one of now is respected."""
    assert await _claim(database, NOW_US + 3600 * SECOND) is not None
    assert await _claim(database, NOW_US, every_us=0) is not None
    assert await _claim(database, NOW_US + SECOND, every_us=0) is None


async def test_the_newest_webhook_of_all_processes_counts(database: Database) -> None:
    """A process that saw an older one, or none at all, takes nothing back."""
    for at_us in (NOW_US, NOW_US - SECOND):
        # awaited at once
        await database.transaction(lambda c: reconcile_claims.write_seen(c, {1: at_us, 99: at_us}))  # noqa: B023
    assert (await _integration(database)).seen_us == NOW_US
