"""The one door to the database: `databases` for connections and pool, the driver itself for
statements.

`databases` leaks a pool slot when BEGIN or COMMIT fails and poisons a task whose query is
cancelled. So its `transaction()` is never used, and no caller ever runs on a connection: each
connection belongs to a *lane*, one long-lived task that takes calls from a bounded queue. A caller
that gives up (timeout, client gone) stops waiting; the call itself ends in its lane, with ROLLBACK.
Statements go to the driver (`raw_connection`, see `connection`): `databases` compiles every text
through SQLAlchemy each time, and cannot tell a row count.
"""

import asyncio
import contextlib
import inspect
import random
import re
import sqlite3
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pymysql
from databases import Database as DatabasesDatabase

from server import log, metrics
from server.db.engine.busy import BusyCompanies
from server.db.engine.clock import DatabaseClock
from server.db.engine.driver_errors import (
    is_demoted,
    keeps_connection,
    translate,
    translate_at_the_door,
)
from server.db.engine.primary import IS_READ_ONLY, PrimaryWatch, says_read_only
from server.db.engine.private_files import make_private_file
from server.db.engine.refusals import Refusals
from server.db.engine.sql_connection import Connection as Connection
from server.db.engine.sql_connection import Dialect as Dialect
from server.db.engine.sql_connection import Parameters as Parameters
from server.db.engine.sql_connection import Row as Row
from server.db.schema import crm_columns
from server.errors import (
    CompanyBusy,
    DatabaseRetryable,
    DatabaseUnavailable,
    OmniError,
    OutcomeUnknown,
)
from server.settings import (
    NOT_ENCRYPTED,
    Settings,
    sqlite_path,
    wants_encryption,
)

T = TypeVar("T")

_logger = log.get(__name__)
_CONNECT_SECONDS = 3
_CLOSE_SECONDS = 5.0
_COMMIT_SECONDS = 5.0  # a COMMIT under way is waited for so much longer than anything else
_RECENT_MOST, _RECENT_SECONDS = 64, 10.0
# calls waiting for a lane; more than the lanes can serve within any caller's patience
_QUEUE_MOST = 2_000
_SQLITE_READERS = 3
_BEGIN_WRITE: dict[Dialect, tuple[str, ...]] = {"sqlite": ("BEGIN IMMEDIATE",), "mysql": ("BEGIN",)}
_BEGIN_SNAPSHOT: dict[Dialect, tuple[str, ...]] = {
    "sqlite": ("BEGIN",),
    "mysql": ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY"),
}
PACKED_BYTES = 16_777_216  # of many rows in one (`packed.py`); by itself MySQL allows 1,024
# a client that says nothing for so long in a transaction gives its locks back
IDLE_TRANSACTION_SECONDS = 5
# of InnoDB; below every caller's patience, so that a lane is free again before it is missed
_LOCK_WAIT_SECONDS = 2
_BUSY_FIRST_SECONDS, _BUSY_MOST_SECONDS = 0.004, 0.05


Call = Callable[[Connection], Awaitable[T]]


class _Job:
    """A call with the statements that begin its transaction; none: it runs outside of one."""

    __slots__ = ("begin", "call", "future", "is_abandoned", "is_committing")

    def __init__(
        self, call: Call[Any], begin: tuple[str, ...], future: asyncio.Future[Any]
    ) -> None:
        self.call = call
        self.begin = begin
        self.future = future
        self.is_abandoned = False  # nobody waits for it: it must not take effect any more
        # its writes are being committed: what comes of it is the database's to say
        self.is_committing = False

    def finish(self, result: object) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        # asyncio logs an exception that nobody fetches
        if not self.future.done() and not self.is_abandoned:
            self.future.set_exception(error)


class _Abandoned(Exception):
    """The caller has gone: ROLLBACK, not COMMIT."""


# kept, as looking a labelled histogram up costs more than counting
_SECONDS = {kind: metrics.database_seconds.labels(kind) for kind in ("read", "transaction")}


