"""What every attacker has: a target, a record of its answers, and acts that are repeated until it
is told to stop. Everything goes through the public port.
"""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.kit.eventually import scaled

_OWN_ERRORS = (
    httpx.HTTPError,
    OSError,
    WebSocketException,
    TimeoutError,
    asyncio.IncompleteReadError,
)

_PAUSE_SECONDS = 0.02  # so that attackers and what they attack share the processors


@dataclass
class Haul:
    """What one attacker was answered: how often which status, and where a marked text of the victim
    was in it.
    """

    name: str
    mark: str
    statuses: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)  # what should have been refused
    acts: Counter[str] = field(default_factory=Counter)  # how often each kind was answered at all
    bytes_received: int = 0

    def take(self, what: str, status: str, received: bytes) -> None:
        self.statuses[status] += 1
        self.bytes_received += len(received)
        if self.mark.encode() in received:
            self.leaks.append(f"{what}: {status}")

    def answer(self, what: str, answer: httpx.Response, *, refused: bool = False) -> None:
        """`refused`: a 2xx is a fault."""
        self.acts[what] += 1
        self.take(what, str(answer.status_code), answer.content + str(answer.headers).encode())
        if refused and answer.is_success:
            self.granted.append(f"{what}: {answer.status_code}")


@dataclass(frozen=True)
class Target:
    """Where the attackers go, and what everybody could know of the victim: numbers, addresses, how
    texts are marked.
    """

    urls: tuple[str, ...]
    mark: str
    account_id: int
    inbox_id: int
    email: str

    def client(self, turn: int, address: int, token: str = "", **options: Any) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # without verify=False each client would read all certificates of the machine
        transport = httpx.AsyncHTTPTransport(local_address=f"127.0.1.{address}", verify=False)
        base_url = self.urls[turn % len(self.urls)]
        return httpx.AsyncClient(
            transport=transport, base_url=base_url, headers=headers, timeout=scaled(20), **options
        )


async def repeated(
    stopped: asyncio.Event, haul: Haul, *acts: Callable[[int], Awaitable[None]]
) -> None:
    """Each of `acts` again and again, side by side; a connection that is ended or refused is an
    answer as well.
    """

    async def repeat(act: Callable[[int], Awaitable[None]]) -> None:
        for turn in itertools.count():
            if stopped.is_set() and turn:  # once in any case: who did nothing has tried nothing
                return
            try:
                await act(turn)
            except _OWN_ERRORS:
                haul.statuses["cut"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(repeat(act))


async def send_bad_frames(
    target: Target, turn: int, haul: Haul, hello: Mapping[str, object] | None = None
) -> None:
    """Says hello with nothing good, and floods; what comes is kept."""
    url = target.urls[turn % len(target.urls)].replace("http", "ws", 1) + "/ws"
    async with (
        asyncio.timeout(scaled(20)),
        connect(url, proxy=None, open_timeout=scaled(10), close_timeout=1) as socket,
    ):
        first = json.dumps(hello or {"type": "hello", "token": "x", "cursor": "0.0"})
        frames: list[str | bytes] = [first, "{" * 100, "\0" * 3_000, b"\xff" * 100]
        with contextlib.suppress(WebSocketException):
            for frame in frames[turn % 2 :]:
                await socket.send(frame)
        with contextlib.suppress(WebSocketException):
            async for received in socket:
                haul.take(
                    "socket", "frame", received.encode() if isinstance(received, str) else received
                )
        haul.statuses[f"closed {socket.close_code}"] += 1


Attacker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def attacking(attackers: Sequence[Attacker]) -> AsyncIterator[None]:
    """All of them at once, each ended after its present act."""
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for attacker in attackers:
            group.create_task(attacker(stopped))
        try:
            yield
        finally:
            stopped.set()
