"""An HTTP server that answers every request with the same bytes, whatever HTTP says about them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.kit.eventually import eventually


@asynccontextmanager
async def answering(
    head: bytes, body: bytes = b"", *, status: bytes = b"200 OK"
) -> AsyncIterator[str]:
    """`head`: header lines, each with its end; yields the address. A connection is good for one
    answer.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            length = b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
            writer.write(b"HTTP/1.1 %s\r\n%s%s\r\n%s" % (status, head, length, body))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away, as it may
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def stalling() -> AsyncIterator[str]:
    """Another that sends the head of a large file and its first bytes, and then nothing, until its
    reader has gone.
    """

    under_way = set[asyncio.StreamWriter]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: "
                b"1000000\r\n\r\nfirst"
            )
            await writer.drain()
            await reader.read()
        writer.close()
        under_way.discard(writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in under_way:
            writer.transport.abort()
        await eventually(lambda: not under_way, 30)
