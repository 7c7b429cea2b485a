"""Triggers are put back where all that they name is there, whatever else is missing."""

import pytest
from sqlalchemy import Connection

from server.db.engine.driver_adapters import Dialect
from server.db.migrations import put_triggers_back, upgrade
from server.db.migrations.upgrade_connection import connected
from server.db.schema import crm_triggers
from server.errors import ConfigurationError
from tests.unit.incoming.crm_desk import open_desk

_INDEX = "omni_ix_message_answered"


@pytest.fixture
def bare_url(database_url: str) -> str:
    """A database of today without its triggers."""
    upgrade(database_url)
    with connected(database_url) as connection:
        for one in crm_triggers.triggers(_dialect(connection)):
            connection.exec_driver_sql(f"DROP TRIGGER {one.name}")
    return database_url


def test_an_index_that_is_missing_keeps_no_trigger_away(bare_url: str) -> None:
    """No trigger names one: the CRM's writes are noted all the same."""
    with connected(bare_url) as connection:
        table = "" if _dialect(connection) == "sqlite" else " ON social_messages"
        connection.exec_driver_sql(f"DROP INDEX {_INDEX}{table}")
    [done] = put_triggers_back(bare_url)
    assert done.startswith("created triggers")
    with connected(bare_url) as connection:
        assert crm_triggers.missing(connection) == []


async def test_a_server_does_not_take_triggers_that_cannot_be_put_back_for_present(
    bare_url: str,
) -> None:
    """It says so, and puts them back when the column has its name again."""
    _rename(bare_url, "omni_seq", "seq")
    with pytest.raises(ConfigurationError, match=r"social_messages\.omni_seq"):
        put_triggers_back(bare_url)
    async with open_desk(bare_url) as desk:
        await desk.watch.check()
        assert desk.watch._retry_at > 0
        _rename(bare_url, "seq", "omni_seq")
        desk.watch._retry_at = 0.0
        await desk.watch.check()
        assert await desk.database.read(crm_triggers.read_missing) == []


def _rename(url: str, old: str, new: str) -> None:
    with connected(url) as connection:
        connection.exec_driver_sql(f"ALTER TABLE social_messages RENAME COLUMN {old} TO {new}")


def _dialect(connection: Connection) -> Dialect:
    return "sqlite" if connection.dialect.name == "sqlite" else "mysql"
