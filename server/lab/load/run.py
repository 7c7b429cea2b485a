"""One run: makes the ground, starts the players, lets them play, waits until all is settled,
judges, and clears the ground.
"""

import multiprocessing
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import msgspec

from server.errors import OmniError, Unavailable
from server.lab.load import (
    chatwoot_player,
    log_audit,
    player,
    probe,
)
from server.lab.load.ground import Ground
from server.lab.load.histogram import Histogram
from server.lab.load.player import Tokens
from server.lab.load.private_server import PrivateServer
from server.lab.load.reply_load import FIRST_NUMBER
from server.lab.load.scenario_plan import Plan
from server.lab.load.tally import Tally
from server.lab.load.verdict import Evidence, Verdict, judge
from server.operation.listeners import listeners
from server.settings import Settings

_TICK_SECONDS = 0.5
_ANSWER_SECONDS = 60.0
_START_SECONDS = 120.0
_CALM_TICKS = 2
_DIRECTORY_SECONDS = 6.0  # every process has read the new integrations by then
_END_SECONDS = 10.0
_BUSY_SHARE = 0.9  # of a core: from here on it is the harness that is measured
_BUSY_OVER_TICKS = 10


class Moment(msgspec.Struct):
    """One tick of the run, for the view and the plots."""

    at: float  # seconds since the start
    live: int
    delivered_per_second: float
    written_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    waiting: int
    errors: int
    harness_cpu: float  # of the busiest process, as a share of a core
    server_cpu: float | None


class Result(msgspec.Struct):
    """Everything a report shows."""

    plan: Plan
    verdict: Verdict
    tally: Tally
    moments: list[Moment]
    seconds: float
    settled_seconds: float
    harness_cpu: dict[str, float]  # process -> share of a core over the whole run
    harness_peak: float
    server: dict[str, float]
    heads: int


