"""Chatwoot's clock is not ours, and may be set back: nothing stays as it was told by a wrong
one.
"""

import time
from typing import Any

import httpx

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.company import Company
from tests.kit.eventually import eventually


async def test_a_sync_sets_right_what_a_clock_that_was_ahead_has_told(
    shop: Company, sim: ChatwootSim
) -> None:
    """The last webhook was some seconds ahead of the clock that Chatwoot has now: what Chatwoot
    says when it is asked is so.
    """
    display_id = sim.customer_says("Ana", "hello").conversation.display_id
    await _sync(shop)
    assert await _status(shop, display_id) == "Open"
    ahead = {"id": display_id, "status": "resolved", "updated_at": time.time() + 8}
    await shop.post(shop.sample("conversation_status_changed", ahead))
    await eventually(lambda: _is(shop, display_id, "Closed"))
    await _sync(shop)
    assert await _status(shop, display_id) == "Open"


async def _sync(shop: Company) -> None:
    answer = await shop.http.post(
        "/api/chatwoot/sync", json={"integrationId": shop.integration_id}, timeout=60
    )
    assert answer.status_code == httpx.codes.OK, answer.text


async def _status(shop: Company, display_id: int) -> Any:
    (found,) = [
        one for one in await shop.conversations() if one["chatwootConversationId"] == display_id
    ]
    return found["status"]


async def _is(shop: Company, display_id: int, status: str) -> bool:
    return bool(await _status(shop, display_id) == status)
