"""The simulated Sidekiq's workers: a few threads for all queues, and a job of a later queue waits
until the earlier ones are empty.

Source in Chatwoot: config/sidekiq.yml (`critical`, `high`, `medium` and so on, in strict order),
app/jobs/action_cable_broadcast_job.rb (critical), send_reply_job.rb (high), webhook_job.rb
(medium).
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from server.lab.chatwoot_sim.switches import Switches

Queue = Literal["critical", "high", "medium"]
QUEUES: tuple[Queue, ...] = ("critical", "high", "medium")
_POLL_INTERVAL_SECONDS = 0.02


@dataclass(eq=False)
class Workers:
    """`async with workers.thread(queue)` is one job. `threads` may be changed at any time."""

    switches: Switches
    threads: int
    rng: random.Random = field(default_factory=random.Random)
    _busy: int = field(default=0, init=False)
    _waiting: dict[Queue, deque[asyncio.Future[None]]] = field(
        default_factory=lambda: {queue: deque() for queue in QUEUES}, init=False
    )

    @asynccontextmanager
    async def thread(self, queue: Queue) -> AsyncIterator[None]:
        """Wait for a thread, and hold it during the job and its `*_job_seconds`."""
        await self.acquire(queue)
        try:
            await self.work(queue)
            yield
        finally:
            self.release()

    async def acquire(self, queue: Queue) -> None:
        """Wait for a thread, in the order of the queues; `release` returns it. Cancel-safe."""
        if queue == "medium":
            await self._wait_while_held()
        if self._busy < self.threads and not self._waits_before(queue):
            self._busy += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[queue].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Return a thread; the first waiting job of the first queue gets it."""
        self._busy -= 1
        for queue in QUEUES:
            waiting = self._waiting[queue]
            while waiting and self._busy < self.threads:
                turn = waiting.popleft()
                if not turn.done():
                    self._busy += 1
                    turn.set_result(None)

    async def work(self, queue: Queue) -> None:
        """Sleep for the time of the job itself: about as long each time, so that jobs end in
        another order than they began in.
        """
        switches = self.switches
        seconds = {
            "critical": switches.broadcast_job_seconds,
            "high": switches.reply_job_seconds,
            "medium": switches.webhook_job_seconds,
        }[queue]
        if seconds:
            await asyncio.sleep(seconds * (0.5 + self.rng.random()))

    async def _wait_while_held(self) -> None:
        # a switch is a field that anybody sets
        while self.switches.holds_webhooks:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    def _waits_before(self, queue: Queue) -> bool:
        """Whether a job of this queue or an earlier one waits already."""
        return any(self._waiting[earlier] for earlier in QUEUES[: QUEUES.index(queue) + 1])
