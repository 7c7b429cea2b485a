"""How much an upgrade asks the database."""

from sqlalchemy import Engine, event

from server.db.migrations import upgrade
from server.db.schema.tables import metadata


def test_each_table_is_looked_at_once_for_all_revisions(database_url: str) -> None:
    """However many revisions there are: each statement is a round trip, and an upgrade holds the
    database's lock all the while.
    """
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        upgrade(database_url)
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert 0 < statements < 20 * len(metadata.tables)
