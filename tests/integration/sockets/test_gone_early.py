"""Clients that go in the middle of their welcome."""

import asyncio

from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket


async def test_a_client_that_goes_while_it_is_welcomed(company: Company, server: Omni) -> None:
    """It leaves nothing behind, in the log (the fixture looks) or among the sockets; others are
    welcomed meanwhile.
    """

    async def come_and_go() -> None:
        socket = AgentSocket(server.ws_url, token=company.token(), cursor=None)
        async with asyncio.TaskGroup() as group:
            socket._tasks = group
            await socket.open()
            await socket.say_hello()
            socket.cut()

    async with asyncio.TaskGroup() as group:
        for _ in range(150):
            group.create_task(come_and_go())
    async with company.socket() as other:
        await other.wait_for_frame("welcome")

    async def is_alone() -> bool:
        async with server.client() as http:
            sockets = (await http.get("/readyz")).json()["sockets"]
        assert sockets == 0, sockets
        return True

    await eventually(is_alone, 30)
