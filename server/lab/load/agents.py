"""One agent on its socket, a client as docs/protocol.md describes it: hello, resume by cursor,
pong, drain, backoff by close code.

It shows nothing; it checks that each event of its company comes once and in order, and costs little
more than its system calls.
"""

import errno
import os
import random
import socket
import struct
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from server.core.backoff import doubled
from server.lab.load.counters import Counters
from server.lab.load.frame_reader import CLOSE, Piece, frames_of, masked_text, upgrade_request
from server.lab.load.loop import READ, WRITE, Loop

_READ_BYTES = 65_536
_SLOW_RECEIVE_BYTES = 4_096  # so that a server feels at once that this client does not read
# IP_BIND_ADDRESS_NO_PORT: the port is chosen for the whole pair, at connect
_BIND_ADDRESS_NO_PORT = 24
_SOCKETS_PER_ADDRESS = 8_000  # the kernel has about 28,000 client ports for each address
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 20.0
_STABLE_SECONDS = 30.0  # live for so long: the backoff begins anew
# a close code that says "resume now" is not answered by everybody in the same millisecond
_RESUME_SECONDS = 0.1
_WELCOME_SECONDS = 20.0


@dataclass(frozen=True)
class Target:
    """Where the server is; `host` is an address, not a name, so that no look-up is made for each
    connection.
    """

    host: str
    port: int
    path: str = "/ws"
    name: str = ""

    @property
    def host_header(self) -> str:
        """The value of the `Host` header, with the port."""
        return f"{self.name or self.host}:{self.port}"


