"""What a handed-over socket leaves behind: nothing of its handshake."""

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.server import ServerProtocol

from server.live.push_protocol import EXTENSION, PushWebSocketProtocol
from server.live.push_socket import PushSocket
from server.live.socket_ports import SocketWriter
from tests.kit.eventually import eventually

OF_THE_HANDSHAKE = (HttpToolsProtocol, PushWebSocketProtocol, ServerProtocol, asyncio.Queue)
SOCKETS = 20


class Listening:
    """A receiver that keeps its socket and does nothing else."""

    all: ClassVar[list["Listening"]] = []

    def __init__(self) -> None:
        self.push: SocketWriter | None = None
        self.was_direct_when_lost: bool | None = None
        self.all.append(self)

    def on_text(self, text: bytes) -> None:
        assert self.push is not None
        self.push.write(b"\x81\x02ok")

    def on_binary(self) -> None: ...

    def on_pause(self) -> None: ...

    def on_resume(self) -> None: ...

    def on_lost(self, code: int) -> None:
        assert isinstance(self.push, PushSocket)
        self.was_direct_when_lost = self.push._is_direct

    def on_shutdown(self) -> None: ...


async def _hand_over(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that accepts, waits for the first message, and gives the socket away."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    listening = Listening()
    listening.push = scope["extensions"][EXTENSION].hand_over(listening, 65_536)
    listening.push.write(b"\x81\x02hi")


def _left(before: Counter[type]) -> dict[str, int]:
    counted = Counter[type](
        type(thing) for thing in gc.get_objects() if type(thing) in OF_THE_HANDSHAKE
    )
    return {kind.__name__: n for kind, n in (counted - before).items()}


@asynccontextmanager
async def _serving() -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        _hand_over,
        ws=PushWebSocketProtocol,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[listener]))
        await eventually(lambda: server.started)
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        await serving


async def _welcomed(address: str) -> ClientConnection:
    client = await connect(address, proxy=None)
    await client.send("hello")
    assert await client.recv() == "hi"
    return client


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_a_lost_socket_writes_to_no_descriptor(ending: str) -> None:
    """Its number may belong to somebody else's socket by then: the direct way has ended before
    anybody hears of the loss.
    """
    async with _serving() as address:
        Listening.all.clear()
        client = await _welcomed(address)
        [listening] = Listening.all
        await client.send("still there?")
        assert await client.recv() == "ok"  # written the direct way
        assert isinstance(listening.push, PushSocket)
        assert listening.push._is_direct
        if ending == "close":
            await client.close()
        else:
            client.transport.abort()
        await eventually(lambda: listening.was_direct_when_lost is not None)
        assert listening.was_direct_when_lost is False
        listening.push.write(b"\x81\x02no")
        assert listening.push._is_direct is False


async def test_a_handed_over_socket_lets_its_handshake_go() -> None:
    """Without the garbage collector's help: thousands who come back at once would leave it hundreds
    of thousands of objects.
    """
    async with _serving() as address:
        gc.collect()
        before = Counter[type](
            type(thing) for thing in gc.get_objects() if type(thing) in OF_THE_HANDSHAKE
        )
        gc.disable()
        try:
            clients: list[Any] = []
            for _ in range(SOCKETS):
                clients.append(await _welcomed(address))
            await eventually(lambda: _left(before) == {})
            for client in clients:  # and they live
                await client.send("still there?")
                assert await client.recv() == "ok"
                await client.close()
        finally:
            gc.enable()
