"""When the rows of a CRM have to be compared, as notes of what it wrote may be missing."""

from server.core.times import wall_now_us
from server.db.engine.database import Database
from server.db.migrations import upgrade
from server.db.state import crm_proofs
from tests import crm


async def _reason(database_url: str) -> str | None:
    """Why the first process that comes compares."""
    async with Database(database_url) as database:
        return await database.transaction(
            lambda c: crm_proofs.prove(c, wall_now_us(), has_refused=False)
        )


async def test_what_comes_after_the_upgrade_of_an_empty_database_is_no_reason(
    database_url: str,
) -> None:
    """Nothing was there before the triggers: no client takes a snapshot because the first process
    found what another one had ingested by then.
    """
    upgrade(database_url)
    assert await _reason(database_url) is None


async def test_rows_that_are_older_than_the_triggers_are_compared(database_url: str) -> None:
    """The CRM may have written between the upgrade's look and its triggers."""
    crm.load(database_url)
    upgrade(database_url)
    assert await _reason(database_url) is not None
    assert await _reason(database_url) is None
