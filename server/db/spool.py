"""The spool: a local SQLite file that keeps deliveries while the journal cannot be reached. An answer of 200 waits for its fsync."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from server import metrics
from server.db.database import Connection, Database
from server.db.journal import Delivery
from server.errors import Unavailable

_CREATE = "CREATE TABLE IF NOT EXISTS spooled_deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, delivery TEXT NOT NULL)"
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
            if self.waiting and self._size() > self._max_bytes:  # the file does not shrink, but an empty one has room again
                raise SpoolFull
            await self._database.transaction(lambda connection: _append(connection, deliveries))
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
        """The oldest deliveries with their place in the spool."""
        rows = await self._database.fetch_all("SELECT id, delivery FROM spooled_deliveries ORDER BY id LIMIT :limit", {"limit": limit})
        if not rows:
            self._count(0)
        return [(row[0], _decoder.decode(row[1])) for row in rows]

    async def remove(self, up_to: int) -> None:
        """Forget what is in the journal now."""
        removed = await self._database.transaction(
            lambda connection: connection.execute("DELETE FROM spooled_deliveries WHERE id <= :up_to", {"up_to": up_to})
        )
        self._count(self.waiting - removed)

    async def _prepare(self) -> None:
        await self._database.transaction(lambda connection: connection.execute(_CREATE))
        row = await self._database.fetch_one("SELECT COUNT(*) FROM spooled_deliveries")
        self._is_ready = True
        self._count(row[0] if row else 0)

    def _size(self) -> int:
        return sum(path.stat().st_size for path in (self._path, Path(f"{self._path}-wal")) if path.exists())

    def _count(self, waiting: int) -> None:
        self.waiting = max(0, waiting)
        metrics.spool_waiting.set(self.waiting)


async def _append(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    await connection.execute_many(
        "INSERT INTO spooled_deliveries (delivery) VALUES (:delivery)",
        [{"delivery": _encoder.encode(delivery).decode()} for delivery in deliveries],
    )


async def _try_to_write(connection: Connection) -> None:
    row = {"delivery": "{}" + " " * 8192}  # more than a page, so that a full disk refuses it
    number = await connection.insert("INSERT INTO spooled_deliveries (delivery) VALUES (:delivery)", row)
    await connection.execute("DELETE FROM spooled_deliveries WHERE id = :id", {"id": number})
