"""A TCP proxy in the test's own event loop that does to a connection what networks do: delay,
silence, resets.

Everything but entering and leaving is synchronous: what a test switches holds for the very next
byte.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from types import TracebackType
from typing import Literal, Self

Direction = Literal["to_client", "to_server"]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset_connection(transport: asyncio.BaseTransport) -> None:
    """Drop a connection with RST, as a dying machine or a middlebox does: no close, no farewell."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
        )
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class TcpProxy:
    """`async with TcpProxy(port) as proxy:` then connect to `proxy.port` instead."""

    def __init__(self, server_port: int, *, server_host: str = "127.0.0.1") -> None:
        self.server_port = server_port
        self.server_host = server_host
        self.port = 0
        self.passed_bytes: dict[Direction, int] = {"to_client": 0, "to_server": 0}
        self.accepted_count = 0
        self.cut_count = 0  # how often `cut_after` has come to its byte
        self.delay_seconds = 0.0
        self.is_frozen = False
        self.is_refusing = False
        self._budgets: dict[Direction, int] = {}
        self._links: set[_Link] = set()
        self._orphans: set[_Link] = set()  # the server still waits for those clients
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Link(self, self._tasks).client, "127.0.0.1", self.port
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        self.cut_all()
        self.forget_lost_clients()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def open_count(self) -> int:
        return len(self._links)

    def cut_all(self) -> int:
        """Reset every connection on both sides; returns how many there were. New ones are
        accepted.
        """
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    def cut_half(self) -> int:
        """`cut_all` for every second connection."""
        links = list(self._links)[::2]
        for link in links:
            link.cut()
        return len(links)

    def lose_clients(self) -> int:
        """The clients' machine loses its power: the server hears nothing more of them, neither FIN
        nor RST, and goes on waiting.

        Returns how many connections the server is left with. Clients that still live are reset; new
        ones are accepted.
        """
        links = list(self._links)
        for link in links:
            self._links.discard(link)
            self._orphans.add(link)
            link.orphan()
        return len(links)

    def forget_lost_clients(self) -> None:
        """Reset, on the server's side, what `lose_clients` has left there."""
        orphans, self._orphans = self._orphans, set()
        for link in orphans:
            link.cut()

    def server_side_ports(self) -> set[int]:
        """The ports that the server sees its present clients come from."""
        return {port for link in self._links if (port := link.server.local_port)}

    def freeze(self) -> None:
        """Nothing passes in either direction and nothing is lost; connections are still
        accepted.
        """
        self.is_frozen = True
        self._update()

    def thaw(self) -> None:
        self.is_frozen = False
        self._update()

    def refuse_new(self) -> None:
        """Reset new connections as soon as they are made; the present ones stay."""
        self.is_refusing = True

    def accept_new(self) -> None:
        self.is_refusing = False

    def cut_after(self, byte_count: int, direction: Direction = "to_client") -> None:
        """Let so many more bytes pass in that direction, over all connections, then `cut_all()`.

        0 cuts in place of the next byte: with "to_client" the server has done what was asked, and
        its answer is lost. The client must be reading, else some of those bytes may be lost with
        the connection.
        """
        self._budgets[direction] = byte_count

    def joined(self, link: "_Link") -> bool:
        """Called for each new connection; False when it is refused."""
        self.accepted_count += 1
        if self.is_refusing:
            return False
        self._links.add(link)
        return True

    def left(self, link: "_Link") -> None:
        self._links.discard(link)

    def take(self, data: bytes, direction: Direction) -> tuple[bytes, bool]:
        """Account for bytes about to pass; returns those that may, and whether all connections are
        to be cut after them.
        """
        budget = self._budgets.get(direction)
        must_cut = budget is not None and len(data) > 0 and len(data) >= budget
        if budget is not None:
            data = data[:budget]
            self._budgets[direction] = budget - len(data)
        if must_cut:
            del self._budgets[direction]
            self.cut_count += 1
        self.passed_bytes[direction] += len(data)
        return data, must_cut

    def _update(self) -> None:
        for link in list(self._links):
            link.client.update()
            link.server.update()


