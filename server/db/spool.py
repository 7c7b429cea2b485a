"""The spool: a local SQLite file that keeps deliveries while the journal cannot be reached. An answer of 200 waits for its fsync."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from server import log, metrics
from server.db.database import Connection, Database
from server.db.journal import Delivery
from server.errors import DatabaseUnavailable, Unavailable

_logger = log.get(__name__)
_CREATE = (
    "CREATE TABLE IF NOT EXISTS spooled_deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, delivery TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS refused_deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, delivery TEXT NOT NULL, reason TEXT NOT NULL)",
)
_SHRINK_BYTES = 16_000_000  # an emptied file larger than this gives its room back to the disk
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Delivery)


class SpoolFull(Unavailable):
    code = "spool_full"
    title = "The database is away and the local spool is full; nothing more can be kept"


class Spool:
    """Deliveries of this machine, in order. `waiting` is how many are in it. An async context manager."""

    def __init__(self, path: str, max_bytes: int, wait_seconds: float = 2.0) -> None:
        self._path, self._max_bytes = Path(path), max_bytes
        self._database = Database(f"sqlite:///{path}", wait_seconds=wait_seconds)
        self._is_ready = False
        self.waiting = 0
        self.refused = 0  # that the journal would not take; kept here, and offered to it again by the next start
        self.problem: str | None = None

    async def __aenter__(self) -> "Spool":
        await self._database.__aenter__()
        try:
            await self._prepare()
        except Exception as error:  # noqa: BLE001 - an unwritable spool is an alarm, not a reason to serve nobody
            self.problem = f"spool {self._path}: {error}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    async def append(self, deliveries: Sequence[Delivery]) -> None:
        """Durable when it returns. Raises SpoolFull, or DatabaseUnavailable when the disk does not take it."""
        try:
            if not self._is_ready:
                await self._prepare()
            await self._database.transaction(lambda connection: _append(connection, deliveries, self._max_bytes))
        except Exception as error:
            self.problem = f"spool {self._path}: {error}"
            raise
        self.problem = None
        self._count(self.waiting + len(deliveries))

    async def look_again(self) -> None:
        """After a problem: find out by writing whether the disk takes deliveries again."""
        if self.problem is None:
            return
        try:
            await self._prepare()
            await self._database.transaction(_try_to_write)
        except Exception as error:  # noqa: BLE001 - whatever it is, the problem stands
            self.problem = f"spool {self._path}: {error}"
        else:
            self.problem = None

    async def read(self, limit: int) -> list[tuple[int, Delivery]]:
        """The oldest deliveries with their place in the spool. What cannot be read any more is put aside."""
        known = self.waiting
        rows = await self._database.fetch_all("SELECT id, delivery FROM spooled_deliveries ORDER BY id LIMIT :limit", {"limit": limit})
        if not rows:  # another process has moved those; what was appended while we looked is not among them, and nobody else knows of it
            self._count(self.waiting - known)
        found = []
        for number, text in rows:
            try:
                found.append((number, _decoder.decode(text)))
            except msgspec.MsgspecError as error:
                await self.put_aside(number, str(error))
        return found

    async def find_left(self) -> None:
        """What another process of this machine kept in the same file and did not live to move. May count what a living one still moves:
        the journal takes each delivery once, and `read` sets the count right."""
        if self._is_ready:
            row = await self._database.fetch_one("SELECT COUNT(*) FROM spooled_deliveries")
            self._count(max(self.waiting, int(row[0]) if row else 0))

    async def put_aside(self, number: int, reason: str) -> None:
        """The journal will not have this one: those behind it must not wait for that. It stays in the file."""
        await self._database.transaction(lambda connection: _put_aside(connection, number, reason))
        _logger.error("a spooled delivery was put aside", place=number, reason=reason)
        self.refused += 1
        self._count(self.waiting - 1)

    async def shrink(self) -> None:
        """Give the disk its room back once the spool is empty."""
        if self.waiting or self._size() < _SHRINK_BYTES:
            return
        try:
            await self._database.read(lambda connection: connection.execute("VACUUM"))
            await self._database.read(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        except DatabaseUnavailable:
            return  # somebody writes just now; the next time will do

    async def remove(self, up_to: int) -> None:
        """Forget what is in the journal now."""
        removed = await self._database.transaction(
            lambda connection: connection.execute("DELETE FROM spooled_deliveries WHERE id <= :up_to", {"up_to": up_to})
        )
        self._count(self.waiting - removed)

    async def _prepare(self) -> None:
        self._count(await self._database.transaction(_create))
        self._is_ready, self.refused = True, 0

    def _size(self) -> int:
        return sum(path.stat().st_size for path in (self._path, Path(f"{self._path}-wal")) if path.exists())

    def _count(self, waiting: int) -> None:
        self.waiting = max(0, waiting)
        metrics.spool_waiting.set(self.waiting)


async def _create(connection: Connection) -> int:
    """Tables, and what was put aside back in line: its reason may be gone. Returns how many wait."""
    for statement in _CREATE:
        await connection.execute(statement)
    await connection.execute("INSERT INTO spooled_deliveries (delivery) SELECT delivery FROM refused_deliveries ORDER BY id")
    await connection.execute("DELETE FROM refused_deliveries")
    row = await connection.fetch_one("SELECT COUNT(*) FROM spooled_deliveries")
    return int(row[0]) if row else 0


async def _append(connection: Connection, deliveries: Sequence[Delivery], max_bytes: int) -> None:
    if await _used_bytes(connection) > max_bytes:
        raise SpoolFull
    await connection.execute_many(
        "INSERT INTO spooled_deliveries (delivery) VALUES (:delivery)",
        [{"delivery": _encoder.encode(delivery).decode()} for delivery in deliveries],
    )


async def _used_bytes(connection: Connection) -> int:
    """Pages in use: those of deliveries that have been moved are free, though the file does not shrink by itself."""
    row = await connection.fetch_one(
        "SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count() p, pragma_freelist_count() f, pragma_page_size() s"
    )
    return int(row[0]) if row else 0


async def _put_aside(connection: Connection, number: int, reason: str) -> None:
    await connection.execute(
        "INSERT INTO refused_deliveries (delivery, reason) SELECT delivery, :reason FROM spooled_deliveries WHERE id = :id",
        {"reason": reason, "id": number},
    )
    await connection.execute("DELETE FROM spooled_deliveries WHERE id = :id", {"id": number})


async def _try_to_write(connection: Connection) -> None:
    row = {"delivery": "{}" + " " * 8192}  # more than a page, so that a full disk refuses it
    number = await connection.insert("INSERT INTO spooled_deliveries (delivery) VALUES (:delivery)", row)
    await connection.execute("DELETE FROM spooled_deliveries WHERE id = :id", {"id": number})
