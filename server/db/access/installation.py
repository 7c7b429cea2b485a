"""What makes the processes on one database one installation: a name and a secret, made once and
kept there.
"""

import secrets

from server.core.times import wall_now_us
from server.core.wire.envelope import Installation, derive
from server.db.engine.database import Connection, Database

_READ = "SELECT name, secret FROM omni_installation WHERE id = 1"
# passes over the row that another process has made meanwhile, and over nothing else
_UNLESS_THERE = {
    "sqlite": "ON CONFLICT (id) DO NOTHING",
    "mysql": "ON DUPLICATE KEY UPDATE id = id",
}


async def read_installation(database: Database) -> Installation:
    """Return the installation's name and key; the first process to ask makes them. Raises
    DatabaseUnavailable.
    """

    async def make(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO omni_installation (id, name, secret, created_at) VALUES (1, :name, "
            ":secret, :now) "
            f"{_UNLESS_THERE[connection.dialect]}",
            {
                "name": secrets.token_hex(8),
                "secret": secrets.token_hex(32),
                "now": wall_now_us(),
            },
        )

    found = await database.read(_read)
    if found is None:
        await database.transaction(make)
        found = await database.read(_read)
    if found is None:
        raise AssertionError("unreachable: just inserted")
    return found


async def _read(connection: Connection) -> Installation | None:
    row = await connection.fetch_one(_READ)
    if row is None:
        return None
    name, secret = row
    place = None
    if connection.dialect == "mysql":
        place = await connection.fetch_value("SELECT DATABASE()")
    return derive(name, secret, "" if place is None else str(place))