class Database:
    """Reads and transactions over lanes. An async context manager; entering it does not need the
    server to be there.
    """

    def __init__(
        self,
        url: str,
        *,
        pool: int = 8,
        wait_seconds: float = 5.0,
        statement_seconds: float = 30.0,
        commit_seconds: float = _COMMIT_SECONDS,
    ) -> None:
        self.dialect: Dialect = "sqlite" if url.startswith("sqlite") else "mysql"
        self.is_reachable = True  # what the last call saw
        self.busy = BusyCompanies()
        self.refusals = Refusals()
        self.clock = DatabaseClock(self.dialect)
        # of connections: those of an older one are given up before their next call
        self._generation = 0
        self._wait_seconds = wait_seconds
        self._statement_seconds = statement_seconds
        self._commit_seconds = commit_seconds
        self._readers = _SQLITE_READERS if self.dialect == "sqlite" else max(1, pool // 2)
        self._writers = 1 if self.dialect == "sqlite" else max(1, pool - self._readers)
        self._is_encrypted = wants_encryption(url)
        self._path = sqlite_path(url) if self.dialect == "sqlite" else None
        self._database = (
            _open_sqlite(url)
            if self.dialect == "sqlite"
            else _open_mysql(url, self._readers + self._writers)
        )
        self._reads: asyncio.Queue[_Job] = asyncio.Queue(_QUEUE_MOST)
        self._writes: asyncio.Queue[_Job] = asyncio.Queue(_QUEUE_MOST)
        self._lanes: list[asyncio.Task[None]] = []
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT_MOST)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Database":
        return cls(
            settings.database_url,
            pool=settings.database_pool,
            wait_seconds=settings.database_wait_seconds,
            statement_seconds=settings.database_statement_seconds,
        )

    async def __aenter__(self) -> "Database":
        if self._path is not None:
            with contextlib.suppress(OSError):  # the first call fails as well, and says it in words
                make_private_file(self._path)
        await self._database.connect()
        queues = [self._reads] * self._readers + [self._writes] * self._writers
        self._lanes = [
            asyncio.create_task(self._lane(queue), name=f"database-lane-{n}")
            for n, queue in enumerate(queues)
        ]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for queue in (self._reads, self._writes):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_seconds):
                    await queue.join()
        lanes = set(self._lanes)
        # again only after a while: cancelled in the middle of its closing, a connection to SQLite
        # leaves its thread behind
        while lanes:
            for lane in lanes:
                lane.cancel()
            _, lanes = await asyncio.wait(lanes, timeout=_CLOSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_seconds):
                await self._database.disconnect()

    async def fetch_all(
        self, sql: str, parameters: Parameters | None = None, *, wait_seconds: float | None = None
    ) -> Sequence[Row]:
        """Rows of one SELECT outside a transaction. Raises DatabaseUnavailable. Cancelling the wait
        is safe.
        """
        return await self.read(
            lambda connection: connection.fetch_all(sql, parameters), wait_seconds=wait_seconds
        )

    async def fetch_one(
        self, sql: str, parameters: Parameters | None = None, *, wait_seconds: float | None = None
    ) -> Row | None:
        return await self.read(
            lambda connection: connection.fetch_one(sql, parameters), wait_seconds=wait_seconds
        )

    async def read(self, call: Call[T], *, wait_seconds: float | None = None) -> T:
        """Run `call` on a reader's connection, without a transaction; tried again once when the
        connection turns out dead.
        """
        metrics.database_calls.labels("read").inc()
        return await self._attempt(self._reads, call, (), attempts=2, wait_seconds=wait_seconds)

    async def snapshot(self, call: Call[T], *, wait_seconds: float | None = None) -> T:
        """As `read`, but all of the call's SELECTs see one moment of the database."""
        metrics.database_calls.labels("read").inc()
        return await self._attempt(
            self._reads, call, _BEGIN_SNAPSHOT[self.dialect], attempts=2, wait_seconds=wait_seconds
        )

    async def transaction(
        self,
        call: Call[T],
        *,
        attempts: int = 4,
        wait_seconds: float | None = None,
        awaits_commit: bool = True,
    ) -> T:
        """Run `call` between BEGIN and COMMIT. It holds SQL only and may be run again: after a
        deadlock, a lost connection, and a COMMIT whose answer was lost, so what it does must be
        idempotent; what counts or tells of it is left to `Connection.after_commit`.

        Raises DuplicateRow, what `call` raises, or DatabaseUnavailable: then it has not taken
        effect and will not, but for OutcomeUnknown: COMMIT had left, and nobody knows.
        Cancelled before COMMIT, it does not take effect. `awaits_commit` False: who repeats it
        under the same key anyway does not wait longer for a COMMIT.
        """
        metrics.database_calls.labels("transaction").inc()
        longer = self._commit_seconds if awaits_commit else 0.0
        begin = _BEGIN_WRITE[self.dialect]
        return await self._attempt(
            self._writes,
            call,
            begin,
            attempts=attempts,
            wait_seconds=wait_seconds,
            commit_seconds=longer,
        )

    async def _attempt(
        self,
        queue: asyncio.Queue[_Job],
        call: Call[T],
        begin: tuple[str, ...],
        *,
        attempts: int,
        wait_seconds: float | None,
        commit_seconds: float = 0.0,
    ) -> T:
        wait = self._wait_seconds if wait_seconds is None else wait_seconds
        started = time.monotonic()
        is_unknown = False  # a COMMIT went out, and its answer never came
        # companies that were met locked: waited for here, where it takes no lane from others
        busy = frozenset[int]()
        attempt = tries = 0
        try:
            while True:
                job = _Job(call, begin, asyncio.get_running_loop().create_future())
                try:
                    queue.put_nowait(job)
                    result: T = await _result(
                        job, started + wait - time.monotonic(), commit_seconds
                    )
                except DatabaseUnavailable as error:
                    is_unknown |= job.is_committing and not isinstance(error, DatabaseRetryable)
                    if isinstance(error, CompanyBusy):
                        busy = error.company_ids
                        self.busy.note(busy)
                    else:
                        attempt += 1
                    if attempt == attempts:
                        raise
                    tries += 1
                    await asyncio.sleep(_pause(error, tries))
                else:
                    self.busy.clear(busy)
                    self._note_seconds("transaction" if queue is self._writes else "read", started)
                    return result
        except asyncio.QueueFull:
            raise _given_up(is_unknown=is_unknown) from None
        except DatabaseUnavailable as error:
            raise (_given_up(is_unknown=True) if is_unknown else error) from None
        except TimeoutError:
            raise self._out_of_time(busy, is_unknown=is_unknown or job.is_committing) from None

    def _out_of_time(self, busy: frozenset[int], *, is_unknown: bool) -> DatabaseUnavailable:
        if busy and not is_unknown:  # the database is well, and answers everybody else
            return CompanyBusy(busy)
        # frozen, or far too busy: to whoever asks `/readyz` it is the same
        self.is_reachable = False
        metrics.database_errors.labels("timeout").inc()
        return _given_up(is_unknown=is_unknown)

    @property
    def waiting(self) -> int:
        """Calls that wait for a lane."""
        return self._reads.qsize() + self._writes.qsize()

    def recent_seconds(self) -> list[float]:
        """How long the last calls took, with their wait for a lane; those older than ten seconds
        say nothing of now.
        """
        since = time.monotonic() - _RECENT_SECONDS
        return [seconds for at, seconds in self._recent if at > since]

    def _note_seconds(self, kind: str, started: float) -> None:
        now = time.monotonic()
        self._recent.append((now, now - started))
        _SECONDS[kind].observe(now - started)

    async def _lane(self, queue: asyncio.Queue[_Job]) -> None:
        job = await queue.get()
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    # a frozen server accepts and then says nothing
                    async with asyncio.timeout(_CONNECT_SECONDS + 2):
                        held = await stack.enter_async_context(self._database.connection())
                        raw, generation = held.raw_connection, self._generation
                        _check_encrypted(raw, is_wanted=self._is_encrypted)
                        connection, primary = await self._prepare(
                            raw, is_writer=queue is self._writes
                        )
                    # looked at before each call: while idle it may have been killed, or given up
                    # with all others
                    is_well = True
                    while (
                        is_well
                        and generation == self._generation
                        and not _has_ended(raw)
                        and await self._is_primary(connection, primary)
                    ):
                        is_well = await self._serve(job, connection)
                        queue.task_done()
                        if not is_well:
                            await _close_raw(raw)
                        job = await queue.get()
                    if is_well:
                        await _close_raw(raw)
            except Exception as error:  # noqa: BLE001 - the driver's errors end here, as ours
                self.refusals.note(error)
                self.is_reachable = False
                job.fail(translate_at_the_door(error))
                queue.task_done()
                job = await queue.get()

    async def _is_primary(self, connection: Connection, primary: PrimaryWatch) -> bool:
        """False: the server has become read-only, and the connection is to be given up; so are all
        others of that moment.
        """
        if not primary.is_due:
            return True
        async with asyncio.timeout(self._statement_seconds):
            await primary.look(connection)
        self._generation += primary.was_demoted
        return not primary.is_read_only

    async def _prepare(self, raw: Any, *, is_writer: bool) -> tuple[Connection, PrimaryWatch]:
        """Set the session's limits. Returns the connection, which knows the server's
        max_allowed_packet and what the CRM's columns ask, and the watch whether it takes writes.

        MariaDB ends a session that is idle within a transaction. MySQL knows only idle sessions:
        there a writer's is ended between its calls as well, and made anew for the next one (see
        `_has_ended`).
        """
        if self.dialect == "sqlite":
            found = await Connection(raw, self.dialect).fetch_one(crm_columns.SQLITE)
            crm = crm_columns.columns_of(found or ())
            return Connection(raw, self.dialect, crm=crm), PrimaryWatch(is_asked=False)
        limits = [
            f"net_read_timeout = {IDLE_TRANSACTION_SECONDS}",
            f"net_write_timeout = {IDLE_TRANSACTION_SECONDS}",
            f"group_concat_max_len = {PACKED_BYTES}",
        ]
        if "mariadb" in str(raw.get_server_info()).lower():
            limits.append(f"idle_transaction_timeout = {IDLE_TRANSACTION_SECONDS}")
        elif is_writer:
            limits.append(f"wait_timeout = {IDLE_TRANSACTION_SECONDS}")
        connection = Connection(raw, self.dialect)
        connection.pipeline(f"SET SESSION {', '.join(limits)}")
        [row] = await connection.fetch_all(
            f"SELECT @@max_allowed_packet, {IS_READ_ONLY}, {crm_columns.MYSQL}"
        )
        primary = PrimaryWatch(is_asked=True, is_read_only=says_read_only(row[1]))
        return Connection(raw, self.dialect, int(row[0]), crm_columns.columns_of(row[2:])), primary

    async def _serve(self, job: _Job, connection: Connection) -> bool:
        """Run one job. Returns False when the connection must not be used again."""
        if job.is_abandoned:  # its caller has given up before it began
            return True
        try:
            async with asyncio.timeout(self._statement_seconds):
                if self.clock.should_look:
                    await self.clock.read(connection)
                result = await _run(job, connection)
        except _Abandoned:
            return await _rolled_back(connection)
        except Exception as error:  # noqa: BLE001 - the driver's errors end here, as ours
            translated = translate(error)
            self.refusals.note(error)
            if is_demoted(error):
                self._generation += 1
            # else the call itself refused, which is no error of the database
            if not isinstance(error, OmniError):
                metrics.database_errors.labels(getattr(translated, "code", "call")).inc()
            job.fail(translated)
            is_away = isinstance(translated, DatabaseUnavailable) and not isinstance(
                translated, DatabaseRetryable
            )
            if is_away and not keeps_connection(error):
                self.is_reachable = False
                return False
            return await _rolled_back(connection)
        self.is_reachable = True
        job.finish(result)
        return True


