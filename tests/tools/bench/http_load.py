"""HTTP load: a connection is a small state machine on the loop. Requests are ready bytes; answers
are read only as far as needed.
"""

import errno
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

from server.lab.load.http_client import is_whole
from server.lab.load.loop import READ, WRITE, Loop

OnAnswer = Callable[["Client", bytes], None]


class Client:
    """One connection, kept alive unless `is_fresh`: then each request makes its own, as Chatwoot's
    deliveries do.
    """

    __slots__ = (
        "_connection",
        "_is_fresh",
        "_loop",
        "_may_repeat",
        "_on_answer",
        "_port",
        "_received",
        "_request",
        "is_busy",
        "started_at",
    )

    def __init__(
        self, loop: Loop, port: int, on_answer: OnAnswer, *, is_fresh: bool = False
    ) -> None:
        self._loop = loop
        self._port = port
        self._on_answer = on_answer
        self._is_fresh = is_fresh
        self._connection: socket.socket | None = None
        self._request = self._received = b""
        self.is_busy = False
        self._may_repeat = True
        self.started_at = 0.0

    def send(self, request: bytes, started_at: float | None = None) -> None:
        self.is_busy = True
        self._request = request
        self._received = b""
        self.started_at = time.monotonic() if started_at is None else started_at
        if self._connection is not None:
            self._connection.sendall(request)
            return
        self._connection = connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = connection.connect_ex(("127.0.0.1", self._port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._loop.add(connection.fileno(), WRITE, self._on_connected)

    def close(self) -> None:
        if self._connection is not None:
            self._loop.remove(self._connection.fileno())
            self._connection.close()
            self._connection = None

    def _on_connected(self, mask: int) -> None:
        assert self._connection is not None
        if code := self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))
        self._loop.change(self._connection.fileno(), READ, self._on_readable)
        self._connection.sendall(self._request)

    def _on_readable(self, mask: int) -> None:
        assert self._connection is not None
        try:
            data = self._connection.recv(262_144)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.close()
            # it was idle for too long, and closed while we wrote: HTTP clients ask again
            if self.is_busy and self._may_repeat:
                self._may_repeat = False
                self.send(self._request, self.started_at)
            elif self.is_busy:
                raise ConnectionError("the server closed the connection without an answer")
            return
        if self._received:
            data = self._received + data
        if not is_whole(data):
            self._received = data
            return
        self.is_busy = False
        self._may_repeat = True
        if self._is_fresh:
            self.close()
        self._on_answer(self, data)


class Load:
    """Requests over a number of connections. `answers` by status; `seconds` are the delays, in the
    order of the answers.
    """

    def __init__(
        self, loop: Loop, port: int, requests: Iterator[bytes], connections: int, is_fresh: bool
    ) -> None:
        self.answers: Counter[bytes] = Counter()
        self.seconds: list[float] = []
        self._loop = loop
        self._requests = requests
        self._clients = [
            Client(loop, port, self._note, is_fresh=is_fresh) for _ in range(connections)
        ]
        self._idle = deque(self._clients)
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._is_closed_loop = False

    def run(self, seconds: float) -> float:
        """As fast as the server answers, for so long. Returns answers a second."""
        before, started = len(self.seconds), time.monotonic()
        self._is_closed_loop = True
        self._send_on()
        self._loop.run_for(seconds)
        self._is_closed_loop = False
        rate = (len(self.seconds) - before) / (time.monotonic() - started)
        self.finish()
        return rate

    def run_count(self, count: int, limit: float = 120.0) -> float:
        """As fast as the server answers, that many. Returns answers a second."""
        started = time.monotonic()
        now = time.monotonic()
        self._waiting.extend((next(self._requests), now) for _ in range(count))
        self._send_on()
        self.finish(limit)
        return count / (time.monotonic() - started)

    def pace(
        self, rate: float, seconds: float, on_send: Callable[[bytes, float], None] | None = None
    ) -> None:
        """So many a second, evenly; delays count from the moment a request was due, also when no
        connection was free then.
        """
        started, count = time.monotonic() + 0.01, max(1, int(rate * seconds))

        def due(number: int) -> None:
            moment = started + number / rate
            request = next(self._requests)
            if on_send is not None:
                on_send(request, moment)
            self._waiting.append((request, moment))
            self._send_on()
            if number + 1 < count:
                self._loop.call_at(started + (number + 1) / rate, lambda: due(number + 1))

        target = len(self.seconds) + count
        self._loop.call_at(started, lambda: due(0))
        self._loop.run_until(
            lambda: len(self.seconds) >= target, seconds + 60, lambda: f"{count} answers"
        )

    def finish(self, limit: float = 60.0) -> None:
        self._loop.run_until(
            lambda: len(self._idle) == len(self._clients) and not self._waiting,
            limit,
            lambda: "the last answers",
        )

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _send_on(self) -> None:
        while self._idle and (self._waiting or self._is_closed_loop):
            client = self._idle.popleft()
            if self._waiting:
                client.send(*self._waiting.popleft())
            else:
                client.send(next(self._requests))

    def _note(self, client: Client, answer: bytes) -> None:
        self.answers[answer[9:12]] += 1
        self.seconds.append(time.monotonic() - client.started_at)
        self._idle.append(client)
        self._send_on()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
