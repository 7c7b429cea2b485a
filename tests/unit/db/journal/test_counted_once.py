"""What is counted and logged of a transaction is that of its one COMMIT, however often it ran."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from server import metrics
from server.db.engine.database import Connection, Database
from server.db.journal import journal
from server.db.journal.journal import Delivery
from server.db.migrations import upgrade
from server.db.state import number_reuse
from server.errors import BadRequest, DatabaseRetryable


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    upgrade(database_url)
    async with Database(database_url) as opened:
        delivery = Delivery("a", 1, "{}", {}, 1, True, company_id=1)
        await opened.transaction(lambda c: journal.append_deliveries(c, [delivery]))
        yield opened


def _dead() -> float:
    return float(metrics.deliveries_ingested.labels("dead")._value.get())


async def _fail(connection: Connection) -> None:
    await journal.count_failure(connection, 1, "broken", 1, lambda attempts: attempts)
    await number_reuse.record_reuse(connection, [(1, "message", 7)], 1)


async def test_a_transaction_that_runs_three_times_is_counted_once(database: Database) -> None:
    """A deadlock's victim is run again: its delivery dies once, and the log says so once."""
    before, left = _dead(), [DatabaseRetryable(), DatabaseRetryable()]

    async def fail(connection: Connection) -> None:
        await _fail(connection)
        if left:
            raise left.pop()

    with capture_logs() as lines:
        await database.transaction(fail)
    assert _dead() == before + 1
    assert [line["event"] for line in lines] == ["number given out again"]


async def test_a_transaction_that_is_refused_is_not_counted(database: Database) -> None:
    """What was rolled back has not happened."""
    before = _dead()

    async def fail(connection: Connection) -> None:
        await _fail(connection)
        raise BadRequest("no")

    with capture_logs() as lines, pytest.raises(BadRequest):
        await database.transaction(fail)
    assert (_dead(), lines) == (before, [])
    [row] = await database.fetch_all("SELECT state FROM omni_webhook_deliveries")
    assert row[0] == "received"
