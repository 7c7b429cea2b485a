"""Many short rows of whole numbers as one row: MySQL's driver spends more on a row than its query
costs.

`GROUP_CONCAT` cuts silently what is longer than the session or a packet allows, so the number of
rows travels with it: `unpacked` notices, and the caller asks for plain rows.
"""

from collections.abc import Sequence

from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Dialect, Parameters, Row


def select_packed(dialect: Dialect, columns: Sequence[str], source: str, order: str) -> str:
    """A SELECT of these columns, one row for all; on SQLite, whose driver is quick with rows, a row
    for each.

    `source`: all from the table's name up to the end of WHERE.
    """
    if dialect == "sqlite":
        return select_plain(dialect, columns, source, order)
    values = ", ':', ".join(columns)
    return (
        f"SELECT GROUP_CONCAT({values}, ';' ORDER BY {order} SEPARATOR ''), COUNT(*) FROM {source}"
    )


def select_plain(_: Dialect, columns: Sequence[str], source: str, order: str) -> str:
    """The same with a row for each."""
    return f"SELECT {', '.join(columns)} FROM {source} ORDER BY {order}"


def as_numbers(rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """Return the rows as tuples of integers; NULL becomes 0."""
    return [tuple(int(value or 0) for value in row) for row in rows]


def unpacked(dialect: Dialect, rows: Sequence[Row]) -> list[tuple[int, ...]] | None:
    """The rows in their order; None when something of them was cut off."""
    if dialect == "sqlite":
        return as_numbers(rows)
    text, count = rows[0]
    # each row ends with one, so that half a number is no number
    *found, rest = (text or "").split(";")
    return (
        [tuple(map(int, one.split(":"))) for one in found]
        if len(found) == count and not rest
        else None
    )


async def fetch_packed(
    connection: Connection, columns: Sequence[str], source: str, order: str, parameters: Parameters
) -> list[tuple[int, ...]]:
    """Those rows, packed or plain."""
    sql = select_packed(connection.dialect, columns, source, order)
    found = unpacked(connection.dialect, await connection.fetch_all(sql, parameters))
    if found is not None:
        return found
    plain = select_plain(connection.dialect, columns, source, order)
    return as_numbers(await connection.fetch_all(plain, parameters))
