"""A server that answers every request with an empty JSON object, and remembers the head of each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: "
    b"close\r\n\r\n{}"
)


@contextlib.asynccontextmanager
async def overhearing() -> AsyncIterator[tuple[str, list[str]]]:
    """Yields the address, and the heads as they come."""
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            writer.write(_ANSWER)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()
