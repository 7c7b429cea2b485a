"""A server that accepts every subscription of `/cable`, and then sends the same bytes as long as
they are read.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

HEAD = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n\r\n"
)


class HostileCable:
    """`sent` counts the bytes that went out."""

    def __init__(self, flood: bytes) -> None:
        self.flood = flood
        self.sent = 0
        self.base_url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            [key] = re.findall(r"(?i)sec-websocket-key: (\S+)", head)
            confirmed = json.dumps({"type": "confirm_subscription"}).encode()
            writer.write(HEAD.format(accept_key(key)).encode() + framed(confirmed))
            while True:
                writer.write(self.flood)
                await writer.drain()
                self.sent += len(self.flood)
        writer.close()


def framed(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin).serialize(mask=False))


@contextlib.asynccontextmanager
async def hostile_cable(flood: bytes) -> AsyncIterator[HostileCable]:
    cable = HostileCable(flood)
    server = await asyncio.start_server(cable.answer, "127.0.0.1", 0)
    cable.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield cable
    finally:
        server.close()
