"""Work for other people's servers that nobody waits for: by address one thing at a time, the same
thing once, and bounded.

A server that is slow or away holds back what is meant for it and nothing else: its work waits, with
growing pauses, and is dropped after some tries; beyond so many things further ones are dropped at
once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from server import log
from server.core.backoff import doubled

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 2.0, 60.0
_MAX_TRIES = 20  # a quarter of an hour, where nothing else of the address succeeds
_logger = log.get(__name__)


class TryLater(Exception):
    """Raised by work that could not be done now."""


class Paced(Generic[K, V]):
    """Calls `do` for each key with the newest value that was submitted for it. `submit` never
    waits.
    """

    def __init__(
        self,
        do: Callable[[K, V], Awaitable[None]],
        *,
        gather_seconds: float,
        pause_seconds: float = 0.0,
        max_waiting: int,
    ) -> None:
        """`gather_seconds`: what is submitted again within them is done once. `pause_seconds`:
        between two things of one address.
        """
        self._do = do
        self._gather_seconds = gather_seconds
        self._pause_seconds = pause_seconds
        self._max_waiting = max_waiting
        # address -> work with its tries, the oldest first
        self._waiting: dict[str, dict[K, tuple[V, int]]] = {}
        self._count = 0
        self._at_work: set[str] = set()
        self._wake = asyncio.Event()

    def submit(self, address: str, key: K, value: V) -> bool:
        """Queues a value, or replaces the one that waits. Returns whether there was room."""
        return self._put(address, key, value, 0)

    def _put(self, address: str, key: K, value: V, tries: int) -> bool:
        work = self._waiting.get(address, {})
        if key not in work and self._count >= self._max_waiting:
            return False
        self._count += key not in work
        work[key] = (value, tries)
        self._waiting[address] = work
        self._wake.set()
        return True

    async def run(self) -> None:
        """Until it is cancelled."""
        self._at_work.clear()
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for address in self._waiting.keys() - self._at_work:
                    self._at_work.add(address)
                    group.create_task(self._work(address))

    async def _work(self, address: str) -> None:
        failures = 0  # in a row
        await asyncio.sleep(self._gather_seconds)
        while work := self._waiting.get(address):
            key = next(iter(work))
            value, tries = work.pop(key)
            self._count -= 1
            try:
                await self._do(key, value)
            except TryLater:
                if key not in work and (
                    tries >= _MAX_TRIES or not self._put(address, key, value, tries + 1)
                ):
                    _logger.info("given up", address=address, tries=tries + 1)
                failures += 1
                await asyncio.sleep(
                    doubled(_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS, failures)
                )
            except Exception:  # one thing must not end the work of all others
                _logger.exception("work that nobody waits for")
            else:
                failures = 0
                await asyncio.sleep(self._pause_seconds)
        self._waiting.pop(address, None)
        self._at_work.discard(address)
