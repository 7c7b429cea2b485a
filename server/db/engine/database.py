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
import time
from collections import deque
from collections.abc import Sequence

from server import log, metrics
from server.db.engine.busy import BusyCompanies
from server.db.engine.clock import DatabaseClock
from server.db.engine.driver_adapters import Dialect as Dialect
from server.db.engine.driver_adapters import Parameters as Parameters
from server.db.engine.driver_adapters import Row as Row
from server.db.engine.driver_errors import (
    is_demoted,
    keeps_connection,
    translate,
    translate_at_the_door,
)
from server.db.engine.lane_jobs import (
    BEGIN_SNAPSHOT,
    BEGIN_WRITE,
    Abandoned,
    Call,
    Job,
    T,
    roll_back,
    run_job,
    wait_for_result,
)
from server.db.engine.lane_retries import LaneRetries, given_up
from server.db.engine.primary import PrimaryWatch
from server.db.engine.private_files import make_private_file
from server.db.engine.raw_connections import (
    CONNECT_SECONDS,
    check_encrypted,
    close_raw,
    has_ended,
    open_mysql,
    open_sqlite,
    prepare_session,
)
from server.db.engine.refusals import Refusals
from server.db.engine.sql_connection import Connection as Connection
from server.errors import (
    CompanyBusy,
    DatabaseRetryable,
    DatabaseUnavailable,
    OmniError,
)
from server.settings import (
    Settings,
    sqlite_path,
    wants_encryption,
)

_logger = log.get(__name__)


_CLOSE_SECONDS = 5.0


_COMMIT_SECONDS = 5.0  # a COMMIT under way is waited for so much longer than anything else


_MAX_RECENT, _RECENT_SECONDS = 64, 10.0


# calls waiting for a lane; more than the lanes can serve within any caller's patience
_MAX_QUEUED = 2_000


# what those hold that say how much; one alone may hold more
_MAX_HELD_BYTES = 64_000_000