async def _result(job: _Job, seconds: float, commit_seconds: float) -> Any:
    """What becomes of the job. Raises TimeoutError; from then on it takes no effect, unless its
    COMMIT has left already: that one is waited for a little longer, as only its answer can tell.
    Cancelling is giving up at once.
    """
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await asyncio.shield(job.future)
    except TimeoutError:
        if not job.is_committing:
            raise
        async with asyncio.timeout(commit_seconds):
            return await asyncio.shield(job.future)
    finally:
        job.is_abandoned = not job.future.done()


async def _run(job: _Job, connection: Connection) -> Any:
    connection.begin(job.begin)
    result = await job.call(connection)
    if not job.begin:
        await connection.flush()
        return result
    # no await between this look and the note: who gives up from here on knows that COMMIT has left
    if job.is_abandoned:
        raise _Abandoned
    # a snapshot changes nothing
    job.is_committing = job.begin is not _BEGIN_SNAPSHOT[connection.dialect]
    await connection.commit()
    return result


def _pause(error: DatabaseUnavailable, tries: int) -> float:
    """Seconds until the next try."""
    if isinstance(error, CompanyBusy):
        most = min(_BUSY_MOST_SECONDS, _BUSY_FIRST_SECONDS * 2.0 ** min(tries - 1, 10))
        return most * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
    return 0.02 * 2.0 ** min(tries - 1, 10) * random.random()  # noqa: S311 - jitter, not a secret


