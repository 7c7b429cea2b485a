"""One run: adds the companies, starts the workers, keeps up the load, waits until all is settled,
judges, and removes the companies.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from server.errors import Unavailable
from server.lab.load import agents_worker, chatwoot_worker, log_audit, probe
from server.lab.load.agents_worker import Tokens
from server.lab.load.load_tenants import LoadTenants
from server.lab.load.private_server import PrivateServer
from server.lab.load.reply_load import FIRST_NUMBER
from server.lab.load.run_meter import RunMeter
from server.lab.load.run_result import Moment, Result, server_figures
from server.lab.load.scenario_plan import Plan
from server.lab.load.verdict import RunRecord, judge
from server.lab.load.worker_processes import WorkerProcess, WorkerProcesses
from server.operation.listeners import listeners
from server.settings import Settings

_TICK_SECONDS = 0.5
_START_SECONDS = 120.0
_CALM_TICKS = 2
_DIRECTORY_SECONDS = 6.0  # every process has read the new integrations by then


class Run:
    """One run of a plan. `on_moment` is called twice a second, with the phase: `preparing`,
    `playing`, `settling` or `judging`. `server`: the private one, started when the companies are
    there.
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
        self._tenants = LoadTenants(settings, plan.companies)
        self._workers = WorkerProcesses()
        self._meter = RunMeter(self._workers, self._pids)
        self._found_pids: tuple[int, ...] | None = None
        self._phase = "preparing"
        self._is_ending = False

    def end_early(self) -> None:
        """End the load now, and judge what there was of it. May be called from a signal handler."""
        self._is_ending = True

    def execute(self) -> Result:
        """Run the whole plan. Raises OmniError when something does not come about; the companies
        are removed in any case.
        """
        with ExitStack() as stack:
            chatwoot = self._workers.start(
                "chatwoot",
                chatwoot_worker.run_worker,
                self._plan,
                f"{self._plan.url}/api/webhooks/chatwoot",
            )
            stack.callback(self._workers.end)
            ready = self._workers.answer_of(chatwoot, "ready", _START_SECONDS)
            stack.callback(self._clear)
            self._tenants.prepare(ready["address"], ready["token"], ready["accounts"])
            if self._server is not None:
                stack.callback(self._server.stop)
                self._server.start()
            else:
                self._tick_until(time.monotonic() + _DIRECTORY_SECONDS)
            tokens = self._start_agents()
            stack.callback(self._workers.end)  # before the server stops: nobody is left to drain
            return self._measured(chatwoot, tokens)

    def _start_agents(self) -> Tokens:
        plan = self._plan
        seconds = 2 * (plan.duration + plan.ramp + plan.settle) + 3_600
        tokens = Tokens(self._settings.jwt_secret, self._settings.jwt_company_claim, seconds)
        for share in range(plan.processes):
            self._workers.start(
                f"agents {share + 1}",
                agents_worker.run_worker,
                plan,
                plan.target(),
                tokens,
                self._tenants.first,
                share,
            )
        return tokens

    def _measured(self, chatwoot: WorkerProcess, tokens: Tokens) -> Result:
        before = probe.sample(self._plan.url, self._pids())
        cpu = self._workers.cpu_seconds()
        started = time.monotonic()
        self._meter.start()
        self._phase = "playing"
        self._workers.ask_all("start")
        self._keep_up_load(started)
        played = time.monotonic() - started
        after = probe.sample(self._plan.url, self._pids())
        spent = {
            name: (seconds - cpu.get(name, 0.0)) / played
            for name, seconds in self._workers.cpu_seconds().items()
        }
        self._phase = "settling"
        settling = time.monotonic()
        self._workers.ask_all("stop")
        self._settle(chatwoot, tokens)
        settled = time.monotonic() - settling
        records = self._workers.ask_all("record")
        self._phase = "judging"
        logs = log_audit.read_logs(self._plan.url, self._tenants.streams(), tokens.of)
        counters = self._workers.total()
        return Result(
            self._plan,
            judge(counters, self._record(chatwoot, records), logs),
            counters,
            self._meter.moments,
            played,
            settled,
            spent,
            self._meter.peak,
            server_figures(before, after),
            sum(log.head for log in logs.values()),
        )

    def _keep_up_load(self, started: float) -> None:
        """Full load begins when all agents are connected: on a busy machine that is later than the
        ramp.
        """
        plan = self._plan
        self._tick_until(started + plan.ramp)
        latest = time.monotonic() + plan.settle
        while (
            self._workers.total().connects.total < plan.agents
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

    def _settle(self, chatwoot: WorkerProcess, tokens: Tokens) -> None:
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
                streams = self._tenants.streams()
            except Unavailable:
                continue
            calm = calm + 1 if streams == before and self._is_level(streams) else 0
            before = streams

    def _is_whole(self, chatwoot: WorkerProcess, tokens: Tokens) -> bool:
        """Whether what a refused webhook did not bring has been found by reconcile meanwhile. Reads
        the logs only where one was refused.
        """
        report = chatwoot.report or {}
        if not self._are_replies_there(chatwoot):
            return False
        if set(report.get("webhooks", {})) <= {"200"}:
            return True
        logs = log_audit.read_logs(self._plan.url, self._tenants.streams(), tokens.of)
        return sum(
            number < FIRST_NUMBER for log in logs.values() for number in log.numbers.values()
        ) >= int(report["written"])

    def _are_replies_there(self, chatwoot: WorkerProcess) -> bool:
        """Whether every accepted reply is at its customer: one whose process was stopped is sent
        when its lease has ended.
        """
        records = self._workers.ask_all("record")
        at_customer = records[chatwoot.name]["at_customer"]
        accepted = [value["accepted"] for name, value in records.items() if name != chatwoot.name]
        return all(
            number in at_customer
            for companies in accepted
            for numbers in companies.values()
            for number in numbers
        )

    def _is_level(self, streams: dict[int, tuple[str, int]]) -> bool:
        for report in self._workers.reports():
            if report.get("waiting") or report.get("open_replies"):
                return False
            for company_id, (agents, live, least) in report.get("levels", {}).items():
                if agents != live or least < streams.get(company_id, ("", 0))[1]:
                    return False
        return True

    def _record(self, chatwoot: WorkerProcess, records: dict[str, Any]) -> RunRecord:
        agents_records = [value for name, value in records.items() if name != chatwoot.name]
        reports = self._workers.reports()
        levels: dict[int, tuple[int, int, int]] = {}
        accepted: dict[int, list[int]] = {}
        for report in reports:
            for company_id, (agents, live, least) in report.get("levels", {}).items():
                known = levels.get(company_id, (0, 0, least))
                levels[company_id] = (known[0] + agents, known[1] + live, min(known[2], least))
        for value in agents_records:
            for company_id, numbers in value["accepted"].items():
                accepted.setdefault(company_id, []).extend(numbers)
        own = records[chatwoot.name]
        return RunRecord(
            written={
                self._tenants.first + shop: numbers for shop, numbers in own["written"].items()
            },
            accepted=accepted,
            at_customer=own["at_customer"],
            seen=[value["seen"] for value in agents_records],
            levels=levels,
            open_replies=sum(report.get("open_replies", 0) for report in reports),
        )

    def _clear(self) -> None:
        self._tenants.clear()
        # one that goes on running writes down within seconds what it still has in hand
        if self._server is None:
            time.sleep(_DIRECTORY_SECONDS)
            self._tenants.clear()

    def _tick_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0 and not (
            self._is_ending and self._phase == "playing"
        ):
            self._workers.receive(min(left, _TICK_SECONDS / 2))
            if time.monotonic() - self._meter.last_at >= _TICK_SECONDS:
                moment_now = self._meter.tick(is_playing=self._phase == "playing")
                self._on_moment(moment_now, self._phase)

    def _pids(self) -> tuple[int, ...]:
        if self._server is not None:
            return (self._server.pid,)
        if self._found_pids is None:
            target = self._plan.target()
            self._found_pids = listeners(target.port) if target.host.startswith("127.") else ()
        return self._found_pids
