"""What the inbox says of a message is what Chatwoot says: edited, delivered, read, refused; by
webhook and by asking.
"""

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import Conversation as SimConversation
from tests.integration.integration_admin import admin
from tests.integration.test_admin_pages import text_of
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.webhook import WEBHOOK_PATH


async def _sync(shop: Company) -> None:
    answer = await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    assert answer.json()["integrations"][0]["errors"] == []


async def _messages(shop: Company, there: SimConversation) -> list[Json]:
    """The thread, once it has as many messages as Chatwoot's: a reply is here before it is
    there.
    """

    async def found() -> list[Json] | None:
        for one in await shop.conversations():
            if one["chatwootConversationId"] == there.display_id:
                thread = await shop.thread(one["id"])
                return thread if len(thread) == len(there.messages) else None
        return None

    return await eventually(found)


async def _are(shop: Company, there: SimConversation, *states: str | None) -> bool:
    found = [message["deliveryState"] for message in await _messages(shop, there)]
    assert found == [*states], found
    return True


async def test_delivered_and_read_are_found_by_asking(shop: Company, sim: ChatwootSim) -> None:
    """Of a message written in Chatwoot and of a reply written here; `read` does not go back, and a
    failure is shown after all that.
    """
    there = sim.customer_says("Rahima", "Is it still there?").conversation
    answered = sim.agent_says(there, "It is")
    await _sync(shop)
    here = await shop.conversation_with(2, display_id=there.display_id)
    assert (
        await shop.http.post(
            f"/api/conversations/{here['id']}/reply", json={"content": "Shall I send it?"}
        )
    ).status_code == 201
    await eventually(lambda: _are(shop, there, None, None, "sent"), 15.0)
    reply = there.messages[-1]
    sim.mark_arrived(answered, "read")
    sim.mark_arrived(reply, "delivered")
    await _sync(shop)
    assert await _are(shop, there, None, "read", "delivered")
    sim.mark_arrived(answered, "delivered")
    sim.mark_failed(reply, "the number is not reachable")
    await _sync(shop)
    assert await _are(shop, there, None, "read", "failed")
    sim.retry_message(reply)
    sim.mark_arrived(reply, "read")
    await _sync(shop)
    assert await _are(shop, there, None, "read", "read")


async def test_the_channels_own_words_are_for_administrators(
    shop: Company, sim: ChatwootSim
) -> None:
    """Agents get a code and a sentence, by REST and by events; the message's trace, which is for
    administrators, has what Chatwoot kept.
    """
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    words = "undefined method `message_id' for nil"
    there = sim.customer_says("Rahima", "Is it still there?").conversation
    for text in ("131047: Re-engagement message", words):
        sim.mark_failed(sim.agent_says(there, "It is"), text)
    await eventually(lambda: _are(shop, there, None, "failed", "failed"))
    thread = await _messages(shop, there)
    assert [one["deliveryError"]["code"] for one in thread[1:]] == ["channel_window", "channel"]
    events = (await shop.http.get("/api/events", params={"cursor": "0"})).text
    for shown in (str(thread), events):
        assert "undefined" not in shown
        assert "Re-engagement" not in shown
    path = f"/api/messages/{thread[2]['id']}/trace"
    assert (await shop.http.get(path)).status_code == 403
    async with admin(shop) as http:
        trace = (await http.get(path)).json()["message"]
        assert trace["deliveryError"] == {"code": "channel", "message": words}
        page = await http.get(f"/admin/ledger/messages/{thread[2]['id']}")
        assert words in text_of(page)


async def test_an_event_of_the_conversation_tells_what_has_arrived(
    shop: Company, sim: ChatwootSim
) -> None:
    """Its last message's status, and in the web chat all that was written before the customer
    looked: events like any other.
    """
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    there = sim.customer_says("Rahima", "Is it still there?").conversation
    sim.agent_says(there, "It is")
    last = sim.agent_says(there, "Shall I send it?")
    await eventually(lambda: _are(shop, there, None, None, None))
    async with shop.socket() as agent:
        sim.mark_arrived(last, "delivered")
        sim.set_priority(there, "high")
        await agent.wait_for(
            lambda e: (
                e.kind == "message.updated" and e.data["message"]["deliveryState"] == "delivered"
            )
        )
        there.contact_last_seen_at = last.created_at + 2
        sim.set_priority(there, "low")
        for message in (await _messages(shop, there))[1:]:
            number = message["id"]
            await agent.wait_for(
                # awaited at once
                lambda e: (
                    "message" in e.data
                    and (e.data["message"]["id"], e.data["message"]["deliveryState"])
                    == (number, "read")  # noqa: B023
                )
            )
    assert await _are(shop, there, None, "read", "read")


@pytest.mark.parametrize("is_told", [True, False], ids=["told by a webhook", "found by asking"])
async def test_an_edit_is_shown_as_one(shop: Company, sim: ChatwootSim, is_told: bool) -> None:
    """With the time at which we learned of it, as Chatwoot tells none; a deletion is no edit."""
    if is_told:
        sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    said = sim.customer_says("Rahima", "Two please")
    if not is_told:
        await _sync(shop)
    (message,) = await _messages(shop, said.conversation)
    assert message["editedAt"] is None

    async def is_now(content: str) -> Json:
        (message,) = await _messages(shop, said.conversation)
        assert message["content"] == content
        return message

    sim.edit_message(said, "Three please")
    if not is_told:
        await _sync(shop)
    assert (await eventually(lambda: is_now("Three please")))["editedAt"] > message["createdAt"]
    sim.delete_message(said)
    if not is_told:
        await _sync(shop)
    assert (await eventually(lambda: is_now(said.content or "")))["editedAt"] is None
