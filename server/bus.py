"""The bus: broadcaster behind one narrow module. It carries batches of events between processes, quickly and without promise.

Whatever it loses, the feeds repair from the event log, so every queue here is bounded and drops when full. A canary that this process
sends to itself proves that the way there and back is alive: a connected bus is not yet a working one.
"""

import asyncio
import time
import uuid
from collections.abc import Callable

from broadcaster import Broadcast

from server import log, metrics
from server.bus_redis import RedisBackend
from server.tasks import spawn, stop

OnMessage = Callable[[str], None]

_logger = log.get(__name__)
_OUTGOING_MOST = 5_000  # messages waiting to be published; beyond that the feeds' own comparison is quicker
_CANARY_SECONDS = 2.0
_CANARY_LATE_SECONDS = 3.0


class Bus:
    """Publish and subscribe by company. `subscribe`, `unsubscribe` and `publish` never wait. An async context manager."""

    def __init__(self, url: str, on_up: Callable[[], None] = lambda: None) -> None:
        self._redis = None if url.startswith("memory") else RedisBackend(url, on_up=on_up)
        self._broadcast = Broadcast(backend=self._redis) if self._redis else Broadcast(url)
        self._outgoing: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_OUTGOING_MOST)
        self._listeners: dict[str, asyncio.Task[None]] = {}
        self._canary_channel = f"omni.canary.{uuid.uuid4().hex}"
        self._canary_seen = float("-inf")

    async def __aenter__(self) -> "Bus":
        await self._broadcast.connect()
        self._listeners[self._canary_channel] = spawn(self._listen(self._canary_channel, self._on_canary), "bus-canary")
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._listeners.values():
            await stop(task)
        await self._broadcast.disconnect()

    @property
    def is_up(self) -> bool:
        """Whether the canary came back lately."""
        return time.monotonic() - self._canary_seen < _CANARY_SECONDS + _CANARY_LATE_SECONDS

    @property
    def is_shared(self) -> bool:
        """Whether there can be other processes."""
        return self._redis is not None

    def subscribe(self, company_id: int, on_message: OnMessage) -> None:
        channel = _channel(company_id)
        if channel not in self._listeners:
            self._listeners[channel] = spawn(self._listen(channel, on_message), f"bus-{company_id}")

    def unsubscribe(self, company_id: int) -> None:
        if (task := self._listeners.pop(_channel(company_id), None)) is not None:
            task.cancel()

    def publish(self, company_id: int, message: str) -> None:
        self._put(_channel(company_id), message)

    async def run(self) -> None:
        """Send what was published, one after the other; what cannot be sent is dropped and counted."""
        while True:
            channel, message = await self._outgoing.get()
            try:
                async with asyncio.timeout(2.0):
                    await self._broadcast.publish(channel, message)
            except Exception as error:  # noqa: BLE001 - redis-py, sockets, timeouts: all mean the same here
                metrics.bus_drops.inc()
                _logger.debug("bus publish failed", error=type(error).__name__)

    async def run_canary(self) -> None:
        """Send ourselves a message every two seconds."""
        while True:
            self._put(self._canary_channel, "canary")
            await asyncio.sleep(_CANARY_SECONDS)
            metrics.bus_up.set(self.is_up)

    def _put(self, channel: str, message: str) -> None:
        try:
            self._outgoing.put_nowait((channel, message))
        except asyncio.QueueFull:
            metrics.bus_drops.inc()

    def _on_canary(self, _message: str) -> None:
        self._canary_seen = time.monotonic()

    async def _listen(self, channel: str, on_message: OnMessage) -> None:
        async with self._broadcast.subscribe(channel) as subscriber:
            while True:
                event = await subscriber.get()
                try:
                    on_message(event.message)
                except ValueError:
                    _logger.warning("unreadable bus message", channel=channel)


def _channel(company_id: int) -> str:
    return f"omni.company.{company_id}"
