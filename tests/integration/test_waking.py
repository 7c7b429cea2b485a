"""A snoozed or pending conversation is open in our list; to open it wakes it in Chatwoot."""

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import one_stack, registered
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually


@one_stack
@pytest.mark.parametrize("status", ["snoozed", "pending"])
async def test_to_open_one_wakes_it_in_chatwoot(
    shop: Company, sim: ChatwootSim, status: str
) -> None:
    await registered(shop)
    sim.customer_says("Sleepy", "On Monday, please")

    async def told(word: str) -> Json | None:
        found = await shop.conversations(status="Open")
        return next((one for one in found if one["chatwootStatus"] == word), None)

    number = (await eventually(lambda: told("open"), 30))["chatwootConversationId"]
    until = 4_102_444_000.0 if status == "snoozed" else None
    sim.set_status(number, status, snoozed_until=until)
    asleep = await eventually(lambda: told(status), 30)
    assert (asleep["snoozedUntil"] is not None) == (status == "snoozed")
    woken = await shop.http.patch(f"/api/conversations/{asleep['id']}", json={"status": "Open"})
    assert woken.status_code == 200, woken.text
    assert (woken.json()["chatwootStatus"], woken.json()["snoozedUntil"]) == ("open", None)
    assert sim.resolve(number).status == "open"