_SQLITE_READERS = 3


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
        max_held_bytes: int = _MAX_HELD_BYTES,
    ) -> None:
        self.dialect: Dialect = "sqlite" if url.startswith("sqlite") else "mysql"
        self.is_reachable = True  # what the last call saw
        self.busy = BusyCompanies()
        self.refusals = Refusals()
        self.clock = DatabaseClock(self.dialect)
        # integration -> the name of its one inbox, as the integrations were read last
        self.inbox_names: dict[int, str] = {}
        # of connections: those of an older one are given up before their next call
        self._generation = 0
        self._wait_seconds = wait_seconds
        self._statement_seconds = statement_seconds
        self._commit_seconds = commit_seconds
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._readers = _SQLITE_READERS if self.dialect == "sqlite" else max(1, pool // 2)
        self._writers = 1 if self.dialect == "sqlite" else max(1, pool - self._readers)
        self._is_encrypted = wants_encryption(url)
        self._path = sqlite_path(url) if self.dialect == "sqlite" else None
        self._database = (
            open_sqlite(url)
            if self.dialect == "sqlite"
            else open_mysql(url, self._readers + self._writers)
        )
        self._reads: asyncio.Queue[Job] = asyncio.Queue(_MAX_QUEUED)
        self._writes: asyncio.Queue[Job] = asyncio.Queue(_MAX_QUEUED)
        self._lanes: list[asyncio.Task[None]] = []
        self._recent: deque[tuple[float, float]] = deque(maxlen=_MAX_RECENT)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Database":
        """Return a database, not yet connected, at the settings' address and with their limits."""
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
        """Read one row outside any transaction; None if there is none. Raises like `read`."""
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
            self._reads, call, BEGIN_SNAPSHOT[self.dialect], attempts=2, wait_seconds=wait_seconds
        )

    async def transaction(
        self,
        call: Call[T],
        *,
        attempts: int = 4,
        wait_seconds: float | None = None,
        awaits_commit: bool = True,
        held_bytes: int = 0,
    ) -> T:
        """Run `call` between BEGIN and COMMIT. It holds SQL only and may be run again: after a
        deadlock, a lost connection, and a COMMIT whose answer was lost, so what it does must be
        idempotent; what counts or tells of it is left to `Connection.after_commit`.

        Raises DuplicateRow, what `call` raises, or DatabaseUnavailable: then it has not taken
        effect and will not, but for OutcomeUnknown: COMMIT had left, and nobody knows.
        Cancelled before COMMIT, it does not take effect. `awaits_commit` False: who repeats it
        under the same key anyway does not wait longer for a COMMIT. `held_bytes`: what the call
        keeps in memory meanwhile; where calls hold too much already it is refused at once.
        """
        metrics.database_calls.labels("transaction").inc()
        longer = self._commit_seconds if awaits_commit else 0.0
        begin = BEGIN_WRITE[self.dialect]
        held = self._held_bytes
        if held_bytes and held and held + held_bytes > self._max_held_bytes:
            raise given_up(is_unknown=False)
        self._held_bytes += held_bytes
        try:
            return await self._attempt(
                self._writes,
                call,
                begin,
                attempts=attempts,
                wait_seconds=wait_seconds,
                commit_seconds=longer,
            )
        finally:
            self._held_bytes -= held_bytes

    async def _attempt(
        self,
        queue: asyncio.Queue[Job],
        call: Call[T],
        begin: tuple[str, ...],
        *,
        attempts: int,
        wait_seconds: float | None,
        commit_seconds: float = 0.0,
    ) -> T:
        wait = self._wait_seconds if wait_seconds is None else wait_seconds
        started = time.monotonic()
        retries = LaneRetries(self.busy, attempts)
        try:
            while True:
                job = Job(call, begin, asyncio.get_running_loop().create_future())
                try:
                    queue.put_nowait(job)
                    result: T = await wait_for_result(
                        job, started + wait - time.monotonic(), commit_seconds
                    )
                except DatabaseUnavailable as error:
                    await retries.pause(error, job)
                else:
                    self.busy.clear(retries.busy)
                    self._record_seconds(
                        "transaction" if queue is self._writes else "read", started
                    )
                    return result
        except asyncio.QueueFull:
            raise given_up(is_unknown=retries.is_unknown) from None
        except DatabaseUnavailable as error:
            raise (given_up(is_unknown=True) if retries.is_unknown else error) from None
        except TimeoutError:
            is_unknown = retries.is_unknown or job.is_committing
            raise self._out_of_time(retries.busy, is_unknown=is_unknown) from None

    def _out_of_time(self, busy: frozenset[int], *, is_unknown: bool) -> DatabaseUnavailable:
        if busy and not is_unknown:  # the database is well, and answers everybody else
            return CompanyBusy(busy)
        # frozen, or far too busy: to whoever asks `/readyz` it is the same
        self.is_reachable = False
        metrics.database_errors.labels("timeout").inc()
        return given_up(is_unknown=is_unknown)

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

    def _record_seconds(self, kind: str, started: float) -> None:
        now = time.monotonic()
        self._recent.append((now, now - started))
        _SECONDS[kind].observe(now - started)

    async def _lane(self, queue: asyncio.Queue[Job]) -> None:
        job = await queue.get()
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    # a frozen server accepts and then says nothing
                    async with asyncio.timeout(CONNECT_SECONDS + 2):
                        held = await stack.enter_async_context(self._database.connection())
                        raw, generation = held.raw_connection, self._generation
                        check_encrypted(raw, is_wanted=self._is_encrypted)
                        connection, primary = await prepare_session(
                            raw, self.dialect, is_writer=queue is self._writes
                        )
                    connection.inbox_names = self.inbox_names
                    # looked at before each call: while idle it may have been killed, or given up
                    # with all others
                    is_well = True
                    while (
                        is_well
                        and generation == self._generation
                        and not has_ended(raw)
                        and await self._is_primary(connection, primary)
                    ):
                        is_well = await self._serve(job, connection)
                        queue.task_done()
                        if not is_well:
                            await close_raw(raw)
                        job = await queue.get()
                    if is_well:
                        await close_raw(raw)
            except Exception as error:  # noqa: BLE001 - the driver's errors end here, as ours
                self.refusals.record(error)
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
            await primary.check(connection)
        self._generation += primary.was_demoted
        return not primary.is_read_only

    async def _serve(self, job: Job, connection: Connection) -> bool:
        """Run one job. Returns False when the connection must not be used again."""
        if job.is_abandoned:  # its caller has given up before it began
            return True
        try:
            async with asyncio.timeout(self._statement_seconds):
                if self.clock.is_read_due:
                    await self.clock.read(connection)
                result = await run_job(job, connection)
        except Abandoned:
            return await roll_back(connection)
        except Exception as error:  # noqa: BLE001 - the driver's errors end here, as ours
            translated = translate(error)
            self.refusals.record(error)
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
            return await roll_back(connection)
        self.is_reachable = True
        job.finish(result)
        return True
