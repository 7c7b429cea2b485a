"""An agent's socket for crowds: it follows the cursor and checks order, knows texts and times, and
costs a few microseconds a frame.
"""

import asyncio
import base64
import os
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from tests.kit.eventually import scaled
from tests.kit.tcp_proxy import reset_connection

_BACKOFF_FIRST_SECONDS = 0.1
_BACKOFF_MOST_SECONDS = 1.0
_TEXT, _CLOSE = 1, 8


class _Message(msgspec.Struct):
    content: str = ""


class _Data(msgspec.Struct):
    message: _Message | None = None


class _Frame(msgspec.Struct):
    type: str
    seq: int = 0
    kind: str = ""
    cursor: str | None = None
    mode: str = ""
    reason: str | None = None
    id: int | None = None
    data: _Data | None = None


_decoder = msgspec.json.Decoder(_Frame)


class LeanAgent:
    """`async with group: group.create_task(agent.run())`: connects, resumes by its cursor whenever
    it is cut, until `stop()`.
    """

    def __init__(
        self,
        ports: Sequence[int],
        token: str,
        *,
        keeps_texts: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        """`ports`: servers, tried in turn. `keeps_texts`: remember what `message.created` said, and
        when.

        `on_text` hears each of those texts when it comes.
        """
        self.cursor: str | None = None
        self.is_live = False
        self.events = 0
        self.first_seq = -1  # of the cursor this agent began with
        self.welcomes: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()  # all but the first welcome's
        self.closes: Counter[int] = Counter()
        self.violations: list[str] = []
        self.heard_at: dict[str, float] = {}  # text -> monotonic seconds
        self.texts: list[str] = []
        self._ports = list(ports)
        self._token = token
        self._on_text = on_text
        self._keeps_texts = keeps_texts or on_text is not None
        self._link: _Link | None = None
        self._is_stopped = False

    @property
    def seq(self) -> int:
        return int(self.cursor.rpartition(".")[2]) if self.cursor else -1

    async def run(self) -> None:
        """Stay connected."""
        turn, pause = random.randrange(len(self._ports)), _BACKOFF_FIRST_SECONDS
        while not self._is_stopped:
            if await self._live(self._ports[turn % len(self._ports)]):
                pause = _BACKOFF_FIRST_SECONDS
            else:
                turn += 1
            if not self._is_stopped:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, _BACKOFF_MOST_SECONDS)

    def cut(self) -> None:
        """RST; `run` comes back by itself."""
        if self._link is not None:
            self._link.cut()

    def stop(self) -> None:
        self._is_stopped = True
        self.cut()

    def on_frame(self, payload: bytes) -> None:
        frame = _decoder.decode(payload)
        match frame.type:
            case "event":
                self._on_event(frame)
            case "ping":
                if (
                    frame.cursor
                    and _split(frame.cursor)[0] == _split(self.cursor or "")[0]
                    and self.seq < _split(frame.cursor)[1]
                ):
                    self.violations.append(
                        f"a ping says {frame.cursor}, but we are at {self.cursor}"
                    )
                self._say(type="pong", id=frame.id, cursor=self.cursor)
            case "welcome":
                self._on_welcome(frame)
            case "reset":
                self._on_reset(frame)
            case "live" if frame.cursor != self.cursor:
                self.violations.append(f"live at {frame.cursor}, but we are at {self.cursor}")

    async def _live(self, port: int) -> bool:
        """One connection's life. Returns whether it came to a welcome."""
        self._link = link = _Link(self)
        known = self.welcomes.total()
        try:
            async with asyncio.timeout(scaled(5)):
                await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", port)
                await link.upgraded.wait()
        except (OSError, TimeoutError):
            link.cut()
            return False
        self._say(type="hello", token=self._token, cursor=self.cursor, client="lean", visible=True)
        await link.lost.wait()
        self.is_live = False
        return self.welcomes.total() > known

    def _on_welcome(self, frame: _Frame) -> None:
        self.is_live = True
        self.welcomes[frame.mode] += 1
        if frame.mode == "reset":
            self._on_reset(frame)
        elif frame.mode == "live" and frame.cursor != self.cursor:
            self.violations.append(
                f"told nothing was missed at {frame.cursor}, but we are at {self.cursor}"
            )

    def _on_reset(self, frame: _Frame) -> None:
        is_first = self.cursor is None
        self.cursor = frame.cursor
        # so that `head - first_seq` is what this agent should have seen
        self.first_seq = self.seq - self.events
        self.heard_at.clear()  # a snapshot is taken: what follows may be in it
        self.texts.clear()
        if not is_first:
            self.resets[frame.reason or ""] += 1

    def _on_event(self, frame: _Frame) -> None:
        epoch, seq = _split(self.cursor or ".-1")
        if frame.seq != seq + 1:
            self.violations.append(f"event {frame.seq} after {seq}")
        self.cursor = f"{epoch}.{frame.seq}"
        self.events += 1
        if (
            self._keeps_texts
            and frame.kind == "message.created"
            and frame.data
            and frame.data.message
        ):
            text = frame.data.message.content
            if text in self.heard_at:
                self.violations.append(f"{text!r} came twice")
            self.heard_at[text] = time.monotonic()
            self.texts.append(text)
            if self._on_text is not None:
                self._on_text(text)

    def _say(self, **fields: object) -> None:
        if self._link is not None:
            self._link.send_text(msgspec.json.encode(fields))


class _Link(asyncio.Protocol):
    """The wire: handshake, frames in, masked text frames out."""

    def __init__(self, agent: LeanAgent) -> None:
        self.upgraded = asyncio.Event()
        self.lost = asyncio.Event()
        self._agent = agent
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws HTTP/1.1",
            "Host: 127.0.0.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
        ]
        transport.write("\r\n".join([*lines, f"Sec-WebSocket-Key: {key}", "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.upgraded.is_set() and not self._take_answer():
            return
        while (payload := self._take_frame()) is not None:
            self._agent.on_frame(payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def send_text(self, payload: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        size = len(payload)
        head = (
            bytes([0x81, 0x80 | size])
            if size < 126
            else bytes([0x81, 0x80 | 126]) + struct.pack(">H", size)
        )
        self._transport.write(head + b"\0\0\0\0" + payload)  # a mask of zeros changes nothing

    def cut(self) -> None:
        if self._transport is not None:
            reset_connection(self._transport)

    def _take_answer(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            self.cut()
            return False
        del self._buffer[: end + 4]
        self.upgraded.set()
        return True

    def _take_frame(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            start += width
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + size:
            return None
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
        del buffer[: start + size]
        if opcode == _CLOSE:
            self._agent.closes[int.from_bytes(payload[:2], "big")] += 1
            self.cut()
            return None
        assert opcode == _TEXT, f"opcode {opcode}"
        return payload


def _split(cursor: str) -> tuple[str, int]:
    epoch, _, seq = cursor.rpartition(".")
    return epoch, int(seq or -1)