class _Process:
    """A player and its pipe."""

    def __init__(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.name = name
        self.told: dict[str, Any] | None = None
        self.answers: dict[str, Any] = {}
        self._process = context.Process(
            target=target, args=(theirs, *arguments), name=name, daemon=True
        )
        self._process.start()
        theirs.close()

    def take(self) -> None:
        kind, value = self.pipe.recv()
        if kind == "told":
            self.told = value
        else:
            self.answers[kind] = value

    def end(self) -> None:
        with suppress(OSError):
            self.pipe.send("end")
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.pipe.close()


class Run:
    """`on_moment` is called twice a second. `server`: the private one, started when the ground is
    ready.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        on_moment: Callable[[Moment, str], None],
        *,
        server: PrivateServer | None = None,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._on_moment = on_moment
        self._server = server
        self._ground = Ground(settings, plan.companies)
        self._processes: list[_Process] = []
        self._moments: list[Moment] = []
        self._recent_cpu: dict[str, deque[tuple[float, float]]] = {}
        self._peak = 0.0
        self._started = self._last_at = time.monotonic()
        self._last: Tally | None = None
        self._last_server_cpu: float | None = None
        self._found_pids: tuple[int, ...] | None = None
        self._phase = "preparing"
        self._is_ending = False

    def end_early(self) -> None:
        """Stop playing now, and judge what was played. May be called from a signal handler."""
        self._is_ending = True

    def play(self) -> Result:
        """Raises OmniError when something does not come about; the ground is cleared in any
        case.
        """
        with ExitStack() as stack:
            chatwoot = self._add(
                "chatwoot",
                chatwoot_player.play,
                self._plan,
                f"{self._plan.url}/api/webhooks/chatwoot",
            )
            stack.callback(self._end)
            ready = self._await(chatwoot, "ready", _START_SECONDS)
            stack.callback(self._clear)
            self._ground.prepare(ready["address"], ready["token"], ready["accounts"])
            if self._server is not None:
                stack.callback(self._server.stop)
                self._server.start()
            else:
                self._tick_until(time.monotonic() + _DIRECTORY_SECONDS)
            seconds = 2 * (self._plan.duration + self._plan.ramp + self._plan.settle) + 3_600
            tokens = Tokens(self._settings.jwt_secret, self._settings.jwt_company_claim, seconds)
            for share in range(self._plan.processes):
                self._add(
                    f"agents {share + 1}",
                    player.play,
                    self._plan,
                    self._plan.target(),
                    tokens,
                    self._ground.first,
                    share,
                )
            stack.callback(self._end)  # before the server stops: nobody is left to be drained
            return self._measured(chatwoot, tokens)

    def _measured(self, chatwoot: _Process, tokens: Tokens) -> Result:
        pids = self._pids()
        before = probe.sample(self._plan.url, pids)
        cpu = self._cpu()
        self._started = time.monotonic()
        self._phase = "playing"
        self._ask_all("start")
        self._play_out()
        played = time.monotonic() - self._started
        after = probe.sample(self._plan.url, self._pids())
        spent = {
            name: (seconds - cpu.get(name, 0.0)) / played for name, seconds in self._cpu().items()
        }
        self._phase = "settling"
        settling = time.monotonic()
        self._ask_all("stop")
        self._settle(chatwoot, tokens)
        settled = time.monotonic() - settling
        found = self._ask_all("found")
        self._phase = "judging"
        streams = self._ground.streams()
        logs = log_audit.read_logs(self._plan.url, streams, tokens.of)
        tally = self._together()
        verdict = judge(tally, self._evidence(chatwoot, found), logs)
        heads = sum(log.head for log in logs.values())
        return Result(
            self._plan,
            verdict,
            tally,
            self._moments,
            played,
            settled,
            spent,
            self._peak,
            _server_figures(before, after),
            heads,
        )

    def _play_out(self) -> None:
        """Full load begins when everybody has come: on a busy machine that is later than the
        ramp.
        """
        plan = self._plan
        self._tick_until(self._started + plan.ramp)
        latest = time.monotonic() + plan.settle
        while (
            self._together().connects.total < plan.agents
            and time.monotonic() < latest
            and not self._is_ending
        ):
            self._tick_until(time.monotonic() + _TICK_SECONDS)
        began = time.monotonic()
        if plan.deploy_at and self._server is not None:
            self._tick_until(began + plan.deploy_at)
            self._server.stop()
            self._server.start()
        self._tick_until(began + plan.duration)

    def _settle(self, chatwoot: _Process, tokens: Tokens) -> None:
        """Until nothing is under way and every agent is at its company's head, or the plan's
        patience is at its end.
        """
        until = time.monotonic() + self._plan.settle
        calm = 0
        before: dict[int, tuple[str, int]] = {}
        while time.monotonic() < until and (
            calm < _CALM_TICKS or not self._is_whole(chatwoot, tokens)
        ):
            self._tick_until(time.monotonic() + _TICK_SECONDS)
            try:
                streams = self._ground.streams()
            except Unavailable:
                continue
            calm = calm + 1 if streams == before and self._is_level(streams) else 0
            before = streams

    def _is_whole(self, chatwoot: _Process, tokens: Tokens) -> bool:
        """Whether what a refused webhook did not bring has been found by reconcile meanwhile. Reads
        the logs only where one was refused.
        """
        told = chatwoot.told or {}
        if not self._are_replies_there(chatwoot):
            return False
        if set(told.get("webhooks", {})) <= {"200"}:
            return True
        logs = log_audit.read_logs(self._plan.url, self._ground.streams(), tokens.of)
        return sum(
            number < FIRST_NUMBER for log in logs.values() for number in log.numbers.values()
        ) >= int(told["written"])

    def _are_replies_there(self, chatwoot: _Process) -> bool:
        """Whether every reply that was taken is at its customer: one whose process was stopped is
        sent when its lease has ended.
        """
        found = self._ask_all("found")
        at_customer = found[chatwoot.name]["at_customer"]
        taken = [value["taken"] for name, value in found.items() if name != chatwoot.name]
        return all(
            number in at_customer
            for companies in taken
            for numbers in companies.values()
            for number in numbers
        )

    def _is_level(self, streams: dict[int, tuple[str, int]]) -> bool:
        for process in self._processes:
            told = process.told or {}
            if told.get("waiting") or told.get("open_replies"):
                return False
            for company_id, (agents, live, least) in told.get("levels", {}).items():
                if agents != live or least < streams.get(company_id, ("", 0))[1]:
                    return False
        return True

    def _evidence(self, chatwoot: _Process, found: dict[str, Any]) -> Evidence:
        players = [value for name, value in found.items() if name != chatwoot.name]
        levels: dict[int, tuple[int, int, int]] = {}
        taken: dict[int, list[int]] = {}
        for process in self._processes:
            for company_id, (agents, live, least) in (process.told or {}).get("levels", {}).items():
                known = levels.get(company_id, (0, 0, least))
                levels[company_id] = (known[0] + agents, known[1] + live, min(known[2], least))
        for value in players:
            for company_id, numbers in value["taken"].items():
                taken.setdefault(company_id, []).extend(numbers)
        own = found[chatwoot.name]
        return Evidence(
            written={
                self._ground.first + shop: numbers for shop, numbers in own["written"].items()
            },
            taken=taken,
            at_customer=own["at_customer"],
            seen=[value["seen"] for value in players],
            levels=levels,
            open_replies=sum(
                (process.told or {}).get("open_replies", 0) for process in self._processes
            ),
        )

    # the processes

    def _clear(self) -> None:
        self._ground.clear()
        # one that goes on running writes down within seconds what it still has in hand
        if self._server is None:
            time.sleep(_DIRECTORY_SECONDS)
            self._ground.clear()

    def _add(self, name: str, target: Callable[..., None], *arguments: object) -> _Process:
        process = _Process(name, target, *arguments)
        self._processes.append(process)
        return process

    def _end(self) -> None:
        for process in self._processes:
            process.end()

    def _ask_all(self, command: str) -> dict[str, Any]:
        for process in self._processes:
            process.answers.pop(command, None)
            process.pipe.send(command)
        return {
            process.name: self._await(process, command, _ANSWER_SECONDS)
            for process in self._processes
        }

    def _await(self, process: _Process, kind: str, limit: float) -> Any:
        until = time.monotonic() + limit
        while kind not in process.answers:
            if time.monotonic() > until:
                raise OmniError(f"the harness's process {process.name!r} did not answer {kind!r}")
            self._take(0.1)
        return process.answers[kind]

    def _take(self, seconds: float) -> None:
        by_pipe: dict[Connection, _Process] = {process.pipe: process for process in self._processes}
        for pipe in wait(list(by_pipe), seconds):
            try:
                by_pipe[pipe].take()  # type: ignore[index]
            except EOFError:
                raise OmniError(f"the harness's process {by_pipe[pipe].name!r} has died") from None  # type: ignore[index]

    def _tick_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0 and not (
            self._is_ending and self._phase == "playing"
        ):
            self._take(min(left, _TICK_SECONDS / 2))
            if time.monotonic() - self._last_at >= _TICK_SECONDS:
                self._tick()

    # the figures

    def _tick(self) -> None:
        now = time.monotonic()
        seconds, self._last_at = now - self._last_at, now
        tally, last = self._together(), self._last or Tally()
        since = Histogram(tally.delays.counts - last.delays.counts)
        p50, p99 = since.percentile(0.5), since.percentile(0.99)
        server_cpu = self._server_cpu(seconds)
        moment = Moment(
            at=round(now - self._started, 2),
            live=tally.live,
            delivered_per_second=(tally.delivered - last.delivered) / seconds,
            written_per_second=(tally.written - last.written) / seconds,
            p50_ms=None if p50 is None else p50 * 1e3,
            p99_ms=None if p99 is None else p99 * 1e3,
            waiting=sum((process.told or {}).get("waiting", 0) for process in self._processes),
            errors=tally.failures.total() + sum(tally.faults.values()),
            harness_cpu=self._busiest(now),
            server_cpu=server_cpu,
        )
        self._last = tally
        if self._phase == "playing":
            self._moments.append(moment)
        self._on_moment(moment, self._phase)

    def _together(self) -> Tally:
        tally = Tally()
        for process in self._processes:
            if process.told is not None:
                tally.add(process.told)
        return tally

    def _cpu(self) -> dict[str, float]:
        return {
            process.name: process.told["cpu_seconds"]
            for process in self._processes
            if process.told is not None
        }

    def _busiest(self, now: float) -> float:
        shares = [0.0]
        for name, seconds in self._cpu().items():
            recent = self._recent_cpu.setdefault(name, deque(maxlen=_BUSY_OVER_TICKS))
            recent.append((now, seconds))
            (first_at, first), (last_at, last) = recent[0], recent[-1]
            if len(recent) == recent.maxlen:
                shares.append((last - first) / (last_at - first_at))
        if self._phase == "playing":
            self._peak = max(self._peak, *shares)
        return max(shares)

    def _server_cpu(self, seconds: float) -> float | None:
        sample = probe.cpu_seconds(self._pids())
        last, self._last_server_cpu = self._last_server_cpu, sample
        return (
            None if sample is None or last is None or sample < last else (sample - last) / seconds
        )

    def _pids(self) -> tuple[int, ...]:
        if self._server is not None:
            return (self._server.pid,)
        if self._found_pids is None:
            target = self._plan.target()
            self._found_pids = listeners(target.port) if target.host.startswith("127.") else ()
        return self._found_pids


def is_at_limit(result: Result) -> bool:
    return result.harness_peak > _BUSY_SHARE


def _server_figures(before: probe.Sample, after: probe.Sample) -> dict[str, float]:
    """What the server did and cost between the two, per second where it is a rate."""
    seconds = after.at - before.at
    found = {
        name: value - before.metrics.get(name, 0.0)
        for name, value in after.metrics.items()
        if name.endswith(("_total", "_sum", "_count"))
    }
    figures = {"seconds": seconds, **{name: value for name, value in found.items() if value}}
    if after.cpu_seconds is not None and before.cpu_seconds is not None:
        figures["cpu_share"] = max(0.0, after.cpu_seconds - before.cpu_seconds) / seconds
    if after.memory_bytes is not None:
        figures["memory_bytes"] = float(after.memory_bytes)
    return figures
