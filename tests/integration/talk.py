"""One conversation, seen by its agents and in the simulated Chatwoot."""

import httpx

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import OUTGOING
from server.lab.chatwoot_sim.model import Conversation as SimConversation
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually


class Talk:
    """One conversation, seen from both ends."""

    def __init__(
        self, company: Company, sim: ChatwootSim, there: SimConversation, here: Json
    ) -> None:
        self.company = company
        self.sim = sim
        self.there = there
        self.id: int = here["id"]
        self.path = f"/api/conversations/{self.id}"

    async def reply(
        self, content: str = "Of course", *, key: str | None = None, **fields: object
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.company.http.post(
            f"{self.path}/reply", json={"content": content, **fields}, headers=headers
        )

    async def own(self) -> list[Json]:
        """The replies as agents see them, oldest first."""
        return [
            message
            for message in await self.company.thread(self.id)
            if message["senderType"] == "agent"
        ]

    async def ended(self, state: str, *, count: int = 1, limit: float = 15.0) -> list[Json]:
        """The replies, once so many are all in that state and every webhook has been taken in."""

        async def found() -> list[Json]:
            own = await self.own()
            assert [message["deliveryState"] for message in own] == [state] * count, own
            return own

        await eventually(found, limit)
        await self.sim.webhooks.flushed()
        return await eventually(found)

    @property
    def sent(self) -> list[str | None]:
        """What the customer got."""
        return [
            message.content for message in self.there.messages if message.message_type == OUTGOING
        ]
