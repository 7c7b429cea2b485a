"""A worker process of the harness: its share of the agents, pollers and replies on one loop,
steered through a pipe.
"""

import gc
import random
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import jwt

from server.lab.load.agents import Target
from server.lab.load.counters import Counters
from server.lab.load.fleet import Fleet
from server.lab.load.loop import READ, Loop
from server.lab.load.pollers import LIST_SECONDS, Poller
from server.lab.load.reply_load import FIRST_NUMBER, Replier
from server.lab.load.scenario_plan import Plan

_REPORT_INTERVAL_SECONDS = 0.5
_NUMBERS_EACH = 10_000_000


class Tokens:
    """Tokens as the CRM issues them, with the server's own secret."""

    def __init__(self, secret: str, company_claim: str, seconds: float) -> None:
        self._secret = secret
        self._company_claim = company_claim
        now = int(time.time())
        self._times = {"iat": now, "exp": now + int(seconds)}

    def of(self, company_id: int, number: int) -> str:
        """A token of the company's agent with that number."""
        claims = {
            "sub": f"load-{number}",
            self._company_claim: company_id,
            "name": f"Agent {number}",
            "role": "agent",
        }
        return jwt.encode(claims | self._times, self._secret, algorithm="HS256")


class AgentsWorker:
    """The agents, pollers and replies of one process, which is number `share` of `plan.processes`.
    The companies are `first_company` and those after it.
    """

    def __init__(
        self, plan: Plan, target: Target, tokens: Tokens, first_company: int, share: int
    ) -> None:
        self._plan = plan
        self._share = share
        self.loop = Loop()
        self.counters = Counters()
        rng = random.Random(plan.seed * 1_000 + share)  # noqa: S311 - a load that can be repeated
        self.fleet = Fleet(self.loop, target, self.counters, tokens.of, rng)
        for number in range(share, plan.agents, plan.processes):
            self.fleet.add(
                first_company + number % plan.companies,
                number + 1,
                is_slow=rng.random() < plan.slow_share,
            )
        self.pollers = [
            Poller(
                self.loop,
                target,
                self.counters,
                company_id=first_company + number % plan.companies,
                token=tokens.of(first_company + number % plan.companies, plan.agents + number + 1),
                rng=rng,
            )
            for number in range(share, plan.pollers, plan.processes)
        ]
        first = FIRST_NUMBER + share * _NUMBERS_EACH
        per_minute = plan.replies_per_minute / plan.processes
        self.replier = Replier(
            self.loop,
            target,
            self.counters,
            self.fleet,
            tokens.of,
            per_minute=per_minute,
            first=first,
            rng=rng,
        )
        self._rng = rng

    def start(self) -> None:
        """Let agents and pollers join over the ramp, replies begin at once, and faults after it."""
        plan = self._plan
        self.fleet.join(self.fleet.agents, plan.ramp)
        for poller in self.pollers:
            poller.start(self._rng.uniform(0, max(plan.ramp, LIST_SECONDS)))
        self.replier.start()
        self.loop.call_at(time.monotonic() + plan.ramp, self._begin_faults)

    def stop(self) -> None:
        """End faults and replies, so that all agents can catch up with the log."""
        self.fleet.stop_faults()
        self.replier.stop()

    def close(self) -> None:
        """Close all connections."""
        self.fleet.close()
        self.replier.close()
        for poller in self.pollers:
            poller.stop()

    def report(self) -> dict[str, Any]:
        """The counts so far, with each company's levels and the replies under way."""
        self.counters.cpu_seconds = time.process_time()
        levels = {company_id: list(level) for company_id, level in self.fleet.levels().items()}
        return self.counters.snapshot() | {"levels": levels, "open_replies": self.replier.open}

    def record(self) -> dict[str, Any]:
        """What the verdict needs in addition to the counts."""
        return {"seen": self.counters.seen, "accepted": self.replier.accepted}

    def _begin_faults(self) -> None:
        if self._plan.drop_every > 0:
            self.fleet.drop_often(self._plan.drop_every)
        if self._plan.slow_share > 0:
            self.fleet.read_slowly()


def run_worker(
    pipe: Connection, plan: Plan, target: Target, tokens: Tokens, first_company: int, share: int
) -> None:
    """The main function of the process: reports its counts twice a second; obeys `start`, `stop`,
    `record` and `end`.
    """
    _raise_file_limit()
    # Ctrl-C reaches all processes; the one that steers us decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = AgentsWorker(plan, target, tokens, first_company, share)
    gc.freeze()  # thousands of objects that stay: not traversed by each collection
    is_over = False
    answers: dict[str, Callable[[], Any]] = {
        "start": worker.start,
        "stop": worker.stop,
        "record": worker.record,
    }

    def on_command(mask: int) -> None:
        nonlocal is_over
        command = (
            pipe.recv() if not mask & ~READ else "end"
        )  # hung up: the process that steers us is gone
        if command == "end":
            is_over = True
        else:
            pipe.send((command, answers[command]()))

    def send_report() -> None:
        pipe.send(("report", worker.report()))
        worker.loop.call_at(time.monotonic() + _REPORT_INTERVAL_SECONDS, send_report)

    worker.loop.add(pipe.fileno(), READ, on_command)
    send_report()
    try:
        while not is_over:
            worker.loop.turn()
    except (BrokenPipeError, EOFError):
        pass
    worker.close()


def _raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
