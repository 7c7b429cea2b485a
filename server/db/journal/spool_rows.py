"""Statements on the spool's SQLite file: deliveries that wait, and those put aside."""

import sys
from collections.abc import Sequence

import msgspec

from server.db.engine.database import Connection
from server.db.journal.journal import Delivery
from server.errors import Unavailable

_CREATE = (
    (
        "CREATE TABLE IF NOT EXISTS spooled_deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, "
        "delivery TEXT NOT NULL)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS refused_deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, "
        "delivery TEXT NOT NULL, reason TEXT NOT NULL)"
    ),
)


INSERT_DELIVERY = (
    "INSERT INTO spooled_deliveries (delivery, stranger_bytes) VALUES (:delivery, :stranger_bytes)"
)


# rows of one SELECT, of up to 5 MB each; and about how much is held in memory at once
_READ_ROWS, READ_BYTES = 8, 4_000_000


_STRANGERS_SHARE = 10  # a tenth of the spool is for deliveries whose sender nobody could judge


_ROW_BYTES = 200  # what a row costs besides its text


_MAX_COUNTED_ROWS = 2_000  # above this the number of rows is told by the first and the last


_encoder = msgspec.json.Encoder()


delivery_decoder = msgspec.json.Decoder(Delivery)


class SpoolFull(Unavailable):
    """The spool has reached its limit of bytes: the delivery is refused, and Chatwoot is to send it
    again.
    """

    code = "spool_full"
    title = "The database is away and the local spool is full; nothing more can be kept"


class StrangersFull(SpoolFull):
    """Its tenth is full; there is room for deliveries that were judged on arrival."""

    title = "The database is away, and the spool's part for senders that cannot be judged is full"


def row_of(delivery: Delivery) -> dict[str, str | int]:
    """Return a delivery as a row of the spool; the bytes of unverified ones are counted."""
    encoded = _encoder.encode(delivery)
    return {
        "delivery": encoded.decode(),
        "stranger_bytes": 0 if delivery.is_verified else len(encoded) + _ROW_BYTES,
    }


async def check_readable(connection: Connection) -> None:
    """Raise the driver's error if the file cannot be read."""
    await connection.fetch_one("SELECT 1")


async def create_tables(connection: Connection, first: int) -> int:
    """Tables, and what was put aside back in line: its reason may be gone. A new file numbers its
    rows from `first`. Returns how many wait.
    """
    for statement in _CREATE:
        await connection.execute(statement)
    columns = [
        name
        for (name,) in await connection.fetch_all(
            "SELECT name FROM pragma_table_info('spooled_deliveries')"
        )
    ]
    if "stranger_bytes" not in columns:  # also in a file that an older version made
        await connection.execute(
            "ALTER TABLE spooled_deliveries ADD COLUMN stranger_bytes INTEGER NOT NULL DEFAULT 0"
        )
    await connection.execute(
        "CREATE INDEX IF NOT EXISTS spooled_strangers ON spooled_deliveries (stranger_bytes) "
        "WHERE stranger_bytes > 0"
    )
    numbered = await connection.fetch_one(
        "SELECT 1 FROM sqlite_sequence WHERE name = 'spooled_deliveries'"
    )
    if first and numbered is None:
        await connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('spooled_deliveries', :first)",
            {"first": first},
        )
    await connection.execute(
        "INSERT INTO spooled_deliveries (delivery) SELECT delivery FROM refused_deliveries ORDER "
        "BY id"
    )
    await connection.execute("DELETE FROM refused_deliveries")
    return await count_waiting(connection, 0)


async def append_rows(
    connection: Connection, rows: Sequence[dict[str, str | int]], max_bytes: int
) -> None:
    """Append rows to the spool. Raises SpoolFull above `max_bytes`, StrangersFull where unverified
    deliveries have their share of it.
    """
    if await _used_bytes(connection) > max_bytes:
        raise SpoolFull
    if strangers := sum(int(row["stranger_bytes"]) for row in rows):
        found = await connection.fetch_one(
            "SELECT SUM(stranger_bytes) FROM spooled_deliveries WHERE stranger_bytes > 0"
        )
        if (int(found[0] or 0) if found else 0) + strangers > max_bytes // _STRANGERS_SHARE:
            raise StrangersFull
    await connection.execute_many(INSERT_DELIVERY, rows)


async def read_rows(connection: Connection, after: int, limit: int) -> list[tuple[int, str]]:
    """Read the next rows, a few at a time, as their size is not known before."""
    found, size = list[tuple[int, str]](), 0
    while len(found) < limit and size < READ_BYTES:
        at_once = {
            "after": found[-1][0] if found else after,
            "limit": min(_READ_ROWS, limit - len(found)),
        }
        rows = await connection.fetch_all(
            "SELECT id, delivery FROM spooled_deliveries WHERE id > :after ORDER BY id LIMIT "
            ":limit",
            at_once,
        )
        if not rows:
            break
        found += [(number, text) for number, text in rows]
        size += sum(sys.getsizeof(text) for _, text in rows)
    return found


async def remove_rows(connection: Connection, up_to: int) -> int:
    """Returns how many wait now."""
    await connection.execute("DELETE FROM spooled_deliveries WHERE id <= :up_to", {"up_to": up_to})
    return await count_waiting(connection, up_to)


async def count_waiting(connection: Connection, after: int) -> int:
    """Count the rows after a number: exactly up to a few thousand, above that as if there were no
    gaps.
    """
    ends = await connection.fetch_one(
        "SELECT MIN(id), MAX(id) FROM spooled_deliveries WHERE id > :after", {"after": after}
    )
    if ends is None or ends[0] is None:
        return 0
    number = int(ends[1] - ends[0] + 1)
    if number > _MAX_COUNTED_ROWS:
        return number  # counting would read the whole file
    number = await connection.fetch_value(
        "SELECT COUNT(*) FROM spooled_deliveries WHERE id > :after", {"after": after}
    )
    return int(number or 0)


async def _used_bytes(connection: Connection) -> int:
    """Pages in use: those of deliveries that have been moved are free, though the file does not
    shrink by itself.
    """
    number = await connection.fetch_value(
        "SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count() p, "
        "pragma_freelist_count() f, pragma_page_size() s"
    )
    return int(number or 0)


async def put_row_aside(connection: Connection, number: int, reason: str) -> None:
    """Move a row to `refused_deliveries` with the reason for which the database refused it."""
    await connection.execute(
        "INSERT INTO refused_deliveries (delivery, reason) SELECT delivery, :reason FROM "
        "spooled_deliveries WHERE id = :id",
        {"reason": reason, "id": number},
    )
    await connection.execute("DELETE FROM spooled_deliveries WHERE id = :id", {"id": number})


async def check_writable(connection: Connection) -> None:
    """Raise the driver's error if the file cannot grow, as on a full disk."""
    # more than a page, so that a full disk refuses it
    row = {"delivery": "{}" + " " * 8192, "stranger_bytes": 0}
    number = await connection.insert(INSERT_DELIVERY, row)
    await connection.execute("DELETE FROM spooled_deliveries WHERE id = :id", {"id": number})