def _given_up(*, is_unknown: bool) -> DatabaseUnavailable:
    return OutcomeUnknown() if is_unknown else DatabaseUnavailable()


def _open_sqlite(url: str) -> DatabasesDatabase:
    return DatabasesDatabase(f"sqlite:///{sqlite_path(url)}", factory=_SqliteConnection, timeout=10)


def _open_mysql(url: str, connections: int) -> DatabasesDatabase:
    options: dict[str, Any] = {
        "min_size": 0,  # so that the start does not need the server
        "max_size": connections,
        "pool_recycle": 1800,
        "connect_timeout": _CONNECT_SECONDS,
        "client_flag": pymysql.constants.CLIENT.FOUND_ROWS,
        # READ COMMITTED: no gap locks, so the journal's inserts never wait for a claim. MariaDB and
        # MySQL 8 name it differently.
        "init_command": "SET SESSION time_zone = '+00:00', "
        f"innodb_lock_wait_timeout = {_LOCK_WAIT_SECONDS}, "
        "@omni_inbox = 1, "  # what is written here has its event, see `crm_triggers`
        # NO_BACKSLASH_ESCAPES: quoting a body of 4 KB is then one replace, not a walk through every
        # character
        "sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES' /*M! , "
        "tx_isolation = 'READ-COMMITTED' */ "
        "/*!80000 , transaction_isolation = 'READ-COMMITTED' */",
    }
    url = re.sub(r"^mariadb", "mysql", url)
    if wants_encryption(url):
        options["ssl"] = ssl.create_default_context()
        url = re.sub(r"[?&]ssl=true", "", url)
    return DatabasesDatabase(url, **options)


