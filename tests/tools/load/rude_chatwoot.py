"""A Chatwoot and a file store in hostile hands: to the token `honest` it shows whatever inboxes
proofs ask for, to others it is rude.
"""

import asyncio
import contextlib
import gzip
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

_BOMB = gzip.compress(gzip.compress(b"\0" * 60_000_000))
_JSON = b"Content-Type: application/json\r\n"


@dataclass
class RudeChatwoot:
    """`private_requests` counts what followed its redirects to an address that is nobody's
    business.
    """

    url: str = ""
    private_url: str = ""
    requests: int = 0
    private_requests: int = 0


@contextlib.asynccontextmanager
async def rude_chatwoot(account_id: int, inbox_id: int) -> AsyncIterator[RudeChatwoot]:
    """Serves while inside, on two free ports."""
    rude, turns = RudeChatwoot(), itertools.count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rude.requests += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            honest = _honest(head, account_id, inbox_id) if b"honest" in head else None
            if honest is not None:
                _write(writer, _JSON, json.dumps(honest).encode())
            else:
                await _be_rude(writer, next(turns), rude)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it was let go, as it should be
        finally:
            writer.close()

    async def private(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rude.private_requests += 1
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        await asyncio.start_server(private, "127.0.0.1", 0) as inner,
    ):
        rude.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        rude.private_url = f"http://127.0.0.1:{inner.sockets[0].getsockname()[1]}"
        yield rude


def _honest(head: bytes, account_id: int, inbox_id: int) -> object | None:
    """What a proof asks for; None: something else was asked."""
    if b" /api/v1/profile" in head:
        return {"id": 1, "name": "x", "accounts": [{"id": account_id, "role": "administrator"}]}
    if b"/inboxes" in head:
        return {
            "payload": [
                {"id": inbox_id + number, "name": "x", "channel_type": "Channel::Api"}
                for number in range(3)
            ]
        }
    return None


async def _be_rude(writer: asyncio.StreamWriter, turn: int, rude: RudeChatwoot) -> None:
    match turn % 8:
        case 0:
            _write(writer, _JSON + b"Content-Encoding: gzip, gzip\r\n", _BOMB)
        case 1:
            _write(writer, _JSON + b"Content-Encoding: gzip\r\n", gzip.decompress(_BOMB))
        case 2:
            writer.write(b"HTTP/1.1 200 OK\r\n" + _JSON + b"\r\n[")
            for _ in range(2_000):  # 130 MB, unless it is let go
                writer.write(b"0," * 32_768)
                await writer.drain()
        case 3:
            writer.write(b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: 1000\r\n\r\n")
            for _ in range(20):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.25)  # a drop at a time is what the attack is
        case 4:
            _write(
                writer,
                "Content-Type: image/png\r\nContent-Range: bytes 0-1/2€\r\nX: \0\r\n".encode(),
                b"xx",
            )
        case 5:
            _write(writer, f"Location: {rude.private_url}/admin\r\n".encode(), b"", b"302 Found")
        case 6:
            _write(writer, _JSON, b'{"payload": [[[[{"id": "' + b"[" * 50_000)
        case _:
            writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 2_000_000)


def _write(
    writer: asyncio.StreamWriter, head: bytes, body: bytes, status: bytes = b"200 OK"
) -> None:
    writer.write(
        b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n"
        % (status, head, len(body))
        + body
    )
