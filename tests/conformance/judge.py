"""Plays the server's half of a conversation, and says where the client departs from its own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.conformance.conversations import Conversation, Step
from tests.kit.eventually import scaled

_ANSWER_SECONDS = 10.0


class Departure(Exception):
    """The client did not do what the protocol asks of it, at this step."""


class Judge:
    """`async with Judge() as judge:` listens on `judge.url`; the client under test is pointed
    there, then `play` judges it.
    """

    def __init__(self, port: int = 0) -> None:
        self._wanted_port = port
        self._arrivals: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self._line: ServerConnection | None = None
        self._server: Server | None = None

    async def __aenter__(self) -> "Judge":
        self._server = await serve(
            self._on_connection, "127.0.0.1", self._wanted_port, compression=None
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        [listener] = self._server.sockets
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"

    async def play(self, conversation: Conversation) -> None:
        """Raises Departure."""
        for number, step in enumerate(conversation["steps"], 1):
            try:
                await self._step(step)
            except Departure as departure:
                raise Departure(
                    f"{conversation['name']}, step {number} {json.dumps(step)[:200]}: {departure}"
                ) from None
        if self._line is not None:
            await self._line.close(4003)  # final: the client is done
            self._line = None

    async def _step(self, step: Step) -> None:
        if "connection" in step:
            await self._await_connection(step["connection"] / 1000)
        elif "silence" in step:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(step["silence"] / 1000):
                    await self._arrivals.get()
                    raise Departure("the client came back")
        elif "join" in step:
            await self._join(step["join"], step["welcome"])
        elif "expect" in step:
            await self._expect(step["expect"], step["fields"])
        else:
            assert self._line is not None
            with contextlib.suppress(ConnectionClosed):
                if "say" in step:
                    await self._say(step["say"])
                elif "close" in step:
                    await self._line.close(step["close"])
                else:
                    self._line.transport.abort()

    async def _await_connection(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(scaled(seconds)):
                self._line = await self._arrivals.get()
        except TimeoutError:
            raise Departure("the client did not come") from None

    async def _say(self, frame: dict[str, Any]) -> None:
        """As the server writes it: compact."""
        assert self._line is not None
        await self._line.send(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))

    async def _join(self, cursor: str, welcome: dict[str, Any]) -> None:
        hello = await self._hear("hello")
        if hello.get("cursor") not in (None, cursor):
            raise Departure(f"the client's first cursor is {hello['cursor']}, which it cannot know")
        await self._say(
            welcome if hello.get("cursor") else welcome | {"mode": "reset", "reason": "new"}
        )

    async def _expect(self, kind: str, fields: dict[str, Any]) -> None:
        said = await self._hear(kind)
        wrong = {name: said.get(name) for name, value in fields.items() if said.get(name) != value}
        if wrong:
            raise Departure(f"the client said {wrong} instead of {fields}")

    async def _hear(self, kind: str) -> dict[str, Any]:
        """The next frame of that type; what a client says of its own accord (viewing, typing) may
        stand before it.
        """
        assert self._line is not None
        try:
            async with asyncio.timeout(scaled(_ANSWER_SECONDS)):
                while (said := json.loads(await self._line.recv()))["type"] != kind:
                    if said["type"] not in ("viewing", "typing"):
                        raise Departure(f"the client said {said}")
        except (TimeoutError, ConnectionClosed):
            raise Departure(f"the client did not say {kind}") from None
        return dict(said)

    async def _on_connection(self, connection: ServerConnection) -> None:
        await self._arrivals.put(connection)
        await connection.wait_closed()


async def applied_by(process: asyncio.subprocess.Process) -> list[int]:
    """What a client that is a program has applied: a line for each event, with its number."""
    assert process.stdout is not None
    lines = [line async for line in _lines(process.stdout)]
    return [int(line) for line in lines if line.strip().isdigit()]


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    while line := await stream.readline():
        yield line.decode()
