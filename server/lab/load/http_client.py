"""HTTP for the harness: a connection is a small state machine on the loop. Requests are ready
bytes; answers are read as far as needed.
"""

import errno
import os
import socket
import time
import zlib
from collections.abc import Callable

from server.lab.load.loop import READ, WRITE, Loop

_READ_BYTES = 262_144


class Answer:
    """`status` 0: there was none, and `problem` says why."""

    __slots__ = ("_data", "_end", "problem", "seconds", "status")

    def __init__(self, data: bytes, seconds: float, problem: str = "") -> None:
        self._data = data
        self.seconds = seconds
        self.problem = problem
        self.status = int(data[9:12]) if data else 0
        self._end = data.find(b"\r\n\r\n")

    @property
    def size(self) -> int:
        """Bytes on the line, headers included."""
        return len(self._data)

    def header(self, name: bytes) -> bytes | None:
        """`name` in lower case."""
        head = self._data[: self._end]
        at = head.lower().find(b"\r\n" + name + b":")
        if at < 0:
            return None
        stop = head.find(b"\r\n", at + 2)
        return head[at + len(name) + 3 : stop if stop > 0 else None].strip()

    def body(self) -> bytes:
        """The body without its transfer and content encodings."""
        raw = self._data[self._end + 4 :]
        if self.header(b"transfer-encoding") == b"chunked":
            raw = _unchunked(raw)
        return (
            zlib.decompress(raw, wbits=31) if self.header(b"content-encoding") == b"gzip" else raw
        )


OnAnswer = Callable[[Answer], None]


class Connection:
    """One connection, kept alive; one request at a time."""

    __slots__ = (
        "_connection",
        "_host",
        "_is_reused",
        "_loop",
        "_on_answer",
        "_port",
        "_received",
        "_request",
        "_started_at",
        "is_busy",
    )

    def __init__(self, loop: Loop, host: str, port: int) -> None:
        self._loop = loop
        self._host = host
        self._port = port
        self._connection: socket.socket | None = None
        self._request = self._received = b""
        self._on_answer: OnAnswer | None = None
        self._started_at = 0.0
        self._is_reused = False
        self.is_busy = False

    def send(self, request: bytes, on_answer: OnAnswer) -> None:
        """Send a request, connecting first where needed; `on_answer` is called once. A kept-alive
        connection that the server had closed is replaced, and the request sent again.
        """
        self.is_busy = True
        self._request = request
        self._received = b""
        self._on_answer = on_answer
        self._started_at = time.monotonic()
        self._is_reused = self._connection is not None
        if self._connection is not None:
            self._write()
        else:
            self._connect()

    def close(self) -> None:
        """Close the connection; `on_answer` is not called any more."""
        if self._connection is not None:
            self._loop.remove(self._connection.fileno())
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        self._connection = connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = connection.connect_ex((self._host, self._port))
        self._loop.add(connection.fileno(), WRITE, self._on_connected)
        if code not in (0, errno.EINPROGRESS):
            self._end(Answer(b"", 0.0, os.strerror(code)))

    def _write(self) -> None:
        assert self._connection is not None  # noqa: S101 - only called with a line
        try:
            self._connection.sendall(self._request)
        except OSError as error:
            self._fail(os.strerror(error.errno or 0))

    def _on_connected(self, mask: int) -> None:
        if self._connection is None:
            return
        if code := self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(os.strerror(code))
            return
        self._loop.change(self._connection.fileno(), READ, self._on_readable)
        self._write()

    def _on_readable(self, mask: int) -> None:
        if self._connection is None:
            return
        try:
            data = self._connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._fail("closed by the server without an answer")
            return
        self._received = data = self._received + data if self._received else data
        if is_whole(data):
            self._end(Answer(data, time.monotonic() - self._started_at))

    def _fail(self, problem: str) -> None:
        self.close()
        # it was idle for too long, and closed while we wrote: HTTP clients ask again
        if self.is_busy and self._is_reused:
            self._is_reused = False
            self._received = b""
            self._connect()
        elif self.is_busy:
            self._end(Answer(b"", time.monotonic() - self._started_at, problem))

    def _end(self, answer: Answer) -> None:
        if answer.status == 0 or answer.header(b"connection") == b"close":
            self.close()
        self.is_busy = False
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(answer)


def request(
    method: str,
    path: str,
    host: str,
    token: str,
    *,
    etag: bytes | None = None,
    body: bytes = b"",
    extra: str = "",
) -> bytes:
    """A request with the headers of a browser that the server reads. `extra`: further header lines,
    each with its line end.
    """
    lines = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    lines += f"Accept: application/json\r\nAccept-Encoding: gzip\r\n{extra}"
    if body:
        lines += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = lines.encode()
    if etag is not None:
        head += b"If-None-Match: " + etag + b"\r\n"
    return head + b"\r\n" + body


def is_whole(data: bytes) -> bool:
    """Whether an answer has come to its end."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    if data[9:12] in (b"304", b"204"):
        return True
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return data.endswith(b"\r\n0\r\n\r\n")
    stop = head.find(b"\r\n", at + 2)
    return len(data) - end - 4 >= int(head[at + 17 : stop if stop > 0 else None])


def _unchunked(data: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
