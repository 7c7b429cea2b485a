"""The bounds of a request's head, of a body's progress, and of an address's connections, over real
sockets.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from server.errors import ConfigurationError
from server.http import http_protocol
from server.http.http_protocol import NOTE_PROXY, BoundedHttpProtocol, ConnectionLimits
from server.serve import _addresses
from tests.kit.eventually import eventually

_HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"


class App:
    """Reads the body, answers its length; remembers who asked."""

    def __init__(self) -> None:
        self.clients: list[str] = []
        self.proxies: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"][NOTE_PROXY] = self.proxies.append
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.clients.append(scope["client"][0])
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        body = str(size).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def _served(
    app: App, per_address: int = 100, trusted: list[str] | None = None
) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=BoundedHttpProtocol,
        log_config=None,
        lifespan="on",
        forwarded_allow_ips=trusted or ["nobody"],
    )
    config.connections_per_address = per_address  # type: ignore[attr-defined]
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await eventually(lambda: server.started, limit=30)
        try:
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True


async def _say(port: int, *pieces: bytes) -> bytes:
    """Everything that comes back until the other side closes, or says a whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(60):
            return await reader.readuntil(b"\r\n\r\n")
    return b""


async def test_whole_requests_are_answered_as_ever() -> None:
    """Two on one connection, in pieces, the second behind a large body."""
    app = App()
    async with _served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            for size in (3, 300_000, 5):
                writer.write(_HEAD[:9])
                await writer.drain()
                writer.write(_HEAD[9:] + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
                async with asyncio.timeout(60):
                    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                    assert await reader.readexactly(len(str(size))) == str(size).encode()


async def test_a_head_without_end_is_ended() -> None:
    """After 64 KB, whatever is said in it; the application hears nothing of it."""
    app = App()
    async with _served(app) as port:
        answer = await _say(
            port, _HEAD, *[b"X-%d: " % n + b"y" * 8_000 + b"\r\n" for n in range(200)]
        )
        assert answer == b"" or b" 431 " in answer
        assert app.clients == []


async def test_half_a_request_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing, or half a head, has its seconds and no more."""
    monkeypatch.setattr(http_protocol, "_MAX_HEAD_SECONDS", 0.2)
    async with _served(App()) as port:
        # three at once
        answers = await asyncio.gather(*[_say(port, piece) for piece in (b"", b"POST /x", _HEAD)])  # noqa: TID251
        assert all(b" 408 " in answer for answer in answers)


async def test_a_body_that_does_not_come_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of it, and then nothing; one that comes on is waited for."""
    monkeypatch.setattr(http_protocol, "_PROGRESS_INTERVAL_SECONDS", 0.3)
    async with _served(App()) as port:
        assert b" 408 " in await _say(port, _HEAD + b"Content-Length: 100000\r\n\r\n", b"x" * 10)


async def test_an_address_has_so_many_connections() -> None:
    """One more is answered 429; when one goes there is room again. A trusted proxy has no such
    bound.
    """
    async with _served(App(), per_address=3) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert b" 429 " in await _say(port)
        held[0][1].close()

        async def has_room() -> bool:
            assert b" 200 " in await _say(port, _HEAD + b"\r\n")
            return True

        await eventually(has_room, limit=30)
        for _, writer in held[1:]:
            writer.close()
    async with _served(App(), per_address=1, trusted=["127.0.0.1"]) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert b" 200 " in await _say(port, _HEAD + b"\r\n")
        for _, writer in held:
            writer.close()


async def test_a_proxy_that_is_not_trusted_is_told_of() -> None:
    """What it says of its clients is not believed, and an operator hears of it; a trusted one's
    word counts.
    """
    forwarded = _HEAD + b"X-Forwarded-For: 203.0.113.9\r\n\r\n"
    app = App()
    async with _served(app) as port:
        await _say(port, forwarded)
    assert (app.clients, app.proxies) == (["127.0.0.1"], ["127.0.0.1"])
    app = App()
    async with _served(app, trusted=["127.0.0.0/8"]) as port:
        await _say(port, forwarded)
    assert (app.clients, app.proxies) == (["203.0.113.9"], [])


def test_proxies_are_addresses_networks_and_names() -> None:
    """A name that nobody knows stops the start with a sentence."""
    assert _addresses("10.0.0.0/24, ::1") == ["10.0.0.0/24", "::1"]
    assert "127.0.0.1" in _addresses("localhost")
    assert ConnectionLimits(1, _addresses("")).may_be_proxy("10.0.0.1")
    with pytest.raises(ConfigurationError, match="TRUSTED_PROXIES"):
        _addresses("no-such-host.invalid")


def test_an_ipv6_network_has_the_connections_of_one_address() -> None:
    """Taken and given back by any of its addresses."""
    limits = ConnectionLimits(2, "127.0.0.1")
    assert [limits.acquire(f"2001:db8::{number}") for number in range(1, 4)] == [True, True, False]
    limits.release("2001:db8::1")
    assert limits.acquire("2001:db8::9")
    assert limits.acquire("2001:db8:0:1::1")
