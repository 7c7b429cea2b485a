"""The database's clock: what a machine's own clock does is of no account."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.core.times import SECOND
from server.db.access import agent_rows
from server.db.engine.clock import DatabaseClock
from server.db.engine.database import Database
from server.db.journal import sync_runs
from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB
from tests.unit.databases import fresh_sqlite

_HOUR = 3600.0


@pytest.fixture
async def on_mariadb(mariadb: MariaDB) -> AsyncIterator[Database]:
    async with Database(mariadb.create_database(), wait_seconds=scaled(20)) as database:
        yield database


async def test_a_wrong_wall_clock_is_of_no_account(on_mariadb: Database) -> None:
    """Once the database has answered, its time goes on by the monotonic clock, within a round
    trip's time of the truth.
    """
    wall, moment = time.time() + _HOUR, [100.0]
    clock = DatabaseClock("mysql", wall=lambda: wall, monotonic=lambda: moment[0])
    assert clock.now_us() == int(wall * SECOND), (
        "until the database has answered, the wall clock stands in"
    )
    assert clock.is_read_due
    before = time.time()
    told = await on_mariadb.read(clock.read)
    assert before - 1 < told / SECOND < time.time() + 1
    assert abs(clock.now_us() - told) < 2
    assert not clock.is_read_due
    moment[0] += 60.0
    assert abs(clock.now_us() - told - 60 * SECOND) < 2
    assert clock.is_read_due, "a failover may have brought another clock"


async def test_every_call_keeps_it_measured(on_mariadb: Database) -> None:
    """Whoever has called the database knows its time."""
    assert on_mariadb.clock.is_read_due
    await on_mariadb.fetch_one("SELECT 1")
    assert not on_mariadb.clock.is_read_due


async def test_a_slow_answer_does_not_move_it(on_mariadb: Database) -> None:
    """It says little of when within its time the database looked at its clock."""
    moments = iter([0.0, 0.0, 10.0, 50.0, 50.0, 50.0])
    clock = DatabaseClock("mysql", monotonic=lambda: next(moments))
    first = await on_mariadb.read(clock.read)
    await on_mariadb.read(clock.read)  # took forty seconds by this clock
    assert abs(clock.now_us() - first - 50 * SECOND) < 2


async def test_a_sign_out_of_the_future_is_one_of_now(tmp_path: Path) -> None:
    """A clock that was ahead has written it: whoever signs in afterwards is let in, what was issued
    before stays out.
    """
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        now_us = database.clock.now_us()
        agent_id = await database.transaction(
            lambda c: agent_rows.add_agent(c, 1, "m@example.org", "M", "agent", None, now_us)
        )
        wrong = {"valid_after": now_us + 3600 * SECOND}
        await database.transaction(lambda c: agent_rows.update_agent(c, agent_id, wrong, now_us))
        assert await database.transaction(lambda c: agent_rows.heal_valid_after(c, now_us)) == 1
        assert await database.transaction(lambda c: agent_rows.heal_valid_after(c, now_us)) == 0
        agent = await database.read(lambda c: agent_rows.read_agent(c, agent_id))
        assert agent is not None
        assert agent.valid_after_us == now_us


async def test_a_sync_heard_of_in_the_future_is_taken_over(tmp_path: Path) -> None:
    """Its process died with a clock that was ahead."""
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        now_us = database.clock.now_us()
        await database.transaction(lambda c: sync_runs.ask_for_run(c, 1, now_us))
        for heard_us, is_taken in (
            (now_us + 3600 * SECOND, True),
            (now_us, False),
            (now_us - 3600 * SECOND, True),
        ):
            row = {"heard": heard_us}
            taken = "UPDATE omni_sync_runs SET state = 'running', updated_at = :heard"
            await database.transaction(lambda c, row=row, taken=taken: c.execute(taken, row))  # type: ignore[misc]
            waiting = await database.read(
                lambda c: sync_runs.read_waiting(c, now_us - 20 * SECOND, now_us + 20 * SECOND)
            )
            assert bool(waiting) is is_taken
