"""Connecting an agent's own access token of Chatwoot, as the tests of it do."""

import httpx

from server.lab.chatwoot_sim.model import OUTGOING, User
from tests.integration.talk import Talk

PATH = "/api/me/own-tokens"


async def connect(talk: Talk, token: str, number: int | None = None) -> httpx.Response:
    place = talk.company.integration_id if number is None else number
    return await talk.company.http.put(f"{PATH}/{place}", json={"accessToken": token})


async def shown(talk: Talk) -> dict[str, object]:
    [one] = await talk.company.get(PATH)
    found: dict[str, object] = one
    return found


def senders(talk: Talk) -> list[str]:
    """The names under which Chatwoot has what was sent."""
    return [
        message.sender.name if isinstance(message.sender, User) else "nobody"
        for message in talk.there.messages
        if message.message_type == OUTGOING
    ]
