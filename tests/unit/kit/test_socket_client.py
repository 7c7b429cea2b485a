"""The agent's client resumes with its own cursor and notices every breach of order."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

from tests.kit.socket_client import AgentSocket

Script = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]


@asynccontextmanager
async def _scripted(script: Script) -> AsyncIterator[str]:
    """A server that reads `hello` and then follows the script; yields its address."""

    async def handle(connection: ServerConnection) -> None:
        try:
            await script(connection, json.loads(await connection.recv()))
        except ConnectionClosedError:
            return  # cut by the test

    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"


async def _send(connection: ServerConnection, frame_type: str, **fields: Any) -> None:
    await connection.send(json.dumps({"type": frame_type, **fields}))


async def _send_event(connection: ServerConnection, seq: int) -> None:
    conversation = {"id": 17, "seq": seq}
    await _send(
        connection,
        "event",
        seq=seq,
        kind="conversation.updated",
        at="",
        receivedAt="",
        data={"conversation": conversation},
    )


async def test_resumes_with_its_own_cursor() -> None:
    """After a cut it asks for what follows the last event it saw."""
    hellos: list[dict[str, Any]] = []

    async def script(connection: ServerConnection, hello: dict[str, Any]) -> None:
        hellos.append(hello)
        if hello["cursor"] is None:
            await _send(connection, "welcome", mode="reset", reason="new", cursor="e.4")
            await _send_event(connection, 5)
        else:
            await _send(connection, "welcome", mode="replay", cursor="e.6")
            await _send_event(connection, 6)
            await _send(connection, "live", cursor="e.6")
        await connection.wait_closed()

    async with _scripted(script) as url, AgentSocket(url, token="t") as agent:
        await agent.wait_for_seq(5)
        agent.cut()
        assert await agent.wait_closed() == 1006
        welcome = await agent.resume()
        assert welcome["mode"] == "replay"
        await agent.wait_for(lambda event: event.seq == 6)
        await agent.wait_for_frame("live")
        assert agent.model.conversations == {17: {"id": 17, "seq": 6}}
    assert [(hello["cursor"], hello["token"]) for hello in hellos] == [(None, "t"), ("e.5", "t")]


async def test_answers_ping_with_its_cursor() -> None:
    """The pong tells how far the client is."""
    pongs: list[dict[str, Any]] = []

    async def script(connection: ServerConnection, _hello: dict[str, Any]) -> None:
        await _send(connection, "welcome", mode="reset", reason="new", cursor="e.4")
        await _send(connection, "ping", id=1, cursor="e.4", now="")
        pongs.append(json.loads(await connection.recv()))
        await connection.close(4200)

    async with _scripted(script) as url, AgentSocket(url) as agent:
        assert await agent.wait_closed() == 4200
    assert pongs == [{"type": "pong", "id": 1, "cursor": "e.4"}]


@pytest.mark.parametrize(
    ("seqs", "ping_cursor", "violation"),
    [
        ([5, 5], "e.5", "event 5 after 5"),
        ([6], "e.6", "event 6 after 4"),
        ([5], "e.6", "a ping says e.6"),
    ],
    ids=["doubled", "gap", "lost last"],
)
async def test_notices_a_breach_of_order(seqs: list[int], ping_cursor: str, violation: str) -> None:
    """A test that only waits for its event still fails when another was lost or doubled."""

    async def script(connection: ServerConnection, _hello: dict[str, Any]) -> None:
        await _send(connection, "welcome", mode="reset", reason="new", cursor="e.4")
        for seq in seqs:
            await _send_event(connection, seq)
        await _send(connection, "ping", id=1, cursor=ping_cursor, now="")
        await connection.wait_closed()

    async with _scripted(script) as url:
        with pytest.raises(AssertionError, match=violation):
            async with AgentSocket(url) as agent:
                await agent.wait_for_frame("ping")


async def test_tells_what_it_has_when_waiting_fails() -> None:
    """The message of a wait in vain names cursor and last frames."""

    async def script(connection: ServerConnection, _hello: dict[str, Any]) -> None:
        await _send(connection, "welcome", mode="reset", reason="new", cursor="e.4")
        await connection.wait_closed()

    async with _scripted(script) as url, AgentSocket(url) as agent:
        with pytest.raises(AssertionError, match=r"cursor e\.4.*'welcome'"):
            await agent.wait_for_seq(5, limit=0.05)
