"""Agents on their sockets: a WebSocket client that does nothing but count, and checks that each
event came once and in order.

The server sends the same bytes to everybody, so what one socket has read is looked up for the
others instead of being parsed again: the check is complete and costs a hash.
"""

import errno
import json
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable

from server.lab.load.frame_reader import (
    CLOSE,
    TEXT,
    frames_of,
    masked_text,
    upgrade_request,
)
from server.lab.load.loop import READ, WRITE, Loop

_EVENT = b'{"type":"event","seq":'
_MARK = b'"content":"#'  # a message whose send time is known: `#` and its number, then a blank
_READ_BYTES = 65_536
_REMEMBERED_MOST_BYTES = 16_384
_REMEMBERED_MOST = 64
_SOCKETS_PER_ADDRESS = 8_000  # the kernel has about 28,000 client ports for each address


class Read:
    """What a piece of the stream held: its events by number, other frames, and the beginning of one
    that is not whole yet.
    """

    __slots__ = ("first", "in_order", "last", "marks", "others", "rest")

    def __init__(self, data: bytes) -> None:
        self.first = self.last = 0
        self.in_order = True
        self.marks: list[int] = []
        self.others: list[tuple[int, bytes]] = []
        at = 0
        for head, start, at in frames_of(data):
            if data[head] == TEXT and data.startswith(_EVENT, start):
                self._take_event(data, start, at)
            else:
                self.others.append((data[head], data[start:at]))
        self.rest = data[at:] if at else data

    def _take_event(self, data: bytes, start: int, end: int) -> None:
        seq = int(data[start + len(_EVENT) : data.index(b",", start + len(_EVENT), end)])
        if self.first == 0:
            self.first = seq
        elif seq != self.last + 1:
            self.in_order = False
        self.last = seq
        # the conversation's preview carries the same text: the message comes last
        if (mark := data.rfind(_MARK, start, end)) >= 0:
            self.marks.append(int(data[mark + len(_MARK) : data.index(b" ", mark, end)]))


class Agent:
    """One socket of one agent."""

    __slots__ = (
        "_fleet",
        "_replays",
        "_rest",
        "_socket",
        "company_id",
        "cursor",
        "is_live",
        "seq",
        "token",
    )

    def __init__(self, fleet: "Fleet", company_id: int, token: str) -> None:
        self._fleet = fleet
        self.company_id = company_id
        self.token = token
        self._socket: socket.socket | None = None
        self._rest = b""
        self._replays = False
        self.cursor: str | None = None
        self.is_live = False
        self.seq = 0

    def connect(self, port: int, source: str) -> None:
        self._rest = b""
        self.is_live = False
        self._replays = False
        self._socket = connection = socket.socket()
        connection.setblocking(False)
        # IP_BIND_ADDRESS_NO_PORT: the port is chosen for the whole pair, at connect
        connection.setsockopt(socket.IPPROTO_IP, 24, 1)
        connection.bind((source, 0))
        code = connection.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._fleet.loop.add(connection.fileno(), WRITE, self._on_connected)

    def drop(self) -> None:
        """As a network break: reset, so that no port is kept waiting."""
        if self._socket is not None:
            self._fleet.loop.remove(self._socket.fileno())
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()
            self._socket = None
            self.is_live = False

    def _on_connected(self, mask: int) -> None:
        assert self._socket is not None
        if code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lose(os.strerror(code))
            return
        self._socket.send(upgrade_request("127.0.0.1"))
        self._fleet.loop.change(self._socket.fileno(), READ, self._on_upgraded)

    def _on_upgraded(self, mask: int) -> None:
        assert self._socket is not None
        data = self._rest + self._receive()
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._rest = data
            return
        if b" 101 " not in head:
            self._lose(head[:100].decode(errors="replace"))
            return
        self._rest = rest
        hello = {
            "type": "hello",
            "token": self.token,
            "cursor": self.cursor,
            "client": "bench",
            "visible": True,
        }
        self._send(json.dumps(hello).encode())
        self._fleet.loop.change(self._socket.fileno(), READ, self.on_readable)

    def on_readable(self, mask: int) -> None:
        data = self._receive()
        if not data:
            return
        if self._rest:
            data = self._rest + data
        read = self._fleet.read(data)
        self._rest = read.rest
        for opcode, payload in read.others:  # first: a welcome comes before the events it tells of
            self._on_frame(opcode, payload)
        if read.first:
            if read.first != self.seq + 1 or not read.in_order:
                self._fleet.faults += 1
            self._fleet.delivered += read.last - self.seq
            self.seq = read.last
            if read.marks:
                self._fleet.note_delays(read.marks)

    def _receive(self) -> bytes:
        assert self._socket is not None
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            self._lose(str(error))
            return b""
        if not data:
            self._lose("closed by the server")
        return data

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._lose(
                f"close {int.from_bytes(payload[:2])} {payload[2:].decode(errors='replace')}"
            )
            return
        message = json.loads(payload)
        kind = message["type"]
        if kind == "ping":
            self._send(b'{"type":"pong","id":%d,"cursor":null}' % message["id"])
        elif kind == "welcome":
            self._replays = message["mode"] == "replay"
            self.seq = int(
                (self.cursor if self._replays and self.cursor else message["cursor"]).rpartition(
                    "."
                )[2]
            )
            self.cursor = message["cursor"]
            self._set_live(not self._replays)
        elif kind == "live":
            self._set_live(True)
        elif kind in ("reset", "error"):
            self._fleet.complaints[f"{kind} {message.get('reason') or message.get('code')}"] += 1

    def _set_live(self, is_live: bool) -> None:
        if is_live and not self.is_live:
            self.is_live = True
            self._fleet.live += 1

    def _send(self, payload: bytes) -> None:
        assert self._socket is not None
        self._socket.send(masked_text(payload))

    def _lose(self, reason: str) -> None:
        self._fleet.complaints[f"lost: {reason}"] += 1
        if self.is_live:
            self._fleet.live -= 1
        self.drop()
        self._fleet.lost.append(self)


