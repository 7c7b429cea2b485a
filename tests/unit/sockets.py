"""The transport's side of a socket, written down; and a log that answers when it is told to."""

import asyncio
import json
from collections import deque
from typing import Any

from server.core.wire.websocket_bytes import split_text_frames, text_frame
from server.errors import OmniError
from server.live.connection import LiveConnection
from server.live.connection_ports import PresencePort, SocketAccess, SocketTimings
from server.live.hub import Hub
from server.live.presence import Viewer
from server.live.ring import Ring
from server.live.socket_ports import SocketHandler, SocketWriter

PACE = SocketTimings(ping=20.0, silence=45.0, slow=10.0, drain=5.0, high_water_bytes=262_144)


class Socket:
    """A `SocketWriter` that keeps what was written. Closing calls the handler, as the real one
    does.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.largest_write = 0
        self.closed: tuple[int, str] | None = None
        self.receiver: SocketHandler | None = None

    def hand_over(self, receiver: SocketHandler, high_water_bytes: int) -> SocketWriter:
        self.receiver = receiver
        return self

    def write(self, frames: bytes) -> None:
        if self.closed is None:
            self.largest_write = max(self.largest_write, len(frames))
            self.messages += [json.loads(payload) for payload in split_text_frames(frames)]

    def close(self, code: int, reason: str = "") -> None:
        if self.closed is None:
            self.closed = (code, reason)
            if self.receiver is not None:
                self.receiver.on_lost(code)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.of_type("event")]


def event(seq: int, epoch: str = "e1", content: str = "") -> bytes:
    """The JSON of an event, as small as a test needs it."""
    return json.dumps({"type": "event", "seq": seq, "epoch": epoch, "content": content}).encode()


def check_order(socket: Socket, seq: int, epoch: str = "e1") -> int:
    """Each event follows the one before, in one life of the log; a reset says where it goes on.
    Returns the last seq.
    """
    for message in socket.messages:
        if message["type"] == "event":
            assert (message["epoch"], message["seq"]) == (epoch, seq + 1)
            seq += 1
        elif message["type"] == "reset":
            epoch, _, head = message["cursor"].partition(".")
            seq = int(head)
        elif message["type"] == "live":
            assert message["cursor"] == f"{epoch}.{seq}"
    return seq


class Log:
    """A `EventSource`: a ring over a list, whose pages come when `answer` is called."""

    company_id = 1
    epoch = "e1"
    page_events = 3

    def __init__(
        self, hub: Hub, head: int, *, ring_from: int | None = None, most_events: int = 1000
    ) -> None:
        self._hub = hub
        self.head = head
        self.floor = 0
        self._frames = [text_frame(event(seq)) for seq in range(1, head + 1)]
        first = head + 1 if ring_from is None else ring_from
        self._ring = Ring(first, most_events, 1_000_000)
        self._ring.append(self._frames[first - 1 :])
        self._asked: deque[asyncio.Future[None]] = deque()

    def append(self, count: int = 1) -> None:
        first, new = self.head + 1, [text_frame(event(self.head + n)) for n in range(1, count + 1)]
        self._frames += new
        self._ring.append(new)
        self.head += count
        self._hub.push(self.company_id, first, self.head, b"".join(new))

    def ready_after(self, seq: int, max_bytes: int) -> tuple[bytes, int] | None:
        return self._ring.frames_after(seq, max_bytes)

    async def fetch_after(self, seq: int) -> tuple[bytes, int] | None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        await future
        page = self._frames[seq : seq + self.page_events]
        return (b"".join(page), seq + len(page)) if seq >= self.floor else None

    def answer(self, error: Exception | None = None) -> None:
        """The oldest question is answered, if there is one."""
        while self._asked and self._asked[0].done():
            self._asked.popleft()
        if self._asked:
            future = self._asked.popleft()
            future.set_exception(error) if error is not None else future.set_result(None)

    @property
    def is_asked(self) -> bool:
        return any(not future.done() for future in self._asked)


class Alone:
    """A `PresencePort` of one agent alone; writes down who asked for a snapshot."""

    def __init__(self) -> None:
        self.uninformed: list[Viewer] = []

    def join(self, viewer: Viewer) -> None: ...

    def leave(self, viewer: Viewer) -> None: ...

    def request_snapshot(self, viewer: Viewer) -> None:
        self.uninformed.append(viewer)

    def view(self, viewer: Viewer, conversation_id: int | None) -> None: ...

    def type(
        self, viewer: Viewer, conversation_id: int, *, on: bool, to_customer: bool = False
    ) -> None: ...


async def _no_renewal(_token: str) -> SocketAccess:
    raise OmniError


def connect(
    hub: Hub,
    tail: Any,
    seq: int,
    *,
    is_replaying: bool = False,
    agent_id: int = 4,
    agent_name: str = "Asha",
    colleagues: PresencePort | None = None,
    expires_at: float | None = None,
    **given: Any,
) -> tuple[LiveConnection, Socket]:
    """A connection that was welcomed at `seq`."""
    socket = Socket()
    connection = LiveConnection(
        socket,
        hub,
        tail,
        colleagues or Alone(),
        PACE,
        agent_id=agent_id,
        agent_name=agent_name,
        seq=seq,
        session_key=None,
        access=SocketAccess(expires_at),
        **given,
    )
    connection.start(is_replaying=is_replaying, renew=_no_renewal)
    return connection, socket


async def tick(count: int = 1) -> None:
    """Let the loop run what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)
