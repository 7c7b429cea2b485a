"""A client of Chatwoot's agents' socket, as its own page is one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import User
from server.lab.chatwoot_sim.sim_cable import PROTOCOL, pubsub_token

Json = dict[str, Any]


class Dashboard:
    """What came, and what to send."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.frames: list[Json] = []

    @property
    def messages(self) -> list[Json]:
        return [
            frame["message"] for frame in self.frames if "message" in frame and "type" not in frame
        ]

    def events(self) -> list[str]:
        return [message["event"] for message in self.messages]

    async def subscribe(self, user: User, account_id: int, token: str | None = None) -> None:
        identifier = {
            "channel": "RoomChannel",
            "pubsub_token": token or pubsub_token(user),
            "account_id": account_id,
            "user_id": user.id,
        }
        await self._connection.send(
            json.dumps({"command": "subscribe", "identifier": json.dumps(identifier)})
        )

    async def read(self) -> None:
        async for text in self._connection:
            self.frames.append(json.loads(text))


@asynccontextmanager
async def dashboard(sim: ChatwootSim) -> AsyncIterator[Dashboard]:
    url = sim.base_url.replace("http", "ws") + "/cable"
    protocols = [Subprotocol(PROTOCOL)]
    async with (
        connect(url, subprotocols=protocols, close_timeout=1) as connection,
        asyncio.TaskGroup() as group,
    ):
        assert connection.subprotocol == PROTOCOL
        client = Dashboard(connection)
        reading = group.create_task(client.read())
        yield client
        reading.cancel()
