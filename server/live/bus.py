"""The bus: broadcaster behind one narrow module. It carries batches of events between processes,
quickly and without promise.

Whatever it loses, the feeds repair from the event log, so every queue here is bounded and drops
when full. A canary that this process sends to itself proves that a message makes the round trip: a
connected bus is not yet a working one. Channels and messages are those of one installation
(`core/envelope`), known once the database has been read; until then subscriptions wait, messages
are dropped.
"""

import asyncio
import secrets
import sys
import time
import uuid
from collections.abc import Callable

from broadcaster import Broadcast

from server import log, metrics
from server.core.wire.envelope import Installation
from server.live.bounded_queue import BoundedQueue
from server.live.bus_redis import RedisBackend
from server.tasks import spawn, stop

OnMessage = Callable[[str], None]

_logger = log.get(__name__)
# messages waiting to be published; beyond that the feeds' own comparison is quicker
_MAX_OUTGOING = 5_000
_MAX_OUTGOING_BYTES = 32_000_000
_CANARY_INTERVAL_SECONDS = 2.0
_MAX_CANARY_DELAY_SECONDS = 3.0
_WARNING_INTERVAL_SECONDS = 60.0  # of messages that are not ours, one line in so long


class Bus:
    """Publishes and subscribes by company. `subscribe`, `unsubscribe` and `publish` never wait. An
    async context manager.
    """

    def __init__(self, url: str) -> None:
        # called after every (re)connect
        self._on_up: list[Callable[[], None]] = []
        self._redis = None if url.startswith("memory") else RedisBackend(url, on_up=self._came_up)
        self._broadcast = Broadcast(backend=self._redis) if self._redis else Broadcast(url)
        self._outgoing: BoundedQueue[tuple[str, str]] = BoundedQueue(
            _MAX_OUTGOING, _MAX_OUTGOING_BYTES
        )
        self._wished: dict[str, OnMessage] = {}  # by topic
        self._listeners: dict[str, asyncio.Task[None]] = {}
        # within one process nobody else can publish, nor has to know the name
        self._installation = (
            None if self._redis else Installation(secrets.token_hex(8), secrets.token_bytes(32))
        )
        self._warned_at = float("-inf")
        self._canary: asyncio.Task[None] | None = None
        self._canary_channel = f"omni.canary.{uuid.uuid4().hex}"
        self._canary_seen = float("-inf")

    async def __aenter__(self) -> "Bus":
        await self._broadcast.connect()
        self._canary = spawn(self._follow(self._canary_channel, self._on_canary), "bus-canary")
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in (*self._listeners.values(), *([self._canary] if self._canary else [])):
            await stop(task)
        await self._broadcast.disconnect()

    @property
    def is_up(self) -> bool:
        """Whether the canary came back within the last five seconds."""
        return (
            time.monotonic() - self._canary_seen
            < _CANARY_INTERVAL_SECONDS + _MAX_CANARY_DELAY_SECONDS
        )

    @property
    def is_shared(self) -> bool:
        """Whether there can be other processes."""
        return self._redis is not None

    def on_up(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every (re)connect: what was sent meanwhile is lost."""
        self._on_up.append(listener)

    def identify(self, installation: Installation) -> None:
        """Set which installation this process belongs to, as the database says. When it is another
        one than before, all subscriptions are made anew.
        """
        if installation == self._installation or not self.is_shared:
            return
        for task in self._listeners.values():
            task.cancel()
        self._listeners.clear()
        self._installation = installation
        for topic in self._wished:
            self._start(topic, installation)

    def subscribe(self, company_id: int, on_message: OnMessage) -> None:
        """Call `on_message` with each of a company's messages; it may raise ValueError for an
        unreadable one. Ignored where the company is subscribed to already.
        """
        self.follow_topic(_company(company_id), on_message)

    def unsubscribe(self, company_id: int) -> None:
        """End the subscription of a company, if there is one."""
        topic = _company(company_id)
        self._wished.pop(topic, None)
        if (task := self._listeners.pop(topic, None)) is not None:
            task.cancel()

    def publish(self, company_id: int, message: str) -> None:
        """Queue a message for a company's subscribers on all processes; dropped and counted when
        the queue is full or the installation is not known yet.
        """
        self.publish_topic(_company(company_id), message)

    def follow_topic(self, topic: str, on_message: OnMessage) -> None:
        """As `subscribe`, for a topic that is no company's, such as `access`."""
        if topic not in self._wished:
            self._wished[topic] = on_message
            if self._installation is not None:
                self._start(topic, self._installation)

    def publish_topic(self, topic: str, message: str) -> None:
        """As `publish`, for a topic that is no company's."""
        if self._installation is None:
            metrics.bus_drops.inc()
            return
        channel = self._installation.channel(topic)
        self._put(channel, self._installation.seal(channel, message))

    async def run(self) -> None:
        """Send what was published, one after the other. What cannot be sent is dropped and
        counted.
        """
        while True:
            channel, message = await self._outgoing.get()
            try:
                async with asyncio.timeout(2.0):
                    await self._broadcast.publish(channel, message)
            # redis-py, sockets, timeouts: all mean the same here
            except Exception as error:  # noqa: BLE001
                metrics.bus_drops.inc()
                _logger.debug("bus publish failed", error=type(error).__name__)

    async def run_canary(self) -> None:
        """Send ourselves a message every two seconds."""
        while True:
            self._put(self._canary_channel, "canary")
            await asyncio.sleep(_CANARY_INTERVAL_SECONDS)
            metrics.bus_up.set(self.is_up)

    def _put(self, channel: str, message: str) -> None:
        try:
            self._outgoing.put_nowait((channel, message), sys.getsizeof(message))
        except asyncio.QueueFull:
            metrics.bus_drops.inc()

    def _came_up(self) -> None:
        for listener in self._on_up:
            listener()

    def _on_canary(self, _message: str) -> None:
        self._canary_seen = time.monotonic()

    def _start(self, topic: str, installation: Installation) -> None:
        channel, on_message = installation.channel(topic), self._wished[topic]

        def on_sealed(text: str) -> None:
            try:
                message = installation.open(channel, text)
            except ValueError:
                self._refuse(channel)
                return
            on_message(message)

        self._listeners[topic] = spawn(self._follow(channel, on_sealed), f"bus-{topic}")

    def _refuse(self, channel: str) -> None:
        metrics.bus_refused.inc()
        if time.monotonic() - self._warned_at > _WARNING_INTERVAL_SECONDS:
            self._warned_at = time.monotonic()
            _logger.warning(
                "a bus message that was not signed by this installation was dropped",
                channel=channel,
            )

    async def _follow(self, channel: str, on_message: OnMessage) -> None:
        async with self._broadcast.subscribe(channel) as subscriber:
            while True:
                event = await subscriber.get()
                try:
                    on_message(event.message)
                except ValueError:
                    _logger.warning("unreadable bus message", channel=channel)


def _company(company_id: int) -> str:
    return f"company.{company_id}"
