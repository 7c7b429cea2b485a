"""Memory for large webhook bodies that are read at one time, shared out among their senders.

Before a body is read nobody knows whose it is: a sender is the company that its address has signed
for, or the address.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.errors import Unavailable

MAX_WAIT_SECONDS = 3.0  # Chatwoot waits 5, and does not send a refused webhook again


class LargeBodies:
    """Shares out memory. A sender's first body may have all that is free, each further one half of
    it, and all of a sender's together `sender_bytes`: one who sends many at once leaves room for
    the next. Not for threads.
    """

    def __init__(
        self, max_bytes: int, sender_bytes: int, *, max_wait_seconds: float = MAX_WAIT_SECONDS
    ) -> None:
        self._max_bytes = max_bytes
        self._sender_bytes = sender_bytes
        self._max_wait_seconds = max_wait_seconds
        self._reserved = Counter[str]()
        self._waiters: list[tuple[str, int, asyncio.Future[None]]] = []

    @property
    def reserved(self) -> int:
        """The bytes that are shared out now."""
        return self._reserved.total()

    @property
    def waiting(self) -> int:
        """The number of bodies that wait for room."""
        return len(self._waiters)

    @asynccontextmanager
    async def reading(self, sender: str, size: int) -> AsyncIterator[None]:
        """Hold up to `size` bytes while a body is read and judged. Raises Unavailable when there is
        no room in time.
        """
        await self._reserve(sender, size)
        try:
            yield
        finally:
            self._release(sender, size)

    async def _reserve(self, sender: str, size: int) -> None:
        if self._fits(sender, size):
            self._reserved[sender] += size
            return
        waiter = (sender, size, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        is_admitted = False
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await waiter[2]
            is_admitted = True
        except TimeoutError:
            raise Unavailable("Too many large webhooks at one time") from None
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not is_admitted:  # given up in the moment in which there was room
                self._release(sender, size)

    def _fits(self, sender: str, size: int) -> bool:
        own, free = self._reserved[sender], self._max_bytes - self.reserved
        return size <= free if not own else own + size <= self._sender_bytes and size <= free // 2

    def _release(self, sender: str, size: int) -> None:
        self._reserved[sender] -= size
        if not self._reserved[sender]:
            del self._reserved[sender]
        for waiter in sorted(self._waiters, key=lambda one: self._reserved[one[0]]):
            if not waiter[2].done() and self._fits(waiter[0], waiter[1]):
                self._reserved[waiter[0]] += waiter[1]
                self._waiters.remove(waiter)
                waiter[2].set_result(None)
