"""A process that is asked to stop: it says so, lets nobody new in, and does its work until its last
agent has gone.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.eventually import eventually
from tests.kit.omni import COMMAND, Omni
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import delivery_of, simple_payload

LONG = {"DRAIN_SECONDS": "0", "DRAIN_LEAST_SECONDS": "300"}  # ended by the tests themselves


@asynccontextmanager
async def started(directory: Path, **env: str) -> AsyncIterator[Omni]:
    server = Omni(directory, database_url=f"sqlite:///{directory / 'omni.db'}", env=env)
    await asyncio.to_thread(server.prepare)
    await asyncio.to_thread(server.add_integration)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.kill9)


async def readyz(server: Omni) -> tuple[int, dict[str, Any]]:
    async with server.client() as http:
        answer = await http.get("/readyz")
    return answer.status_code, answer.json()


async def wait_draining(server: Omni) -> dict[str, Any]:
    async def is_draining() -> bool:
        return bool((await readyz(server))[1]["status"] == "draining")

    await eventually(is_draining)
    return (await readyz(server))[1]


async def test_a_draining_process_says_so_and_still_does_its_work(tmp_path: Path) -> None:
    """From the signal on: 503 and `draining`, new sockets refused by HTTP; webhooks, lists and
    pages are answered, and connections end.
    """
    async with started(tmp_path, **LONG) as server, server.client(server.token()) as agent:
        assert (await readyz(server))[0] == 200
        os.kill(server.process.pid, signal.SIGTERM)
        report = await wait_draining(server)
        assert (await readyz(server))[0] == 503
        assert "about to stop" in str(report["problems"])
        with pytest.raises(InvalidStatus) as refused:
            await AgentSocket(server.ws_url, token=server.token()).open()
        assert refused.value.response.status_code == 503
        kept = await delivery_of(simple_payload()).post(agent)
        assert (kept.status_code, kept.headers["connection"]) == (200, "close")
        assert kept.headers.get_list("date")

        async def is_listed() -> bool:
            return len((await agent.get("/api/conversations")).json()) == 1

        await eventually(is_listed)


async def test_the_last_socket_ends_the_drain(tmp_path: Path) -> None:
    """An agent is told when to go; when it has gone the port is closed and the process over.
    `omni-inbox drain` waits for that.
    """
    async with started(tmp_path, DRAIN_SECONDS="60") as server, asyncio.TaskGroup() as group:
        async with AgentSocket(server.ws_url, token=server.token()) as agent:
            argv = [str(COMMAND), "drain", "--port", str(server.port)]
            command = await asyncio.create_subprocess_exec(
                *argv, env=server.env, stdout=asyncio.subprocess.PIPE
            )
            output = group.create_task(command.communicate())
            await agent.wait_until(lambda: bool(agent.frames_of("drain")))
            assert agent.frames_of("drain")[0]["inMs"] < 60_000
            assert (await wait_draining(server))["sockets"] == 1
            assert agent.is_open
        assert b"is drained and free" in (await output)[0]
        assert not server.process.is_running


async def test_sockets_that_do_not_go_are_closed_at_their_moment(tmp_path: Path) -> None:
    """4200, one after the other; then the process ends by itself."""
    async with started(tmp_path, DRAIN_SECONDS="0.5") as server:
        async with (
            AgentSocket(server.ws_url, token=server.token()) as one,
            AgentSocket(server.ws_url, token=server.token()) as other,
        ):
            os.kill(server.process.pid, signal.SIGTERM)
            assert {await one.wait_closed(), await other.wait_closed()} == {4200}
        await eventually(lambda: not server.process.is_running)
        assert server.process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in server.log
