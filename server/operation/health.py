"""What works and what does not, from memory: the body of `/readyz`. Every sentence says what it
means for people, and what is being done.

`problems` make the status `degraded`; `notes` are worth knowing and harm nobody else.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from server import log, metrics
from server.core.checks.integration_checks import Finding
from server.core.state.entities import Json
from server.operation.standstill import STANDSTILL_SECONDS
from server.tasks import Services

_logger = log.get(__name__)
_LAG_EVERY_SECONDS = 0.25
_LAG_SECONDS = 0.5  # longer than this without a turn, and people notice
_LAG_REMEMBERED_SECONDS = 30.0
_DISKS_EVERY_SECONDS = 5.0
_SLOW_CALL_SECONDS = 0.2
_SLOW_CALLS_LEAST = 5
_DATABASE_AWAY = (
    "the database cannot be reached; webhooks are kept in the spool, agents stay connected"
)
_BUS_DOWN = "the bus does not answer; events between processes arrive within about a second"
_REFUSING = "webhooks are refused: neither the database nor the spool takes them"


class Refusing(Protocol):
    def problem(self) -> str | None: ...


class Answering(Protocol):
    """A part that is reachable or not, and remembers how long its last calls took: (monotonic
    moment, seconds).
    """

    is_reachable: bool

    @property
    def refusals(self) -> Refusing: ...

    def recent_seconds(self) -> list[float]: ...


class Up(Protocol):
    @property
    def is_up(self) -> bool: ...


class Keeping(Protocol):
    waiting: int
    refused: int
    problem: str | None

    @property
    def aside(self) -> list[str]: ...


class Taking(Protocol):
    @property
    def is_refusing(self) -> bool: ...


class Counting(Protocol):
    count: int


class Health:
    """`more`: sentences of others (reconcile, integrations). `look_at_disks`: two system calls."""

    def __init__(
        self,
        services: Services,
        database: Answering,
        bus: Up,
        spool: Keeping,
        recorder: Taking,
        hub: Counting,
        more: Callable[[], Iterable[str]],
        look_at_disks: Callable[[], list[Finding]],
        waiting_seconds: Callable[[], float] = lambda: 0.0,
        locked: Callable[[float], Mapping[int, float]] = lambda least_seconds: {},
        sources: Callable[[], list[Json]] = lambda: [],
        more_notes: Callable[[], list[str]] = lambda: [],
    ) -> None:
        self._services = services
        self._database = database
        self._bus = bus
        self._spool = spool
        self._hub = hub
        self._recorder = recorder
        self._more = more
        self._look_at_disks = look_at_disks
        self._waiting_seconds = waiting_seconds
        self._locked = locked
        self._sources = sources
        self._more_notes = more_notes
        self._disks: list[Finding] = []
        self._lag: tuple[float, float] | None = None  # (when, seconds) of the worst turn lately
        self.schema_problem: str | None = "the database has not been looked at yet"
        self.is_draining = self._is_slow = False
        self._proxy: str | None = None

    async def run(self) -> None:
        """Measure how late the loop is, and how full the disks are."""
        looked_at = float("-inf")
        while True:
            asked = time.monotonic()
            await asyncio.sleep(_LAG_EVERY_SECONDS)
            now = time.monotonic()
            self._note_lag(now, max(0.0, now - asked - _LAG_EVERY_SECONDS))
            if now - looked_at >= _DISKS_EVERY_SECONDS:
                looked_at = now
                self._note_disks(self._look_at_disks())
                self._note_slowness(self._slow_calls())

    def start_draining(self) -> None:
        """From here on until the end of the process."""
        self.is_draining = True
        _logger.info("draining", sockets=self._hub.count)

    def note_proxy(self, address: str) -> None:
        """A machine of our own network passes on requests of others, and is not trusted. Until the
        end of the process.
        """
        self._proxy = (
            f"{address} sends X-Forwarded-For and is not trusted: everybody behind it is one "
            "address; set TRUSTED_PROXIES"
        )

    def report(self) -> Json:
        problems = self._problems()
        can_take_webhooks = not self._recorder.is_refusing and (
            self._database.is_reachable or not self._spool.problem
        )
        is_useless = not can_take_webhooks or bool(self._services.dying())
        status = "unavailable" if is_useless else "degraded" if problems else "ready"
        if told := self._draining():
            status = "draining"
            problems.append(told)
        return {
            "status": status,
            "problems": problems,
            "notes": self._notes(),
            "sockets": self._hub.count,
            "spooled": self._spool.waiting,
            "sources": self._sources(),
        }

    def parts(self) -> list[Finding]:
        """What everybody's work rests on, for the status page: nothing in it is a company's own."""
        return [
            self._database_part(),
            self._journal_part(),
            self._bus_part(),
            self._spool_part(),
            self._disk_part(),
            self._client_part(),
            self._process_part(),
        ]

    def _database_part(self) -> Finding:
        if problem := self._away():
            return Finding("database", "failed", problem)
        if self.schema_problem:
            return Finding("database", "failed", self.schema_problem)
        slow = self._slow_calls()
        return (
            Finding("database", "warning", slow)
            if slow
            else Finding("database", "ok", "the database answers")
        )

    def _journal_part(self) -> Finding:
        if problem := self._standstill():
            held = [_held(company_id, seconds) for company_id, seconds in self._locked(1.0).items()]
            return Finding("journal", "failed", problem, held[0] if held else "")
        return Finding("journal", "ok", "deliveries are taken in as they come")

    def _standstill(self) -> str | None:
        if (seconds := self._waiting_seconds()) < STANDSTILL_SECONDS:
            return None
        return (
            f"the oldest delivery has waited for {seconds:.0f} s to be taken in; agents do "
            "not see it yet"
        )

    def _bus_part(self) -> Finding:
        return (
            Finding("bus", "ok", "the bus answers")
            if self._bus.is_up
            else Finding("bus", "failed", _BUS_DOWN)
        )

    def _spool_part(self) -> Finding:
        if self._recorder.is_refusing:
            return Finding("spool", "failed", _REFUSING)
        if self._spool.problem:
            return Finding("spool", "failed", self._spool.problem)
        if aside := self._aside():
            return Finding("spool", "warning", aside)
        if self._spool.refused:
            return Finding("spool", "warning", self._refused())
        if self._spool.waiting:
            return Finding("spool", "warning", self._waiting())
        return Finding("spool", "ok", "the spool is empty")

    def _disk_part(self) -> Finding:
        full = next((finding for finding in self._disks if finding.state == "failed"), None)
        return (
            Finding("disks", "failed", full.text, full.remedy)
            if full
            else Finding("disks", "ok", "the disks have room")
        )

    def _client_part(self) -> Finding:
        paused = self._paused()
        return (
            Finding("clients", "warning", paused)
            if paused
            else Finding("clients", "ok", "clients read what they are sent")
        )

    def _process_part(self) -> Finding:
        for name, count in self._services.dying().items():
            return Finding("process", "failed", _dying(name, count))
        for name, error in self._services.failing().items():
            return Finding("process", "failed", _died(name, error))
        if told := self._draining() or self._busy():
            return Finding("process", "warning", told)
        return Finding("process", "ok", "the process has time for everybody")

    def _problems(self) -> list[str]:
        found = [_dying(name, count) for name, count in self._services.dying().items()]
        found += [_died(name, error) for name, error in self._services.failing().items()]
        if problem := self._standstill():
            found.append(problem)
        found += [
            _held(company_id, seconds)
            for company_id, seconds in self._locked(STANDSTILL_SECONDS).items()
        ]
        if self.schema_problem:
            found.append(self.schema_problem)
        if problem := self._database_problem():
            found.append(problem)
        if not self._bus.is_up:
            found.append(_BUS_DOWN)
        if self._spool.problem:
            found.append(self._spool.problem)
        if self._spool.waiting:
            found.append(self._waiting())
        if self._spool.refused:
            found.append(self._refused())
        if aside := self._aside():
            found.append(aside)
        if self._recorder.is_refusing:
            found.append(_REFUSING)
        found += [
            f"{finding.text}. {finding.remedy}"
            for finding in self._disks
            if finding.state == "failed"
        ]
        return [*found, *self._more()]

    def _database_problem(self) -> str | None:
        return self._away() or self._slow_calls()

    def _away(self) -> str | None:
        """In the database's own words where it answers, and says no."""
        if problem := self._database.refusals.problem():
            return problem
        return None if self._database.is_reachable else _DATABASE_AWAY

    def _slow_calls(self) -> str | None:
        seconds = self._database.recent_seconds()
        if (
            len(seconds) < _SLOW_CALLS_LEAST
            or (middle := statistics.median(seconds)) < _SLOW_CALL_SECONDS
        ):
            return None
        return (
            f"the database is slow: half of the last {len(seconds)} calls took longer than "
            f"{middle * 1e3:.0f} ms; "
            "look at its load, its locks and the disk it commits to"
        )

    def _notes(self) -> list[str]:
        return [
            *(note for note in (self._paused(), self._busy(), self._proxy) if note),
            *self._more_notes(),
        ]

    def _paused(self) -> str | None:
        paused = int(metrics.value_of(metrics.sockets_paused))
        if not paused:
            return None
        return (
            f"clients that do not read what they are sent: {paused}; each is closed with 4208 "
            "if that lasts, and resumes"
        )

    def _busy(self) -> str | None:
        if self._lag is None or time.monotonic() - self._lag[0] >= _LAG_REMEMBERED_SECONDS:
            return None
        return (
            f"the process was busy for {self._lag[1]:.1f} s without a turn for others: it "
            "needs a core of its own"
        )

    def _draining(self) -> str | None:
        if not self.is_draining:
            return None
        return (
            "this process is about to stop: new sockets are refused, and its "
            f"{self._hub.count} are asked to go elsewhere"
        )

    def _waiting(self) -> str:
        return f"{self._spool.waiting} deliveries wait in the spool"

    def _aside(self) -> str | None:
        if not (names := self._spool.aside):
            return None
        return (
            f"the spool's file was damaged and is kept as {names[-1]}; a new one was begun, "
            "and what could be read was taken over"
        )

    def _refused(self) -> str:
        return (
            f"{self._spool.refused} spooled deliveries were refused by the database; the "
            "spool keeps them, the log says why"
        )

    def _note_lag(self, now: float, seconds: float) -> None:
        metrics.loop_lag_seconds.observe(seconds)
        if seconds < _LAG_SECONDS:
            return
        if (
            self._lag is None
            or now - self._lag[0] > _LAG_REMEMBERED_SECONDS
            or seconds > self._lag[1]
        ):
            self._lag = (now, seconds)

    def _note_slowness(self, problem: str | None) -> None:
        if problem and not self._is_slow:
            _logger.warning("database slow", problem=problem)
        elif self._is_slow and not problem:
            _logger.info("database no longer slow")
        self._is_slow = problem is not None

    def _note_disks(self, found: list[Finding]) -> None:
        known = {finding.name for finding in self._disks if finding.state == "failed"}
        self._disks = found
        for finding in found:
            if finding.state == "failed" and finding.name not in known:
                _logger.error("disk", problem=finding.text, remedy=finding.remedy)


def _held(company_id: int, seconds: float) -> str:
    return (
        f"another client of the database has held the stream of company {company_id} for "
        f"{seconds:.0f} s: "
        "look for a transaction of the CRM or of a console that stands still"
    )


def _dying(name: str, count: int) -> str:
    return (
        f"{name} died {count} times within two minutes; look at the log, and take this "
        "process out until it is mended"
    )


def _died(name: str, error: str) -> str:
    return f"{name} died ({error}) and is being started again"
