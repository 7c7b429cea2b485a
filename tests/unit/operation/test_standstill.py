"""How long the oldest delivery has waited, by our own clock alone."""

from pathlib import Path

from server.db.engine.database import Database
from server.db.journal.journal import Delivery, append_deliveries
from server.db.journal.journal_reads import read_edges
from server.operation.standstill import Standstill
from tests.unit.databases import fresh_sqlite


async def test_the_age_of_what_waits_is_measured_by_our_own_clock(tmp_path: Path) -> None:
    """From when it was seen to be there; nothing that is taken in at once has an age, however much
    there is.
    """
    now = 100.0
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        one = Standstill(database, lambda: now)
        one.observe(None, 7)
        assert one.seconds == 0
        now = 110.0
        one.observe(8, 9)
        now = 113.0
        one.observe(8, 30)
        assert one.seconds == 3
        one.observe(9, 30)
        assert one.seconds == 3
        one.observe(20, 31)  # seen first when 30 was the newest
        assert one.seconds == 0
        now = 120.0
        assert one.seconds == 7  # the database is away meanwhile: it goes on waiting
        one.observe(None, 31)
        assert one.seconds == 0


async def test_the_edges_of_the_journal_are_read(tmp_path: Path) -> None:
    """The oldest that is due, and the newest of all; neither where it is empty."""
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        assert await database.read(read_edges) == (None, 0)
        rows = [Delivery(uid=f"u{n}", received_us=1, body="{}", headers={}) for n in range(3)]
        await database.transaction(lambda c: append_deliveries(c, rows))
        assert await database.read(read_edges) == (1, 3)
        done = "UPDATE omni_webhook_deliveries SET state = 'done' WHERE id = 1"
        later = "UPDATE omni_webhook_deliveries SET next_attempt_at = 5 WHERE id = 2"
        for statement in (done, later):
            # awaited at once
            await database.transaction(lambda c: c.execute(statement))  # noqa: B023
        assert await database.read(read_edges) == (3, 3)