class _Link:
    """One client connection and the connection to the server made for it."""

    def __init__(self, proxy: TcpProxy, tasks: asyncio.TaskGroup) -> None:
        self.proxy = proxy
        self.client = _End(self, "to_client")
        self.server = _End(self, "to_server")
        self.client.peer, self.server.peer = self.server, self.client
        self.is_cut = False
        self.is_orphaned = False
        self._tasks = tasks

    def on_connected(self, end: "_End") -> None:
        if end is self.client:
            if not self.proxy.joined(self):
                self.cut()
            else:
                self._tasks.create_task(self._connect_server())
        elif self.is_cut:
            self.cut()
        self.client.update()
        self.server.update()

    def cut(self) -> None:
        self.is_cut = True
        self.proxy.left(self)
        for end in (self.client, self.server):
            if end.transport is not None:
                reset_connection(end.transport)

    def orphan(self) -> None:
        self.is_orphaned = True
        if self.client.transport is not None:
            reset_connection(self.client.transport)

    async def _connect_server(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: self.server, self.proxy.server_host, self.proxy.server_port
            )
        except OSError:
            self.cut()


class _End(asyncio.Protocol):
    """One connection; what it receives goes to its peer, at the proxy's pace."""

    peer: "_End"

    def __init__(self, link: _Link, direction: Direction) -> None:
        self.transport: asyncio.Transport | None = None
        self._link = link
        self._direction: Direction = direction  # of the bytes written to this end
        # (time due, bytes; None: end of stream)
        self._pending: deque[tuple[float, bytes | None]] = deque()
        self._is_full = False
        self._has_ended = False  # the stream from this end
        self._was_told_end = False  # the stream to this end
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def local_port(self) -> int | None:
        name = None if self.transport is None else self.transport.get_extra_info("sockname")
        return None if name is None else int(name[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._link.on_connected(self)

    def data_received(self, data: bytes) -> None:
        if not self._link.is_orphaned:
            self.peer.enqueue(data)

    def eof_received(self) -> bool:
        if self._link.is_orphaned:
            return False
        self._has_ended = True
        self.peer.enqueue(None)
        return not self._was_told_end  # half-closed: the other direction goes on

    def pause_writing(self) -> None:
        self._is_full = True
        self.peer.update()

    def resume_writing(self) -> None:
        self._is_full = False
        self.peer.update()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._link.is_orphaned:
            return  # the other connection hears nothing of it
        if exc is not None:
            self._link.cut()
        self._link.proxy.left(self._link)
        self.peer.close_when_sent()

    def enqueue(self, data: bytes | None) -> None:
        self._pending.append((self._loop.time() + self._link.proxy.delay_seconds, data))
        self._flush()

    def close_when_sent(self) -> None:
        """The other connection has ended: end this one too, behind what is on its way here."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._pending:
            self._loop.call_later(
                max(self._pending[-1][0] - self._loop.time(), 0.01), self.close_when_sent
            )
        else:
            self.transport.close()

    def update(self) -> None:
        """Read only what may pass on, and pass on what was held back."""
        if self.transport is None or self.transport.is_closing():
            return
        may_read = (
            self.peer.transport is not None
            and not self.peer._is_full
            and not self._link.proxy.is_frozen
        )
        if may_read:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
        self._flush()

    def _flush(self) -> None:
        self._cancel_timer()
        while self._pending and self._may_write():
            due, data = self._pending[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._flush)
                return
            self._pending.popleft()
            self._write(data)

    def _may_write(self) -> bool:
        is_still = self._link.proxy.is_frozen or self._link.is_orphaned
        return self.transport is not None and not self.transport.is_closing() and not is_still

    def _write(self, data: bytes | None) -> None:
        assert self.transport is not None
        if data is None:
            self._was_told_end = True
            with contextlib.suppress(OSError):  # reset meanwhile: there is nobody to tell
                self.transport.write_eof()
            if self._has_ended:
                self.transport.close()
            return
        passed, must_cut = self._link.proxy.take(data, self._direction)
        self.transport.write(passed)
        if must_cut:
            self._link.proxy.cut_all()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
