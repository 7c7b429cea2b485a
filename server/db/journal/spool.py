"""The spool: a local SQLite file that keeps deliveries while the journal cannot be reached. An
answer of 200 waits for its fsync.
"""

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from server import log, metrics
from server.core.times import wall_now_us
from server.db.engine.database import Connection, Database
from server.db.journal import damaged_spool
from server.db.journal.journal import Delivery
from server.errors import DatabaseUnavailable, OmniError, Unavailable

T = TypeVar("T")
_logger = log.get(__name__)
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
_INSERT = (
    "INSERT INTO spooled_deliveries (delivery, stranger_bytes) VALUES (:delivery, :stranger_bytes)"
)
_SHRINK_BYTES = 16_000_000  # an emptied file larger than this gives its room back to the disk
# rows of one SELECT, of up to 5 MB each; and about how much is held in memory at once
_READ_ROWS, _READ_BYTES = 8, 4_000_000
_ASK_SECONDS = 0.5  # a webhook waits no longer to know whether it would overtake another one
_STRANGERS_SHARE = 10  # a tenth of the spool is for deliveries whose sender nobody could judge
_ROW_BYTES = 200  # what a row costs besides its text
_COUNTED_MOST = 2_000  # above this the number of rows is told by the first and the last
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Delivery)


class SpoolFull(Unavailable):
    code = "spool_full"
    title = "The database is away and the local spool is full; nothing more can be kept"


class StrangersFull(SpoolFull):
    """Its tenth is full; there is room for deliveries that were judged on arrival."""

    title = "The database is away, and the spool's part for senders that cannot be judged is full"