class Agent:
    """Calls `on_gone(agent, seconds)` when its connection is gone: connect again after so many
    seconds (None: never).
    """

    __slots__ = (
        "_asked_at",
        "_connection",
        "_failures",
        "_generation",
        "_is_upgraded",
        "_live_since",
        "_loop",
        "_on_gone",
        "_read_piece",
        "_replays",
        "_rest",
        "_target",
        "company_id",
        "counters",
        "epoch",
        "is_live",
        "is_slow",
        "number",
        "seq",
        "token",
    )

    def __init__(
        self,
        loop: Loop,
        target: Target,
        counters: Counters,
        *,
        company_id: int,
        number: int,
        token: str,
        is_slow: bool,
        read_piece: Callable[[bytes], Piece],
        on_gone: Callable[["Agent", float | None], None],
    ) -> None:
        self._loop = loop
        self._target = target
        self.counters = counters
        self.company_id = company_id
        self.number = number
        self.token = token
        self.is_slow = is_slow
        self._read_piece = read_piece
        self._on_gone = on_gone
        self._connection: socket.socket | None = None
        self._rest = b""
        self._is_upgraded = self._replays = self.is_live = False
        self._failures = self._generation = 0
        self._asked_at = self._live_since = 0.0
        self.epoch = ""
        self.seq = -1

    @property
    def cursor(self) -> str | None:
        """`epoch.seq` of the newest event read, None before the first cursor."""
        return f"{self.epoch}.{self.seq}" if self.epoch else None

    @property
    def is_connected(self) -> bool:
        """Whether it has a socket, though it may not be live yet."""
        return self._connection is not None

    # the line

    def connect(self) -> None:
        """Open a connection without waiting for it. Without a welcome within seconds it is given
        up.
        """
        self._rest = b""
        self._is_upgraded = False
        self._replays = False
        self._asked_at = time.monotonic()
        self._generation += 1
        self._connection = connection = socket.socket()
        connection.setblocking(False)
        if self.is_slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_RECEIVE_BYTES)
        if self._target.host.startswith("127."):
            connection.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            connection.bind((f"127.0.0.{2 + self.number // _SOCKETS_PER_ADDRESS % 250}", 0))
        code = connection.connect_ex((self._target.host, self._target.port))
        self._loop.add(connection.fileno(), WRITE, self._on_connected)
        if code not in (0, errno.EINPROGRESS):
            self._lose(os.strerror(code))
            return
        generation = self._generation
        self._loop.call_at(
            self._asked_at + _WELCOME_SECONDS, lambda: self._check_welcome(generation)
        )

    def cut(self, reason: str, *, after: float | None = 0.0) -> None:
        """Reset the connection as a network break does, so that no port is kept waiting. Connects
        again after so many seconds; None: it stays away.
        """
        if self._connection is not None:
            self.counters.cuts[reason] += 1
            self._drop()
            self._on_gone(self, after)

    def pause(self) -> None:
        """Read nothing for now."""
        if self._connection is not None and self.is_live:
            self._loop.change(self._connection.fileno(), 0, self._on_readable)

    def resume(self) -> None:
        """Read again after `pause`."""
        if self._connection is not None and self.is_live:
            self._loop.change(self._connection.fileno(), READ, self._on_readable)

    def _drop(self) -> None:
        if self._connection is None:
            return
        self._loop.remove(self._connection.fileno())
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()
        self._connection = None
        if self.is_live:
            self.is_live = False
            self.counters.live -= 1

    def _lose(self, reason: str, code: int | None = None) -> None:
        """Gone without our doing."""
        now = time.monotonic()
        if self.is_live and now - self._live_since > _STABLE_SECONDS:
            self._failures = 0
        self._drop()
        if code is None:
            self.counters.failures[reason] += 1
        else:
            self.counters.closes[code] += 1
        self._on_gone(self, self._pause_after(code))

    def _pause_after(self, code: int | None) -> float | None:
        if code is not None and 4000 <= code < 4100:
            return None
        if code is not None and 4200 <= code < 4300:
            return random.uniform(0, _RESUME_SECONDS)  # noqa: S311 - jitter, not a secret
        self._failures += 1
        longest = doubled(_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS, self._failures)
        return random.uniform(0, longest)  # noqa: S311 - jitter, not a secret

    def _check_welcome(self, generation: int) -> None:
        if generation == self._generation and self._connection is not None and not self.is_live:
            self._lose("no welcome in time")

    # what comes

    def _on_connected(self, mask: int) -> None:
        if self._connection is None:
            return
        if code := self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lose(os.strerror(code))
            return
        self._loop.change(self._connection.fileno(), READ, self._on_readable)
        self._write(upgrade_request(self._target.host_header))

    def _on_readable(self, mask: int) -> None:
        data = self._receive()
        if not data:
            return
        self.counters.received_bytes += len(data)
        if self._rest:
            data = self._rest + data
        if not self._is_upgraded:
            rest = self._handle_upgrade(data)
            if not rest:
                return
            data = rest
        piece = self._read_piece(data)
        self._rest = piece.rest
        if piece.is_mixed:  # a ping or a reset among events: one after the other
            for begin, _, end in frames_of(data):
                self._handle_piece(self._read_piece(data[begin:end]))
        else:
            self._handle_piece(piece)

    def _handle_piece(self, piece: Piece) -> None:
        for opcode, payload in piece.others:  # before the events: a welcome announces them
            self._on_frame(opcode, payload)
        if piece.first and self._connection is not None:
            self._on_events(piece)

    def _handle_upgrade(self, data: bytes) -> bytes:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._rest = data
            return b""
        if not head.startswith(b"HTTP/1.1 101 "):
            self._lose(head[:40].partition(b"\r\n")[0].decode(errors="replace"))
            return b""
        self._is_upgraded = True
        self._rest = b""
        self._say(
            type="hello",
            token=self.token,
            cursor=self.cursor,
            client=str(uuid.UUID(int=self.number + 1)),
            visible=True,
        )
        return rest

    def _receive(self) -> bytes:
        assert self._connection is not None  # noqa: S101 - only reached from the loop, with a line
        try:
            data = self._connection.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            self._lose(os.strerror(error.errno or 0))
            return b""
        if not data:
            self._lose("closed by the server without a word")
        return data

    def _on_events(self, piece: Piece) -> None:
        counters = self.counters
        if piece.first != self.seq + 1:
            counters.record_fault(self.company_id, self.seq, piece.first, self._where("event"))
        if piece.gap is not None:
            counters.record_fault(self.company_id, *piece.gap, self._where("event"))
        if piece.companies != {self.company_id}:
            counters.faults["foreign"] += len(piece.companies - {self.company_id})
        counters.delivered += piece.last - piece.first + 1
        self.seq = piece.last
        if piece.tags:
            delays, now = (
                counters.slow_delays
                if self.is_slow
                else counters.replays
                if self._replays
                else counters.delays,
                time.monotonic(),
            )
            for _, _, written_at in piece.tags:
                delays.add(now - written_at)

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if self._connection is None:
            return
        if opcode == CLOSE:
            self._lose(payload[2:].decode(errors="replace"), int.from_bytes(payload[:2]))
            return
        message = msgspec.json.decode(payload)
        match message["type"]:
            case "ping":
                self._on_ping(message)
            case "welcome":
                self._on_welcome(message)
            case "live":
                self._replays = False
                self._set_live()
            case "reset":
                self._on_reset(message)
            case "drain":
                generation = self._generation
                self._loop.call_at(
                    time.monotonic() + message["inMs"] / 1000, lambda: self._leave(generation)
                )
            case "error":
                self.counters.errors[message["code"]] += 1

    def _on_ping(self, message: dict[str, object]) -> None:
        epoch, seq = _split(str(message["cursor"]))
        if epoch == self.epoch and seq > self.seq:
            self.counters.record_fault(self.company_id, self.seq, seq, self._where("ping"))
        self._say(type="pong", id=message["id"], cursor=self.cursor)

    def _on_welcome(self, message: dict[str, object]) -> None:
        if message["companyId"] != self.company_id:
            self.counters.faults["foreign"] += 1
        mode = str(message["mode"])
        self._replays = mode == "replay"
        if mode == "reset":
            self._on_reset(message)
        elif mode == "live" and message["cursor"] != self.cursor:
            self.counters.record_fault(
                self.company_id, self.seq, _split(str(message["cursor"]))[1], self._where("welcome")
            )
        self.counters.welcomes[mode] += 1
        if not self._replays:
            self._set_live()

    def _on_reset(self, message: dict[str, object]) -> None:
        reason = str(message["reason"])
        if reason != "new":
            self.counters.resets[reason] += 1
        self.epoch, self.seq = _split(str(message["cursor"]))

    def _set_live(self) -> None:
        if not self.is_live:
            now = time.monotonic()
            self.is_live = True
            self._live_since = now
            self.counters.live += 1
            self.counters.connects.add(now - self._asked_at)

    def _where(self, kind: str) -> str:
        """Names the message, the agent and the state of its connection, to find a cause by."""
        state = "replaying" if self._replays else "live" if self.is_live else "joining"
        age = time.monotonic() - self._asked_at
        return (
            f"{kind}, agent {self.number}, line {self._generation}, {state}, {age:.2f} s after it "
            "was asked for"
        )

    def _leave(self, generation: int) -> None:
        if generation == self._generation:
            self.cut("drain", after=0.0)

    def _say(self, **fields: object) -> None:
        self._write(masked_text(msgspec.json.encode(fields)))

    def _write(self, data: bytes) -> None:
        if self._connection is None:
            return
        try:
            if self._connection.send(data) != len(data):
                self._lose("a message did not fit into the line")
        except OSError as error:
            self._lose(os.strerror(error.errno or 0))


def _split(cursor: str) -> tuple[str, int]:
    epoch, _, seq = cursor.rpartition(".")
    return epoch, int(seq)
