"""An agent's client of `/ws`, written from docs/protocol.md alone. It checks the promise of order
on every frame it gets.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from tests.kit.client_model import ClientModel, Event, Json
from tests.kit.eventually import patient
from tests.kit.tcp_proxy import reset_connection

T = TypeVar("T")


class AgentSocket:
    """`async with AgentSocket(omni.ws_url, token=...) as agent:` connects, says hello and waits for
    `welcome`.

    Leaving the block raises AssertionError when an event came twice, out of order, or not at all
    (`violations`).
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        cursor: str | None = None,
        cookie: str | None = None,
        origin: str | None = None,
        visible: bool = True,
        agent_id: int | None = None,
    ) -> None:
        """`cursor` None starts without one (`mode: reset`); `cookie` is a whole Cookie header.

        `agent_id` is whose reads the model follows.
        """
        self.url = url
        self.token = token
        self.cursor = cursor
        self.client_id = str(uuid.uuid4())
        self.answers_pings = True
        self.frames: list[Json] = []
        self.events: list[Event] = []
        self.model = ClientModel(agent_id)
        self.violations: list[str] = []
        # by a ping that overtook its events: they must be here before the next one
        self._announced: str | None = None
        self.close_code: int | None = None
        self._headers = {"Cookie": cookie} if cookie else {}
        self._origin = Origin(origin) if origin else None
        self._visible = visible
        self._connection: ClientConnection | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        try:
            await self.resume()
        except BaseException as error:
            await self._leave(error)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave(error)
        if error is None:
            self.check_order()

    # what it has seen

    @property
    def seq(self) -> int:
        """The number of the last event that counts for this client (-1: no cursor yet)."""
        return _seq_of(self.cursor) if self.cursor else -1

    @property
    def welcome(self) -> Json:
        """The newest `welcome`."""
        return self.frames_of("welcome")[-1]

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self.close_code is None

    def frames_of(self, frame_type: str) -> list[Json]:
        return [frame for frame in self.frames if frame["type"] == frame_type]

    def check_order(self) -> None:
        """Raise AssertionError if an event was doubled, lost or out of order."""
        self._check_announced()
        assert not self.violations, "; ".join(self.violations[:10])

    # what it does

    async def open(self) -> None:
        """Connect without saying hello."""
        self.close_code = None
        self._connection = await connect(
            self.url,
            origin=self._origin,
            additional_headers=self._headers,
            compression=None,
            ping_interval=None,
            max_size=None,
            proxy=None,
            open_timeout=patient(10),
        )
        self._tasks.create_task(self._read(self._connection))

    async def resume(self, limit: float = 20.0) -> Json:
        """Connect (again) with our own cursor, say hello and wait for the answer; returns the new
        `welcome`.
        """
        await self.open()
        known = len(self.frames_of("welcome"))
        await self.say_hello()
        return await self.wait_for_frame("welcome", known=known, limit=limit)

    async def say_hello(self) -> None:
        hello: Json = {"cursor": self.cursor, "client": self.client_id, "visible": self._visible}
        if self.token is not None:
            hello["token"] = self.token
        await self.send("hello", **hello)

    async def send(self, frame_type: str, **fields: Any) -> None:
        await self.send_raw(json.dumps({"type": frame_type, **fields}))

    async def send_raw(self, frame: str | bytes) -> None:
        """Any text or binary frame, valid or not."""
        assert self._connection is not None
        await self._connection.send(frame)

    def send_wire(self, data: bytes) -> None:
        """Any bytes at all, below the framing."""
        assert self._connection is not None
        self._connection.transport.write(data)

    async def close(self, code: int = 1000) -> None:
        if self._connection is not None:
            await self._connection.close(code)

    def cut(self) -> None:
        """Drop the connection with RST; `resume()` connects again."""
        assert self._connection is not None
        reset_connection(self._connection.transport)

    def freeze(self) -> None:
        """Stop reading, as a suspended laptop does: the server's bytes pile up on its side."""
        assert self._connection is not None
        self._connection.transport.pause_reading()

    def thaw(self) -> None:
        assert self._connection is not None
        self._connection.transport.resume_reading()

    # waiting

    async def wait_until(self, check: Callable[[], T | None], limit: float = 15.0) -> T:
        """Wait for `check` to return something true; called after each frame. `limit` in seconds
        (scaled).
        """
        deadline = time.monotonic() + patient(limit)
        while not (value := check()):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await waiter
            except TimeoutError:
                raise AssertionError(f"not within {limit:g} s; {self._state()}") from None
        return value

    async def wait_for(self, predicate: Callable[[Event], bool], limit: float = 15.0) -> Event:
        """The first event, from the beginning, for which that holds."""
        return await self.wait_until(lambda: next(filter(predicate, self.events), None), limit)

    async def wait_for_seq(self, seq: int, limit: float = 15.0) -> None:
        """Until this client has come that far."""
        await self.wait_until(lambda: self.seq >= seq, limit)

    async def wait_for_frame(self, frame_type: str, *, known: int = 0, limit: float = 15.0) -> Json:
        """The first frame of that type after `known` of them."""
        return await self.wait_until(
            lambda: next(iter(self.frames_of(frame_type)[known:]), None), limit
        )

    async def wait_closed(self, limit: float = 20.0) -> int:
        """The close code (1006: no close frame came)."""
        await self.wait_until(lambda: self.close_code is not None, limit)
        assert self.close_code is not None
        return self.close_code

    # reading

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for text in connection:
                await self._on_frame(json.loads(text))
                self._wake()
        except ConnectionClosed:
            pass  # with an error code; the number below tells which
        finally:
            if connection is self._connection:
                self.close_code = connection.close_code or 1006
            self._wake()

    async def _on_frame(self, frame: Json) -> None:
        self.frames.append(frame)
        match frame["type"]:
            case "welcome":
                self._on_welcome(frame)
            case "event":
                self._on_event(Event.parse(frame))
            case "ping":
                await self._on_ping(frame)
            case "reset":
                self._announced = None
                self.cursor = frame["cursor"]
            case "live" if self.cursor != frame["cursor"]:
                self.violations.append(f"live at {frame['cursor']}, but we are at {self.cursor}")

    def _on_welcome(self, frame: Json) -> None:
        self._announced = None
        match frame["mode"]:
            case "live" if self.cursor != frame["cursor"]:
                self.violations.append(
                    f"told nothing was missed at {frame['cursor']}, but we are at {self.cursor}"
                )
            case "reset":
                self.cursor = frame["cursor"]

    def _on_event(self, event: Event) -> None:
        if event.seq != self.seq + 1:
            self.violations.append(f"event {event.seq} after {self.seq}")
        self.events.append(event)
        self.model.apply(event)
        self.cursor = f"{_epoch_of(self.cursor or '')}.{event.seq}"

    async def _on_ping(self, frame: Json) -> None:
        self._check_announced()
        self._announced = frame["cursor"]
        if self.answers_pings:
            try:
                await self.send("pong", id=frame["id"], cursor=self.cursor)
            except ConnectionClosed:
                return  # cut in between; the reader notices next

    def _check_announced(self) -> None:
        announced, self._announced = self._announced, None
        if announced is not None and self.seq < _seq_of(announced):
            self.violations.append(f"a ping says {announced}, but we are at {self.cursor}")

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _leave(self, error: BaseException | None) -> None:
        if self._connection is not None and self.close_code is None:
            self.cut() if error else await self.close()
        await self._tasks.__aexit__(None, None, None)

    def _state(self) -> str:
        kinds = [f"{event.seq} {event.kind}" for event in self.events[-5:]]
        types = [frame["type"] for frame in self.frames[-10:]]
        return (
            f"cursor {self.cursor}, close code {self.close_code}, last events {kinds}, last "
            f"frames {types}"
        )


def _seq_of(cursor: str) -> int:
    return int(cursor.rpartition(".")[2])


def _epoch_of(cursor: str) -> str:
    return cursor.rpartition(".")[0]