class Spool:
    """Deliveries of this machine, in order. An async context manager.

    Several processes may share the file. A file that turns out damaged is set aside, begun anew,
    and read as far as it can be.
    """

    def __init__(self, path: str, max_bytes: int, wait_seconds: float = 2.0) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._wait_seconds = wait_seconds
        self._wal = f"{path}-wal"
        self._database = self._new_database()
        self._opening = asyncio.Lock()  # a file is exchanged by one task at a time
        self._identity = damaged_spool.identity(self._path)  # 0: there is no file yet
        self._is_ready = False
        # begun anew by this process: its rows are numbered above those of the one before
        self._is_another = False
        # rows up to this one are in the journal, though the disk may not have let us delete them
        self._moved = 0
        self._seen = (0, 0)  # the log's time and size when `waiting` was counted
        self.has_damaged = False  # a file set aside has not been read yet
        self.waiting = 0  # not yet in the journal, of whatever process
        # that the journal would not take; kept here, and offered to it again by the next start
        self.refused = 0
        self.problem: str | None = None

    async def __aenter__(self) -> "Spool":
        self._identity = damaged_spool.identity(self._path)
        await self._database.__aenter__()
        try:
            await self._run(_look)
        # an unwritable spool is an alarm, not a reason to serve nobody
        except Exception as error:  # noqa: BLE001
            self._note(error)
        self.has_damaged = bool(self._unread())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    @property
    def aside(self) -> list[str]:
        """Damaged files that lie beside the spool until someone has looked."""
        return [name.name for name in damaged_spool.found_aside(self._path)]

    async def append(
        self, deliveries: Sequence[Delivery], wait_seconds: float | None = None
    ) -> None:
        """Durable when it returns. Raises SpoolFull, StrangersFull, or DatabaseUnavailable when the
        disk does not take it in time.
        """
        rows = [_row(delivery) for delivery in deliveries]
        try:
            await self._run(
                lambda connection: _append(connection, rows, self._max_bytes), wait_seconds
            )
            # set aside meanwhile: what was read of it may lack these
            while damaged_spool.identity(self._path) != self._identity:
                await self._run(
                    lambda connection: _append(connection, rows, self._max_bytes), wait_seconds
                )
        except StrangersFull:
            raise
        except Exception as error:
            self._note(error)
            raise
        self.problem = None
        self._count(self.waiting + len(deliveries))

    async def has_waiting(self) -> bool:
        """Whether anything waits, as a new delivery must not overtake it: also what another process
        put there. Costs a `stat` as a rule.
        """
        if not self.waiting and self._seen != (seen := self._log_state()):
            self._seen = seen
            try:
                await self._recount(_ASK_SECONDS)
            # a spool that cannot be asked must not keep deliveries from the journal
            except Exception as error:  # noqa: BLE001
                self._note(error)
        return self.waiting > 0

    async def look_again(self) -> None:
        """After a problem: find out by writing whether the disk takes deliveries again."""
        if self.problem is None:
            return
        try:
            await self._run(_try_to_write)
            await self.remove(self._moved)
        except Exception as error:  # noqa: BLE001 - whatever it is, the problem stands
            self._note(error)
        else:
            self.problem = None

    async def read(self, limit: int) -> list[tuple[int, Delivery]]:
        """The oldest deliveries with their place in the spool, some megabytes of them. What cannot
        be read any more is put aside.
        """
        rows = await self._run(lambda connection: _read(connection, self._moved, limit))
        if not rows:
            await self._recount()
        found = []
        for number, text in rows:
            try:
                found.append((number, _decoder.decode(text)))
            except msgspec.MsgspecError as error:
                await self.put_aside(number, str(error))
        return found

    async def find_left(self) -> None:
        """What another process of this machine kept in the same file and did not live to move."""
        if self._is_ready:
            await self._recount()

    async def put_aside(self, number: int, reason: str) -> None:
        """The journal will not have this one: those behind it must not wait for that. It stays in
        the file.
        """
        await self._run(lambda connection: _put_aside(connection, number, reason))
        _logger.error("a spooled delivery was put aside", place=number, reason=reason)
        self.refused += 1
        await self._recount()

    async def shrink(self) -> None:
        """Give the disk its room back once the spool is empty."""
        if self.waiting or self._size() < _SHRINK_BYTES:
            return
        try:
            await self._database.read(lambda connection: connection.execute("VACUUM"))
            await self._database.read(
                lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            )
        except DatabaseUnavailable:
            return  # somebody writes just now; the next time will do

    async def remove(self, up_to: int) -> None:
        """Forget what is in the journal now. Where the disk does not even let us delete, it waits
        no longer all the same.
        """
        self._moved = max(self._moved, up_to)
        try:
            waiting = await self._run(lambda connection: _remove(connection, self._moved))
        # moved again by the next start, which the journal passes over
        except Exception as error:  # noqa: BLE001
            self._note(error)
            with contextlib.suppress(Exception):
                await self._recount()
        else:
            self._moved = 0
            self._count(waiting)

    async def read_damaged(self) -> None:
        """Take over what can be read of damaged files. Some of it may be in the journal already,
        which passes over it.
        """
        self.has_damaged = False
        for aside in self._unread():
            count = 0
            try:
                chunks = damaged_spool.read_rows(aside, _READ_BYTES)
                while texts := await asyncio.to_thread(next, chunks, None):
                    rows = [{"delivery": text, "stranger_bytes": 0} for text in texts]
                    await self._run(
                        lambda connection, rows=rows: connection.execute_many(_INSERT, rows)  # type: ignore[misc]
                    )
                    count += len(rows)
                await asyncio.to_thread(damaged_spool.mark_read, aside)
                await self._recount()
            except (OSError, sqlite3.Error, OmniError) as error:  # the next start tries again
                # it says all
                _logger.error(  # noqa: TRY400
                    "a damaged spool cannot be read", file=str(aside), read=count, error=str(error)
                )
            else:
                _logger.warning("a damaged spool was read", file=str(aside), read=count)

    # -- the file
    # ---

    async def _run(
        self, call: Callable[[Connection], Awaitable[T]], wait_seconds: float | None = None
    ) -> T:
        """A transaction on the file of this name; a damaged one is set aside, and the call made on
        a new one.

        All go through the one writing lane, also those that read: so a count never misses what was
        appended before it.
        """
        for _ in range(2):
            database = self._database
            try:
                if not self._is_ready or damaged_spool.identity(self._path) != self._identity:
                    await self._open(wait_seconds)
                    database = self._database
                return await database.transaction(
                    call, wait_seconds=wait_seconds, awaits_commit=False
                )
            except OmniError as error:
                said = error.__cause__ or error
                if "no such table" in str(said):  # emptied by another hand
                    self._is_ready = False
                elif damaged_spool.is_damage(said):
                    await self._begin_anew(said, database)
                else:
                    raise
        if not self._is_ready:
            await self._open(wait_seconds)
        return await self._database.transaction(
            call, wait_seconds=wait_seconds, awaits_commit=False
        )

    async def _open(self, wait_seconds: float | None) -> None:
        async with self._opening:
            if self._identity and damaged_spool.identity(self._path) != self._identity:
                await self._exchange()
            if not self._is_ready:
                is_another = self._is_another or bool(damaged_spool.found_aside(self._path))
                first = wall_now_us() if is_another else 0
                create = self._database.transaction(
                    lambda connection: _create(connection, first), wait_seconds=wait_seconds
                )
                self._count(await create)
                self._is_ready = True
                self.refused = 0
                self._identity = damaged_spool.identity(self._path)

    async def _begin_anew(self, error: BaseException, database: Database) -> None:
        async with self._opening:
            if self._database is not database:
                return  # another task has done it
            aside = (
                await asyncio.to_thread(damaged_spool.set_aside, self._path, self._identity)
                if self._identity
                else None
            )
            if aside is not None:
                metrics.spool_damaged.inc()
                _logger.error("spool damaged, begun anew", error=str(error), kept_as=str(aside))
            await self._exchange()
        self.has_damaged = True

    async def _exchange(self) -> None:
        """Let go of the file that has lost its name."""
        old, self._database = self._database, self._new_database()
        self._is_ready = False
        self._is_another = True
        self._moved = 0
        self._identity = damaged_spool.identity(self._path)
        await self._database.__aenter__()
        await old.__aexit__(None, None, None)

    def _unread(self) -> list[Path]:
        return [
            aside
            for aside in damaged_spool.found_aside(self._path)
            if not damaged_spool.is_read(aside)
        ]

    def _new_database(self) -> Database:
        return Database(f"sqlite:///{self._path}", wait_seconds=self._wait_seconds)

    async def _recount(self, wait_seconds: float | None = None) -> None:
        self._count(
            await self._run(lambda connection: _waiting(connection, self._moved), wait_seconds)
        )

    def _log_state(self) -> tuple[int, int]:
        """Changes when any process writes into the file."""
        try:
            found = os.stat(self._wal)
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)

    def _size(self) -> int:
        return sum(
            path.stat().st_size for path in (self._path, Path(f"{self._path}-wal")) if path.exists()
        )

    def _note(self, error: Exception) -> None:
        reason = (
            "its disk does not answer in time" if isinstance(error, DatabaseUnavailable) else error
        )
        self.problem = f"spool {self._path}: {reason}"

    def _count(self, waiting: int) -> None:
        self.waiting = max(0, waiting)
        metrics.spool_waiting.set(self.waiting)


