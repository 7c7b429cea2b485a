"""A Redis PUB/SUB backend for broadcaster that survives Redis.

The stock backend goes deaf for good at the first lost connection. Here `subscribe` and
`unsubscribe` only record the wish, so they never suspend (broadcaster checks and sets around them)
and work while Redis is down; one runner owns the connection, reconnects with jittered backoff, and
asks for all wanted channels in one command.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from broadcaster import BroadcastBackend, Event
from redis import asyncio as aioredis
from redis.asyncio.client import PubSub
from redis.exceptions import NoPermissionError

from server import log, metrics
from server.core.backoff import Backoff
from server.live.bounded_queue import BoundedQueue
from server.tasks import spawn, stop

_logger = log.get(__name__)
_KEEPALIVE = "omni.keepalive"  # always subscribed, so that reading never stops
_TIMEOUT_SECONDS = 2.0
_PING_INTERVAL_SECONDS = 5.0
_INITIAL_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 3.0
# messages that have come and are not handed on yet
_MAX_INCOMING = 10_000
_MAX_INCOMING_BYTES = 64_000_000


class RedisBackend(BroadcastBackend):
    """Records which channels are wanted; its runner subscribes to them.

    `on_up` is called after every (re)connect: what was sent meanwhile is lost and must be looked up
    elsewhere.
    """

    def __init__(self, url: str, on_up: Callable[[], None]) -> None:
        self._url = url
        self._on_up = on_up
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()
        self._incoming: BoundedQueue[Event] = BoundedQueue(_MAX_INCOMING, _MAX_INCOMING_BYTES)
        self._runner: asyncio.Task[None] | None = None
        self._publisher = self._client()

    async def connect(self) -> None:
        """Start the runner; does not wait for a connection."""
        self._runner = spawn(self._run(), "redis-subscriber")

    async def disconnect(self) -> None:
        """Stop the runner and close the publishing connection."""
        if self._runner is not None:
            await stop(self._runner)
        await _close(self._publisher)

    async def subscribe(self, channel: str) -> None:
        """Want a channel; never suspends, and holds over reconnects."""
        self._wanted.add(channel)
        self._wake.set()

    async def unsubscribe(self, channel: str) -> None:
        """Want a channel no longer; never suspends."""
        self._wanted.discard(channel)
        self._wake.set()

    async def publish(self, channel: str, message: str) -> None:
        """Send a message. Raises what redis-py raises."""
        await self._publisher.publish(channel, message)

    async def next_published(self) -> Event:
        """Return the next message of any wanted channel, waiting for one."""
        return await self._incoming.get()

    def _client(self) -> "aioredis.Redis":
        return aioredis.Redis.from_url(
            self._url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=None,
        )

    async def _run(self) -> None:
        backoff = Backoff(_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._connected()
            # whatever redis-py raises, the answer is to connect again
            except Exception as error:  # noqa: BLE001
                _logger.warning(
                    "bus connection lost",
                    error=type(error).__name__,
                    retry_seconds=round(backoff.seconds, 2),
                )
            metrics.bus_reconnects.inc()
            if loop.time() - started > _MAX_BACKOFF_SECONDS:
                backoff.reset()
            await asyncio.sleep(backoff.next_seconds())

    async def _connected(self) -> None:
        """Live for one connection; raises when it ends."""
        client = self._client()
        pubsub = client.pubsub()
        reader: asyncio.Task[None] | None = None
        try:
            # before the wait: a wish that comes during it is still to be followed
            held = set(self._wanted)
            await pubsub.subscribe(_KEEPALIVE, *held)
            reader = asyncio.get_running_loop().create_task(self._read(pubsub), name="redis-reader")
            self._on_up()
            while not reader.done():
                await self._follow_wishes(pubsub, held)
                await self._wait_for_wish(reader)
            reader.result()
        finally:
            if reader is not None:
                await stop(reader)
            await _close(pubsub)
            await _close(client)

    async def _follow_wishes(self, pubsub: PubSub, held: set[str]) -> None:
        self._wake.clear()
        gone, new = held - self._wanted, self._wanted - held
        if gone:
            await pubsub.unsubscribe(*gone)
        if new:
            await pubsub.subscribe(*new)
        held -= gone
        held |= new

    async def _wait_for_wish(self, reader: asyncio.Task[None]) -> None:
        wake = asyncio.get_running_loop().create_task(self._wake.wait(), name="redis-wake")
        try:
            await asyncio.wait({wake, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()

    async def _read(self, pubsub: PubSub) -> None:
        """Queue messages as they come; a server that says nothing is pinged, and given up when it
        does not answer.
        """
        loop = asyncio.get_running_loop()
        last, is_asked = loop.time(), False
        while True:
            message = await pubsub.get_message(timeout=1.0)
            now = loop.time()
            if message is not None:
                last, is_asked = now, False
                if message["type"] == "message":
                    self._put(message)
            elif now - last > _PING_INTERVAL_SECONDS + _TIMEOUT_SECONDS:
                raise ConnectionError("no answer to PING")
            elif not is_asked and now - last > _PING_INTERVAL_SECONDS:
                await pubsub.ping()
                is_asked = True

    def _put(self, message: dict[str, bytes]) -> None:
        channel, text = (message[part].decode("utf-8", "replace") for part in ("channel", "data"))
        try:
            self._incoming.put_nowait(Event(channel, text), sys.getsizeof(text))
        except asyncio.QueueFull:
            metrics.bus_drops.inc()


async def _close(closing: "PubSub | aioredis.Redis") -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await closing.aclose()


class RedisFacts(msgspec.Struct):
    """What the doctor reports of a Redis server; `version` and `ahead_seconds` are None where the
    user may not ask for them.
    """

    version: str | None
    ping_seconds: float
    ahead_seconds: float | None  # its clock, against ours
    forbidden: list[str]  # commands that our user may not use, and that only these facts need


async def read_facts(url: str) -> RedisFacts:
    """Ask a Redis server for its facts, over a connection of its own. Raises what redis-py raises,
    or TimeoutError.
    """
    client = aioredis.from_url(
        url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
    )
    forbidden: list[str] = []

    async def ask(name: str, command: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await command()
        except NoPermissionError:  # an answer as well
            forbidden.append(name)
            return None

    try:
        async with asyncio.timeout(2 * _TIMEOUT_SECONDS):
            info = await ask("INFO", lambda: client.info("server"))
            started = time.monotonic()
            await ask("ECHO", lambda: client.echo(_KEEPALIVE))
            ping_seconds = time.monotonic() - started
            now = await ask("TIME", client.time)
            ahead = None if now is None else now[0] + now[1] / 1e6 - time.time()
            version = None if info is None else str(info.get("redis_version", "?"))
            return RedisFacts(
                version, ping_seconds, ahead, [name for name in forbidden if name != "ECHO"]
            )
    finally:
        await _close(client)
