"""What works and what does not, from memory: the body of `/readyz`. Every sentence says what it
means for people, and what is being done.

`problems` make the status `degraded`; `notes` are worth knowing and harm nobody else.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from server import log, metrics
from server.core.checks.integration_checks import Finding, State
from server.core.state.entities import Json
from server.operation.standstill import STANDSTILL_SECONDS
from server.problems import Problem, Text, english
from server.tasks import Services

_logger = log.get(__name__)
_LAG_EVERY_SECONDS = 0.25
_LAG_SECONDS = 0.5  # longer than this without a turn, and people notice
_LAG_REMEMBERED_SECONDS = 30.0
_DISKS_EVERY_SECONDS = 5.0
_SLOW_CALL_SECONDS = 0.2
_MIN_SLOW_CALLS = 5
# the parts of the status page, and what is said of each when nothing is found
_WELL = {
    "database": Problem.of("database.answers"),
    "journal": Problem.of("journal.flows"),
    "bus": Problem.of("bus.answers"),
    "spool": Problem.of("spool.empty"),
    "disks": Problem.of("disk.room"),
    "clients": Problem.of("clients.read"),
    "process": Problem.of("process.has_time"),
}


@dataclass(frozen=True)
class _Found:
    """One thing that is not well. `part`: of the status page. `is_fatal`: this process is of no use
    until it is over. `is_note`: it makes nothing worse for others, and is no problem in the report.
    """

    part: str
    text: Text
    remedy: Text = ""
    state: State = "failed"
    is_fatal: bool = False
    is_note: bool = False
    in_report: Text | None = None  # where the report says more than `text`

    @property
    def reported(self) -> Text | None:
        """What `/readyz` says of it; None for a note."""
        return None if self.is_note else self.in_report or self.text

    @property
    def rank(self) -> tuple[bool, bool]:
        """The worse, the greater."""
        return self.is_fatal, self.state == "failed"

    def finding(self) -> Finding:
        """The same for the status page."""
        return Finding(self.part, self.state, self.text, self.remedy)


class Refusing(Protocol):
    """The refusals of a database that answers."""

    def problem(self) -> str | None:
        """What it refuses now, in its own words."""


class Answering(Protocol):
    """A part that is reachable or not, and remembers how long its last calls took: (monotonic
    moment, seconds).
    """

    is_reachable: bool

    @property
    def refusals(self) -> Refusing:
        """What it said no to lately."""

    def recent_seconds(self) -> list[float]:
        """How long its last calls took."""


class Up(Protocol):
    """A part that is there or not."""

    @property
    def is_up(self) -> bool:
        """Whether it answered lately."""


class Keeping(Protocol):
    """The spool: deliveries that wait, that were refused, and files put aside."""

    waiting: int
    refused: int
    problem: str | None

    @property
    def aside(self) -> list[str]:
        """Names of damaged files."""


class Taking(Protocol):
    """The recorder of deliveries."""

    @property
    def is_refusing(self) -> bool:
        """Whether it answered 503 lately."""


class Counting(Protocol):
    """The hub, of which only the number of sockets counts here."""

    count: int


class Health:
    """`more`: problems of others (reconcile, integrations). `look_at_disks`: two system calls."""

    def __init__(
        self,
        services: Services,
        database: Answering,
        bus: Up,
        spool: Keeping,
        recorder: Taking,
        hub: Counting,
        more: Callable[[], Iterable[Text]],
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
        self.schema_problem: Text | None = Problem.of("database.not_examined")
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
        """The body of `/readyz`: `status`, `problems`, `notes` and counts."""
        problems = [
            *(one.reported for one in self._found() if one.reported is not None),
            *self._more(),
        ]
        can_take_webhooks = not self._recorder.is_refusing and (
            self._database.is_reachable or not self._spool.problem
        )
        is_useless = not can_take_webhooks or bool(self._services.dying())
        status = "unavailable" if is_useless else "degraded" if problems else "ready"
        if self.is_draining:
            status = "draining"
            problems.append(self._draining())
        return {
            "status": status,
            "problems": [english(one) for one in problems],
            "notes": [english(one) for one in self._notes()],
            "sockets": self._hub.count,
            "spooled": self._spool.waiting,
            "sources": self._sources(),
        }

    def parts(self) -> list[Finding]:
        """What everybody's work rests on, for the status page: nothing in it is a company's own. Of
        each part the worst of what was found, the last one among equals.
        """
        worst: dict[str, _Found] = {}
        for one in self._found():
            if one.part not in worst or one.rank >= worst[one.part].rank:
                worst[one.part] = one
        return [
            worst[part].finding() if part in worst else Finding(part, "ok", text)
            for part, text in _WELL.items()
        ]

    def _found(self) -> list[_Found]:
        """All that is not well in this process, in the order of the report."""
        return [
            *self._found_of_services(),
            *self._found_of_journal(),
            *self._found_of_database(),
            *([] if self._bus.is_up else [_Found("bus", Problem.of("bus.away"))]),
            *self._found_of_spool(),
            *(_of_disk(finding) for finding in self._disks if finding.state == "failed"),
            *(
                _Found(part, text, state="warning", is_note=True)
                for part, text in (
                    ("clients", self._paused()),
                    ("process", self._busy()),
                    ("process", self._draining() if self.is_draining else None),
                )
                if text is not None
            ),
        ]

    def _found_of_services(self) -> list[_Found]:
        dying = [
            _Found(
                "process", Problem.of("service.dies_often", name=name, count=count), is_fatal=True
            )
            for name, count in self._services.dying().items()
        ]
        return dying + [
            _Found("process", Problem.of("service.died", what=name, error=error))
            for name, error in self._services.failing().items()
        ]

    def _found_of_journal(self) -> list[_Found]:
        found = []
        if (seconds := self._waiting_seconds()) >= STANDSTILL_SECONDS:
            held = [_held(company_id, held) for company_id, held in self._locked(1.0).items()]
            text = Problem.of("journal.standstill", seconds=f"{seconds:.0f}")
            found.append(_Found("journal", text, held[0] if held else ""))
        return found + [
            _Found("streams", _held(company_id, held))
            for company_id, held in self._locked(STANDSTILL_SECONDS).items()
        ]

    def _found_of_database(self) -> list[_Found]:
        found = [_Found("database", self.schema_problem)] if self.schema_problem else []
        if away := self._away():
            return [*found, _Found("database", away)]
        slow = self._slow_calls()
        return [*found, _Found("database", slow, state="warning")] if slow else found

    def _found_of_spool(self) -> list[_Found]:
        spool = self._spool
        found = [_Found("spool", spool.problem)] if spool.problem else []
        if spool.waiting:
            waiting = Problem.of("spool.waiting", count=spool.waiting)
            found.append(_Found("spool", waiting, state="warning"))
        if spool.refused:
            refused = Problem.of("spool.refused", count=spool.refused)
            found.append(_Found("spool", refused, state="warning"))
        if spool.aside:
            damaged = Problem.of("spool.damaged", name=spool.aside[-1])
            found.append(_Found("spool", damaged, state="warning"))
        if self._recorder.is_refusing:
            found.append(_Found("spool", Problem.of("webhooks.refused"), is_fatal=True))
        return found

    def _away(self) -> Text | None:
        """In the database's own words where it answers, and says no."""
        if problem := self._database.refusals.problem():
            return problem
        return None if self._database.is_reachable else Problem.of("database.away")

    def _slow_calls(self) -> Problem | None:
        seconds = self._database.recent_seconds()
        if (
            len(seconds) < _MIN_SLOW_CALLS
            or (middle := statistics.median(seconds)) < _SLOW_CALL_SECONDS
        ):
            return None
        return Problem.of("database.slow", count=len(seconds), time=f"{middle * 1000.0:.0f}")

    def _notes(self) -> list[Text]:
        return [
            *(note for note in (self._paused(), self._busy(), self._proxy) if note),
            *self._more_notes(),
        ]

    def _paused(self) -> Problem | None:
        paused = int(metrics.value_of(metrics.sockets_paused))
        if not paused:
            return None
        return Problem.of("clients.slow", count=paused)

    def _busy(self) -> Problem | None:
        if self._lag is None or time.monotonic() - self._lag[0] >= _LAG_REMEMBERED_SECONDS:
            return None
        return Problem.of("process.busy", seconds=f"{self._lag[1]:.1f}")

    def _draining(self) -> Problem:
        return Problem.of("process.draining", count=self._hub.count)

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

    def _note_slowness(self, problem: Problem | None) -> None:
        if problem and not self._is_slow:
            _logger.warning("database slow", problem=english(problem))
        elif self._is_slow and not problem:
            _logger.info("database no longer slow")
        self._is_slow = problem is not None

    def _note_disks(self, found: list[Finding]) -> None:
        known = {finding.name for finding in self._disks if finding.state == "failed"}
        self._disks = found
        for finding in found:
            if finding.state == "failed" and finding.name not in known:
                _logger.error("disk", problem=english(finding.text), remedy=english(finding.remedy))


def _of_disk(finding: Finding) -> _Found:
    both = Problem.of("disk.problem", text=finding.text, remedy=finding.remedy)
    return _Found("disks", finding.text, finding.remedy, in_report=both)


def _held(company_id: int, seconds: float) -> Problem:
    return Problem.of("journal.held", company=company_id, seconds=f"{seconds:.0f}")
