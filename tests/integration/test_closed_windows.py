"""A reply that its channel surely does not take any more is refused; everything else goes on."""

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.talk import Talk
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.webhook import WEBHOOK_PATH

HOUR = 3_600
DAY = 24 * HOUR


async def _talk(shop: Company, sim: ChatwootSim, channel: str, seconds_ago: float) -> Talk:
    """The customer wrote so long ago, and Chatwoot has said nothing since."""
    sim.inbox.channel = channel
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    with sim.time_shifted(-seconds_ago):
        there = sim.customer_says("Rahima", "Is it still there?").conversation
    here = await shop.conversation_with(1, display_id=there.display_id)
    return Talk(shop, sim, there, here)


async def _told(talk: Talk, label: str) -> None:
    """A change of the conversation was taken in, with what Chatwoot says of it then."""
    talk.sim.set_labels(talk.there, [label])

    async def is_there() -> bool:
        return bool((await talk.company.get(talk.path))["labels"] == [label])

    await eventually(is_there)


@pytest.mark.parametrize(
    ("channel", "seconds_ago"),
    [
        ("Channel::Whatsapp", 25 * HOUR),
        ("Channel::Tiktok", 49 * HOUR),
        ("Channel::FacebookPage", 8 * DAY),
        ("Channel::Instagram", 8 * DAY),
    ],
)
async def test_a_reply_after_the_window_is_refused_and_a_note_taken(
    shop: Company, sim: ChatwootSim, channel: str, seconds_ago: float
) -> None:
    """With a key or without; nothing of it is kept, and nothing reaches Chatwoot. The customer's
    next message opens it.
    """
    talk = await _talk(shop, sim, channel, seconds_ago)
    for key in ("one", None):
        refused = await talk.reply("Of course", key=key)
        told = refused.json()
        assert (refused.status_code, told["code"]) == (422, "window_closed"), told
        assert refused.headers["content-type"] == "application/problem+json"
        assert told["replyClosedReason"] == "expired"
        assert "once the customer has written" in told["message"]
    assert await talk.own() == []
    note = await talk.reply("A colleague should call", key="note", private=True)
    assert note.status_code == 201
    await eventually(lambda: talk.sent == ["A colleague should call"])
    sim.customer_says(talk.there.contact, "Hello?", conversation=talk.there)
    await shop.conversation_with(3, display_id=talk.there.display_id)
    assert (await talk.reply("Of course", key="one")).status_code == 201


async def test_what_was_accepted_stays_accepted(shop: Company, sim: ChatwootSim) -> None:
    """It is answered as before when its request is repeated after Chatwoot's no, and a new one is
    refused.
    """
    talk = await _talk(shop, sim, "Channel::Whatsapp", 60)
    first = await talk.reply("Of course", key="one")
    legacy = await talk.reply("We have it")
    assert (first.status_code, legacy.status_code) == (201, 201)
    await talk.ended("sent", count=2)
    with sim.time_shifted(25 * HOUR):
        await _told(talk, "late")
    again, legacy_again = await talk.reply("Of course", key="one"), await talk.reply("We have it")
    for before, after in ((first, again), (legacy, legacy_again)):
        assert (after.status_code, after.json()["id"]) == (200, before.json()["id"])
    for key in ("two", None):
        refused = await talk.reply("Shall I send it?", key=key)
        assert (refused.status_code, refused.json()["code"]) == (422, "window_closed")
    assert (await talk.reply("Another text", key="one")).json()["code"] == "idempotency_key_reused"


async def test_a_customer_who_has_yet_to_write_is_not_answered(
    shop: Company, sim: ChatwootSim
) -> None:
    """Chatwoot says no of a conversation that an agent began there."""
    sim.inbox.channel = "Channel::Whatsapp"
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    there = sim.start_conversation(sim.add_contact("Rahima"), sim.inbox)
    sim.agent_says(there, "May we help?")
    here = await shop.conversation_with(1, display_id=there.display_id)
    refused = await Talk(shop, sim, there, here).reply("Of course")
    assert (refused.status_code, refused.json()["replyClosedReason"]) == (422, "no_message")


@pytest.mark.parametrize(
    ("channel", "seconds_ago"),
    [
        ("Channel::FacebookPage", 25 * HOUR),
        ("Channel::Instagram", 6 * DAY),
        ("Channel::Whatsapp", 24 * HOUR - 60),
    ],
)
async def test_what_is_not_certain_is_left_to_the_channel(
    shop: Company, sim: ChatwootSim, channel: str, seconds_ago: float
) -> None:
    """Chatwoot may have the longer window. This one has not, and the reply says so."""
    talk = await _talk(shop, sim, channel, seconds_ago)
    assert (await talk.reply("Of course", key="one")).status_code == 201
    if channel == "Channel::Whatsapp":
        await talk.ended("sent")
        return
    [own] = await talk.ended("failed")
    assert own["deliveryError"]["code"] == "channel_window"


@pytest.mark.parametrize("channel", ["Channel::WebWidget", "Channel::Email", "Channel::Api"])
async def test_a_channel_without_a_window_takes_replies_for_ever(
    shop: Company, sim: ChatwootSim, channel: str
) -> None:
    talk = await _talk(shop, sim, channel, 400 * DAY)
    assert (await talk.reply("Of course")).status_code == 201
    await talk.ended("sent")


async def test_whatsapp_outside_of_its_window_sends_templates_alone(
    shop: Company, sim: ChatwootSim
) -> None:
    """As a reply that waited for Chatwoot until the window was over: accepted, and then refused."""
    talk = await _talk(shop, sim, "Channel::Whatsapp", 24 * HOUR - 60)
    with sim.time_shifted(HOUR):
        assert (await talk.reply("Of course", key="one")).status_code == 201
        [own] = await talk.ended("failed")
    assert own["deliveryError"]["code"] == "channel_template"


async def test_an_open_answer_of_chatwoot_counts_however_old_the_conversation_is(
    shop: Company, sim: ChatwootSim
) -> None:
    """A sync reads of a conversation that has not changed for days that a reply is possible: then
    no window of the channel is in force.
    """
    talk = await _talk(shop, sim, "Channel::Whatsapp", 3 * DAY)
    assert (await talk.reply("Of course")).status_code == 422
    sim.inbox.window_hours = 0
    answer = await shop.http.post("/api/chatwoot/sync", json={})
    assert answer.status_code == 200
    assert (await shop.get(talk.path))["replyWindow"] is None
    assert (await talk.reply("Of course")).status_code == 201
    await talk.ended("sent")
