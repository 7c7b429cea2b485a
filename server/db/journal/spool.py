"""The spool: a local SQLite file that keeps deliveries while the journal cannot be reached. An
answer of 200 waits for its fsync.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from server import log, metrics
from server.core.times import wall_now_us
from server.db.engine.database import Connection, Database
from server.db.journal import damaged_spool
from server.db.journal.journal import Delivery
from server.db.journal.spool_rows import (
    INSERT_DELIVERY,
    READ_BYTES,
    StrangersFull,
    append_rows,
    check_readable,
    check_writable,
    count_waiting,
    create_tables,
    delivery_decoder,
    put_row_aside,
    read_rows,
    remove_rows,
    row_of,
)
from server.errors import DatabaseUnavailable, OmniError

T = TypeVar("T")


_logger = log.get(__name__)


_SHRINK_BYTES = 16_000_000  # an emptied file larger than this gives its room back to the disk


_ASK_SECONDS = 0.5  # a webhook waits no longer to know whether it would overtake another one


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
            await self._run(check_readable)
        # an unwritable spool is an alarm, not a reason to serve nobody
        except Exception as error:  # noqa: BLE001
            self._record_failure(error)
        self.has_damaged = bool(self._unread())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    @property
    def aside(self) -> list[str]:
        """Damaged files that lie beside the spool until an administrator has dealt with them."""
        return [name.name for name in damaged_spool.found_aside(self._path)]

    async def append(
        self, deliveries: Sequence[Delivery], wait_seconds: float | None = None
    ) -> None:
        """Durable when it returns. Raises SpoolFull, StrangersFull, or DatabaseUnavailable when the
        disk does not take it in time.
        """
        rows = [row_of(delivery) for delivery in deliveries]
        try:
            await self._run(
                lambda connection: append_rows(connection, rows, self._max_bytes), wait_seconds
            )
            # set aside meanwhile: what was read of it may lack these
            while damaged_spool.identity(self._path) != self._identity:
                await self._run(
                    lambda connection: append_rows(connection, rows, self._max_bytes), wait_seconds
                )
        except StrangersFull:
            raise
        except Exception as error:
            self._record_failure(error)
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
                self._record_failure(error)
        return self.waiting > 0

    async def check_disk(self) -> None:
        """Find out by writing, after a problem, whether the disk takes deliveries again."""
        if self.problem is None:
            return
        try:
            await self._run(check_writable)
            await self.remove(self._moved)
        except Exception as error:  # noqa: BLE001 - whatever it is, the problem stands
            self._record_failure(error)
        else:
            self.problem = None

    async def read(self, limit: int) -> list[tuple[int, Delivery]]:
        """The oldest deliveries with their place in the spool, some megabytes of them. What cannot
        be read any more is put aside.
        """
        rows = await self._run(lambda connection: read_rows(connection, self._moved, limit))
        if not rows:
            await self._recount()
        found = []
        for number, text in rows:
            try:
                found.append((number, delivery_decoder.decode(text)))
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
        await self._run(lambda connection: put_row_aside(connection, number, reason))
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
            waiting = await self._run(lambda connection: remove_rows(connection, self._moved))
        # moved again by the next start, which the journal passes over
        except Exception as error:  # noqa: BLE001
            self._record_failure(error)
            with contextlib.suppress(Exception):
                await self._recount()
        else:
            self._moved = 0
            self._count(waiting)

    async def read_damaged(self) -> None:
        """Append to the journal what can be read of damaged files. Some of it may be in the journal
        already, which skips it.
        """
        self.has_damaged = False
        for aside in self._unread():
            count = 0
            try:
                chunks = damaged_spool.read_rows(aside, READ_BYTES)
                while texts := await asyncio.to_thread(next, chunks, None):
                    rows = [{"delivery": text, "stranger_bytes": 0} for text in texts]
                    await self._run(
                        lambda connection, rows=rows: connection.execute_many(INSERT_DELIVERY, rows)  # type: ignore[misc]
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
                    lambda connection: create_tables(connection, first), wait_seconds=wait_seconds
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
            await self._run(lambda connection: count_waiting(connection, self._moved), wait_seconds)
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

    def _record_failure(self, error: Exception) -> None:
        reason = (
            "its disk does not answer in time" if isinstance(error, DatabaseUnavailable) else error
        )
        self.problem = f"spool {self._path}: {reason}"

    def _count(self, waiting: int) -> None:
        self.waiting = max(0, waiting)
        metrics.spool_waiting.set(self.waiting)
