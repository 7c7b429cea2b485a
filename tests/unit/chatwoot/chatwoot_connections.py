"""A client of a simulated Chatwoot on a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from server.chatwoot import (
    ChatwootClient,
    ReadRetries,
    RequestBudget,
)
from server.lab.chatwoot_sim import ChatwootSim, serving

ONCE = ReadRetries(attempts=1)


SHORT = ReadRetries(attempts=3, first_wait_seconds=0.01, longest_wait_seconds=0.02)


def client_of(sim: ChatwootSim, http: httpx.AsyncClient, **options: Any) -> ChatwootClient:
    settings: dict[str, Any] = {
        "retries": SHORT,
        "budget": RequestBudget(pause_seconds=0.0),
        **options,
    }
    token = settings.pop("access_token", sim.admin.access_token)
    return ChatwootClient(
        base_url=sim.base_url, account_id=sim.account.id, access_token=token, http=http, **settings
    )


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[ChatwootSim, ChatwootClient]]:
    sim = ChatwootSim()
    async with serving(sim), httpx.AsyncClient(trust_env=False) as http:
        yield sim, client_of(sim, http, **options)
