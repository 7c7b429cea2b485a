"""What `/readyz` said, each second and of each process: a standstill that nobody names is one that
nobody ends.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx

from tests.kit.omni import Omni
from tests.tools.soak.meter import Journey

_PATIENCE_SECONDS = 2.0
# true of a moment, and no word about messages that wait
_UNRELATED = (
    "webhooks do not arrive",
    "the bus does not answer",
    "Chatwoot",
    "spool's file was damaged",
    "cannot be stored",  # an unreadable row, until somebody dismisses it
)


@dataclass(frozen=True)
class Answer:
    """One answer of one process."""

    at: float
    port: int
    problems: tuple[str, ...]

    @property
    def names_a_standstill(self) -> bool:
        return any(not any(word in problem for word in _UNRELATED) for problem in self.problems)


class Readiness:
    """Asks every process each second, as a monitor does."""

    def __init__(self, servers: Sequence[Omni]) -> None:
        self._servers = servers
        self.answers: list[Answer] = []

    async def run(self, stopped: asyncio.Event) -> None:
        async with (
            httpx.AsyncClient(timeout=_PATIENCE_SECONDS, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for server in self._servers:
                group.create_task(self._watch(http, server, stopped))

    async def _watch(self, http: httpx.AsyncClient, server: Omni, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            with contextlib.suppress(httpx.HTTPError):
                problems = (await http.get(f"{server.base_url}/readyz")).json()["problems"]
                self.answers.append(Answer(time.monotonic(), server.port, tuple(problems)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await stopped.wait()

    def unnamed(
        self, journeys: Iterable[Journey], after_seconds: float, margin_seconds: float
    ) -> list[Journey]:
        """Those that stood still for longer than both together, while some process answered and
        none named it after `after_seconds`.
        """
        return [
            one
            for one in journeys
            if one.seconds > after_seconds + margin_seconds
            and not self._is_named(one, after_seconds)
        ]

    def _is_named(self, journey: Journey, after_seconds: float) -> bool:
        heard = [
            a for a in self.answers if journey.start + after_seconds <= a.at <= journey.end + 1.0
        ]
        return not heard or any(answer.names_a_standstill for answer in heard)

    def problems(self) -> Counter[str]:
        """How often each was said, by its first words."""
        return Counter(
            " ".join(problem.split()[:6]) for answer in self.answers for problem in answer.problems
        )
