"""What the database says about itself, for `core.fitness` to judge."""

from server.core.checks.host_checks import VARIABLES
from server.db.engine.database import Connection


async def read_variables(connection: Connection) -> dict[str, str]:
    """MySQL's global variables that matter to us; empty on SQLite, whose settings are our own."""
    if connection.dialect == "sqlite":
        return {}
    names = ", ".join(f"'{name}'" for name in VARIABLES)
    rows = await connection.fetch_all(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    return {str(name): str(value) for name, value in rows}


async def read_clock(connection: Connection) -> float | None:
    """The database's unix seconds; None on SQLite, which has ours."""
    if connection.dialect == "sqlite":
        return None
    seconds = await connection.fetch_value("SELECT UNIX_TIMESTAMP(NOW(6))")
    return None if seconds is None else float(seconds)
