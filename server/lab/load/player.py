"""One process of the harness: its share of the agents, pollers and replies on one loop, steered
through a pipe.
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
from server.lab.load.fleet import Fleet
from server.lab.load.loop import READ, Loop
from server.lab.load.pollers import LIST_SECONDS, Poller
from server.lab.load.reply_load import FIRST_NUMBER, Replier
from server.lab.load.scenario_plan import Plan
from server.lab.load.tally import Tally

_TELL_SECONDS = 0.5
_NUMBERS_EACH = 10_000_000


class Tokens:
    """Tokens as the CRM issues them, with the server's own secret."""

    def __init__(self, secret: str, company_claim: str, seconds: float) -> None:
        self._secret = secret
        self._company_claim = company_claim
        now = int(time.time())
        self._times = {"iat": now, "exp": now + int(seconds)}

    def of(self, company_id: int, number: int) -> str:
        claims = {
            "sub": f"load-{number}",
            self._company_claim: company_id,
            "name": f"Agent {number}",
            "role": "agent",
        }
        return jwt.encode(claims | self._times, self._secret, algorithm="HS256")


class Player:
    """`share` of `plan.processes`; `first_company` and those after it are ours."""

    def __init__(
        self, plan: Plan, target: Target, tokens: Tokens, first_company: int, share: int
    ) -> None:
        self._plan = plan
        self._share = share
        self.loop = Loop()
        self.tally = Tally()
        rng = random.Random(plan.seed * 1_000 + share)  # noqa: S311 - a play that can be repeated
        self.fleet = Fleet(self.loop, target, self.tally, tokens.of, rng)
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
                self.tally,
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
            self.tally,
            self.fleet,
            tokens.of,
            per_minute=per_minute,
            first=first,
            rng=rng,
        )
        self._rng = rng

    def start(self) -> None:
        plan = self._plan
        self.fleet.join(self.fleet.agents, plan.ramp)
        for poller in self.pollers:
            poller.start(self._rng.uniform(0, max(plan.ramp, LIST_SECONDS)))
        self.replier.start()
        self.loop.call_at(time.monotonic() + plan.ramp, self._begin_faults)

    def stop(self) -> None:
        """Traffic is over: no more faults and replies; everybody is to become level."""
        self.fleet.stop_faults()
        self.replier.stop()

    def close(self) -> None:
        self.fleet.close()
        self.replier.close()
        for poller in self.pollers:
            poller.stop()

    def told(self) -> dict[str, Any]:
        self.tally.cpu_seconds = time.process_time()
        levels = {company_id: list(level) for company_id, level in self.fleet.levels().items()}
        return self.tally.snapshot() | {"levels": levels, "open_replies": self.replier.open}

    def found(self) -> dict[str, Any]:
        """What the verdict needs beside the counts."""
        return {"seen": self.tally.seen, "taken": self.replier.taken}

    def _begin_faults(self) -> None:
        if self._plan.drop_every > 0:
            self.fleet.drop_often(self._plan.drop_every)
        if self._plan.slow_share > 0:
            self.fleet.read_slowly()


def play(
    pipe: Connection, plan: Plan, target: Target, tokens: Tokens, first_company: int, share: int
) -> None:
    """The process's main: tells its counts twice a second; obeys `start`, `stop`, `found`,
    `end`.
    """
    _raise_file_limit()
    # Ctrl-C reaches all processes; the one that steers us decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    player = Player(plan, target, tokens, first_company, share)
    gc.freeze()  # thousands of objects that stay: not looked at again and again
    is_over = False
    answers: dict[str, Callable[[], Any]] = {
        "start": player.start,
        "stop": player.stop,
        "found": player.found,
    }

    def on_command(mask: int) -> None:
        nonlocal is_over
        command = pipe.recv() if not mask & ~READ else "end"  # hung up: whoever steers us is gone
        if command == "end":
            is_over = True
        else:
            pipe.send((command, answers[command]()))

    def tell() -> None:
        pipe.send(("told", player.told()))
        player.loop.call_at(time.monotonic() + _TELL_SECONDS, tell)

    player.loop.add(pipe.fileno(), READ, on_command)
    tell()
    try:
        while not is_over:
            player.loop.turn()
    except (BrokenPipeError, EOFError):
        pass
    player.close()


def _raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