class _SqliteConnection(sqlite3.Connection):
    """PRAGMAs are per connection; FULL because a delivery answered 200 must survive the loss of
    power.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=10000",
        ):
            self.execute(f"PRAGMA {pragma}")


def _check_encrypted(raw: Any, *, is_wanted: bool) -> None:
    """Refuse a connection that is in the clear although TLS is wanted: aiomysql goes on without it
    when the server, or somebody between, does not offer it. Raises DatabaseUnavailable."""
    if is_wanted and not raw._secure:  # a Unix socket counts as encrypted
        raise DatabaseUnavailable(NOT_ENCRYPTED)


async def _rolled_back(connection: Connection) -> bool:
    try:
        async with asyncio.timeout(2):
            await connection.rollback()
    except Exception:  # noqa: BLE001 - whatever went wrong, the connection is given up
        return False
    return True


def _has_ended(raw: Any) -> bool:
    """Whether the server has hung up: aiomysql's reader knows; a SQLite file never does.

    Nothing was asked, so whatever there is to read is a farewell.
    """
    reader = getattr(raw, "_reader", None)
    if reader is None:
        return False
    return bool(
        reader.at_eof() or reader.exception() is not None or getattr(reader, "_buffer", b"")
    )


async def _close_raw(raw: Any) -> None:
    with contextlib.suppress(Exception):
        closing = raw.close()
        if inspect.isawaitable(closing):
            async with asyncio.timeout(2):
                await closing
