"""A Chatwoot whose every answer is a JSON object with one text of so many bytes, sent as fast as it
is read.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_PIECE = b"x" * 65_536
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
_BEFORE = b'{"id": 1, "accounts": [], "payload": [{"id": 1, "name": "'
_AFTER = b'"}]}'


@contextlib.asynccontextmanager
async def large_answers(size: int, *, text: bytes = _PIECE) -> AsyncIterator[str]:
    """Yields the address. Without a length: the reader learns how much it is by reading it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_HEAD + _BEFORE)
            for _ in range(size // len(text)):
                writer.write(text)
                await writer.drain()
            writer.write(_AFTER)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