class Fleet:
    """Many agents. `delivered` events in all; `faults` are events that came twice, never, or in the
    wrong order.
    """

    def __init__(self, loop: Loop, token_of: Callable[[int, int], str]) -> None:
        """`token_of(company, number)`: a token of the company's agent with that number."""
        self.loop = loop
        self.agents: list[Agent] = []
        self.live = self.delivered = self.faults = 0
        self.lost: list[Agent] = []
        self.complaints: Counter[str] = Counter()
        self.sent_at: dict[int, float] = {}
        self.delays: list[float] = []
        self._token_of = token_of
        self._remembered: dict[bytes, Read] = {}

    def read(self, data: bytes) -> Read:
        if len(data) > _REMEMBERED_MOST_BYTES:
            return Read(data)
        known = self._remembered.get(data)
        if known is None:
            if len(self._remembered) >= _REMEMBERED_MOST:
                self._remembered.clear()
            known = self._remembered[data] = Read(data)
        return known

    def note_delays(self, marks: Iterable[int]) -> None:
        now = time.monotonic()
        self.delays += [now - self.sent_at[mark] for mark in marks if mark in self.sent_at]

    def join(self, count: int, port: int, *, companies: int = 1, limit: float = 120.0) -> None:
        """Connect that many more agents, spread over companies 1 to `companies`, and wait until all
        are live.
        """
        start = len(self.agents)
        numbered = [(1 + number % companies, number + 1) for number in range(start, start + count)]
        new = [
            Agent(self, company_id, self._token_of(company_id, number))
            for company_id, number in numbered
        ]
        self.agents += new
        self.connect(new, port, limit=limit)

    def connect(
        self, agents: list[Agent], port: int, *, most_at_once: int = 300, limit: float = 120.0
    ) -> None:
        """Connect these, at most so many at a time, and wait until all are live."""
        target, waiting = self.live + len(agents), list(reversed(agents))
        started = self.live

        def fill() -> bool:
            # refused or cut while connecting: they try again, as clients do
            waiting.extend(self.lost)
            self.lost.clear()
            under_way = len(agents) - len(waiting) - (self.live - started)
            while waiting and under_way < most_at_once:
                agent = waiting.pop()
                agent.connect(port, f"127.0.0.{2 + len(waiting) // _SOCKETS_PER_ADDRESS}")
                under_way += 1
            return self.live >= target

        self.loop.run_until(
            fill, limit, lambda: f"{target} agents live; complaints: {dict(self.complaints)}"
        )

    def drop_all(self) -> None:
        for agent in self.agents:
            agent.drop()
        self.live = 0

    def seqs(self) -> dict[int, set[int]]:
        """By company: the numbers its agents have come to. One number each when everybody has
        everything.
        """
        found: dict[int, set[int]] = {}
        for agent in self.agents:
            if agent.is_live:
                found.setdefault(agent.company_id, set()).add(agent.seq)
        return found

    def await_level(self, heads: dict[int, int], limit: float = 60.0) -> None:
        """Until every agent has come to its company's head."""

        def is_level() -> bool:
            return all(self.seqs().get(company_id) == {head} for company_id, head in heads.items())

        self.loop.run_until(
            is_level,
            limit,
            lambda: f"all agents at {heads}; they are at {self.seqs()}, {dict(self.complaints)}",
        )

    def check(self, expected: int) -> None:
        """Raises AssertionError unless every socket got every event once, in order, and `expected`
        were delivered in all.
        """
        assert self.faults == 0, (
            f"{self.faults} events came twice, late or never; {dict(self.complaints)}"
        )
        assert self.delivered == expected, (
            f"{self.delivered} deliveries instead of {expected}; {dict(self.complaints)}"
        )