def _row(delivery: Delivery) -> dict[str, str | int]:
    encoded = _encoder.encode(delivery)
    return {
        "delivery": encoded.decode(),
        "stranger_bytes": 0 if delivery.is_verified else len(encoded) + _ROW_BYTES,
    }


async def _look(connection: Connection) -> None:
    await connection.fetch_one("SELECT 1")


async def _create(connection: Connection, first: int) -> int:
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
    return await _waiting(connection, 0)


async def _append(
    connection: Connection, rows: Sequence[dict[str, str | int]], max_bytes: int
) -> None:
    if await _used_bytes(connection) > max_bytes:
        raise SpoolFull
    if strangers := sum(int(row["stranger_bytes"]) for row in rows):
        found = await connection.fetch_one(
            "SELECT SUM(stranger_bytes) FROM spooled_deliveries WHERE stranger_bytes > 0"
        )
        if (int(found[0] or 0) if found else 0) + strangers > max_bytes // _STRANGERS_SHARE:
            raise StrangersFull
    await connection.execute_many(_INSERT, rows)


async def _read(connection: Connection, after: int, limit: int) -> list[tuple[int, str]]:
    """A few rows at a time, as nobody knows how large the next ones are."""
    found, size = list[tuple[int, str]](), 0
    while len(found) < limit and size < _READ_BYTES:
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


async def _remove(connection: Connection, up_to: int) -> int:
    """Returns how many wait now."""
    await connection.execute("DELETE FROM spooled_deliveries WHERE id <= :up_to", {"up_to": up_to})
    return await _waiting(connection, up_to)


async def _waiting(connection: Connection, after: int) -> int:
    ends = await connection.fetch_one(
        "SELECT MIN(id), MAX(id) FROM spooled_deliveries WHERE id > :after", {"after": after}
    )
    if ends is None or ends[0] is None:
        return 0
    number = int(ends[1] - ends[0] + 1)
    if number > _COUNTED_MOST:
        return number  # counting would read the whole file
    row = await connection.fetch_one(
        "SELECT COUNT(*) FROM spooled_deliveries WHERE id > :after", {"after": after}
    )
    return int(row[0]) if row else 0


async def _used_bytes(connection: Connection) -> int:
    """Pages in use: those of deliveries that have been moved are free, though the file does not
    shrink by itself.
    """
    row = await connection.fetch_one(
        "SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count() p, "
        "pragma_freelist_count() f, pragma_page_size() s"
    )
    return int(row[0]) if row else 0


async def _put_aside(connection: Connection, number: int, reason: str) -> None:
    await connection.execute(
        "INSERT INTO refused_deliveries (delivery, reason) SELECT delivery, :reason FROM "
        "spooled_deliveries WHERE id = :id",
        {"reason": reason, "id": number},
    )
    await connection.execute("DELETE FROM spooled_deliveries WHERE id = :id", {"id": number})


async def _try_to_write(connection: Connection) -> None:
    # more than a page, so that a full disk refuses it
    row = {"delivery": "{}" + " " * 8192, "stranger_bytes": 0}
    number = await connection.insert(_INSERT, row)
    await connection.execute("DELETE FROM spooled_deliveries WHERE id = :id", {"id": number})
