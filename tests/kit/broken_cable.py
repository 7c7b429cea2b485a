"""A Chatwoot whose agents' socket breaks at another step each time: `ended` says at which ones it
has.
"""

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Sequence

from websockets.frames import Opcode
from websockets.utils import accept_key

from tests.kit.hostile_cable import HEAD, framed
from tests.kit.tcp_proxy import reset_connection

STEPS = (
    "at the request",
    "with a refusal",
    "elsewhere",
    "within the head",
    "with a wrong key",
    "before the welcome",
    "within a frame",
    "instead of the subscription",
    "after it",
    "within a message",
    "with a close",
)
_CONFIRMED = framed(json.dumps({"type": "confirm_subscription"}).encode())


class BrokenCable:
    def __init__(self, account_id: int, inbox_id: int, steps: Sequence[str]) -> None:
        self.url = ""
        self.ended = set[str]()
        accounts = [{"id": account_id, "role": "administrator"}]
        self._profile = {"id": 1, "name": "x", "pubsub_token": "x", "accounts": accounts}
        self._inboxes = {"payload": [{"id": inbox_id, "name": "x", "channel_type": "Channel::Api"}]}
        self._steps = itertools.cycle(steps)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/cable " in head:
                await self._break(next(self._steps), head.decode(), reader, writer)
            else:
                answer = self._profile if b"/profile" in head else self._inboxes
                body = json.dumps(answer).encode()
                kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                writer.write(kind + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        writer.close()

    async def _break(
        self, step: str, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        place = STEPS.index(step)
        [key] = re.findall(r"(?i)sec-websocket-key: (\S+)", head)
        accepted = HEAD.format(
            accept_key(key if step != "with a wrong key" else "AAAAAAAAAAAAAAAAAAAAAA==")
        ).encode()
        said = {
            "at the request": b"",
            "with a refusal": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "elsewhere": (
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/cable\r\nContent-Length: "
                b"0\r\n\r\n"
            ),
            "within the head": accepted[:40],
        }.get(step, accepted)
        if place >= STEPS.index("within a frame"):
            said += framed(b'{"type": "welcome"}')
        if step == "within a frame":
            said += _CONFIRMED[:5]
        elif step == "instead of the subscription":
            said += framed(b'{"type": "reject_subscription"}')
        elif place > STEPS.index("instead of the subscription"):
            said += _CONFIRMED
        if step == "within a message":
            said += framed(b"x" * 70_000, fin=False)
        elif step == "with a close":
            said += framed(b"\x03\xe8", Opcode.CLOSE)
        writer.write(said)
        await writer.drain()
        if step == "instead of the subscription":
            while await reader.read(1_000):  # it is the other side's to go
                pass
        elif place % 2:
            reset_connection(writer.transport)
        self.ended.add(step)


@contextlib.asynccontextmanager
async def broken_cable(
    account_id: int, inbox_id: int, steps: Sequence[str] = STEPS
) -> AsyncIterator[BrokenCable]:
    """One step after the other, again and again."""
    broken = BrokenCable(account_id, inbox_id, steps)
    server = await asyncio.start_server(broken.answer, "127.0.0.1", 0)
    broken.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield broken
    finally:
        server.close()
