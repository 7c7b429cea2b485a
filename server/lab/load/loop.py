"""A loop over epoll for the load: thousands of sockets in one process, for little more than their
system calls.
"""

import heapq
import itertools
import select
import time
from collections.abc import Callable

Handler = Callable[[int], None]
READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Loop:
    """Handlers by descriptor, timers by monotonic time. Not asyncio: a transport's callbacks would
    cost more than the read.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def add(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call `handler(mask)` when the descriptor is ready for one of `events`."""
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int, handler: Handler) -> None:
        """Wait for other events of a descriptor that was added; 0 waits for none."""
        self._handlers[descriptor] = handler
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Forget a descriptor; one that is unknown is no error."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def call_at(self, moment: float, callback: Callable[[], None]) -> None:
        """Call it in the first turn at or after that moment (monotonic seconds)."""
        heapq.heappush(self._timers, (moment, next(self._numbers), callback))

    def turn(self, max_seconds: float = 0.05) -> None:
        """Run due timers, wait for the sockets at most that long, and call their handlers."""
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        if self._timers:
            max_seconds = max(0.0, min(max_seconds, self._timers[0][0] - time.monotonic()))
        handlers = self._handlers
        for descriptor, mask in self._epoll.poll(max_seconds, 1024):
            if (handler := handlers.get(descriptor)) is not None:
                handler(mask)

    def run_for(self, seconds: float) -> None:
        """Run turns for so many seconds."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            self.turn(until - now)

    def run_until(self, is_true: Callable[[], bool], limit: float, what: Callable[[], str]) -> None:
        """Raises TimeoutError, with what was waited for, after `limit` seconds."""
        until = time.monotonic() + limit
        while not is_true():
            if time.monotonic() > until:
                raise TimeoutError(f"not within {limit:g} s: {what()}")
            self.turn()
