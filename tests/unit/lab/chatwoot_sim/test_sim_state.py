"""What follows from what people do in the simulated Chatwoot."""

import json
from typing import Any

import pytest

from server.lab.chatwoot_sim import ChatwootSim, samples, seed, seed_kinds
from server.lab.chatwoot_sim.model import API_CHANNEL, UNREAD_CAP
from server.lab.chatwoot_sim.sim_database import MissingRecord


class Clock:
    """Unix seconds that stand still until told."""

    def __init__(self) -> None:
        self.now = 1_784_365_265.0

    def __call__(self) -> float:
        return self.now


def watched(**options: Any) -> ChatwootSim:
    sim = ChatwootSim(**options)
    sim.add_webhook("http://127.0.0.1:9/")
    return sim


def told(sim: ChatwootSim) -> list[str]:
    """Events queued so far, oldest first; forgets them."""
    names = [delivery.event for delivery in sim.webhooks.log]
    sim.webhooks.log.clear()
    return names


def last_body(sim: ChatwootSim, event: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(
        [d for d in sim.webhooks.log if d.event == event][-1].build()
    )
    return decoded


def test_first_message_of_a_stranger() -> None:
    """Contact, conversation, message, and a contact_updated that only says that the contact was
    active.
    """
    sim = watched()
    message = sim.customer_says("Léa", "Hello")
    assert message.conversation.display_id == 1
    assert told(sim) == [
        "contact_created",
        "conversation_created",
        "message_created",
        "contact_updated",
    ]


def test_reply_of_an_agent_ends_the_waiting() -> None:
    """message_created, then conversation_updated for first_reply_created_at and waiting_since."""
    sim = watched()
    conversation = sim.customer_says("Léa", "Hello").conversation
    told(sim)
    sim.agent_says(conversation, "Hi")
    changes = last_body(sim, "conversation_updated")["changed_attributes"]
    assert told(sim) == ["message_created", "conversation_updated"]
    assert [next(iter(change)) for change in changes] == [
        "updated_at",
        "first_reply_created_at",
        "waiting_since",
    ]
    assert conversation.unread_count == 0


def test_private_note_changes_nothing_else() -> None:
    """Only message_created; the payload's `messages` still shows the last public one."""
    sim = watched()
    conversation = sim.customer_says("Léa", "Hello").conversation
    told(sim)
    sim.private_note(conversation, "secret")
    body = last_body(sim, "message_created")
    assert body["private"]
    assert body["conversation"]["messages"][0]["content"] == "Hello"
    assert told(sim) == ["message_created"]


def test_template_has_no_sender() -> None:
    """A greeting has type `template` and sender null."""
    sim = watched()
    conversation = sim.customer_says("Léa", "Hello").conversation
    sim.template_says(conversation, "We are here from 10 to 6")
    body = last_body(sim, "message_created")
    assert (body["message_type"], body["sender"]) == ("template", None)


def test_customer_reopens_a_resolved_conversation_of_the_widget() -> None:
    """Status events come with the message, and the conversation stays the same one."""
    sim = watched()
    conversation = sim.customer_says("Léa", "Hello").conversation
    sim.set_status(conversation, "resolved")
    told(sim)
    assert sim.customer_says("Léa", "One more thing").conversation is conversation
    assert conversation.status == "open"
    assert told(sim)[:3] == [
        "conversation_status_changed",
        "conversation_updated",
        "message_created",
    ]


def test_customer_of_another_channel_starts_a_new_conversation() -> None:
    """After resolving, channels like WhatsApp begin a new conversation: same contact, next display
    id.
    """
    sim = watched()
    inbox = sim.add_inbox("WhatsApp", account=sim.account, channel="Channel::Whatsapp")
    first = sim.customer_says("Léa", "Hello", inbox_id=inbox.id).conversation
    sim.set_status(first, "resolved")
    second = sim.customer_says("Léa", "Again", inbox_id=inbox.id).conversation
    assert (first.status, second.display_id, second.contact) == ("resolved", 2, first.contact)


def test_display_ids_count_per_account_and_message_ids_do_not() -> None:
    """The same display id in two accounts; message ids are unique in the whole installation."""
    sim = ChatwootSim()
    other = sim.add_account("Other")
    inbox = sim.add_inbox("Site", account=other)
    here, there = sim.customer_says("Léa", "a"), sim.customer_says("Léa", "b", inbox_id=inbox.id)
    assert here.conversation.display_id == there.conversation.display_id == 1
    assert here.id != there.id


def test_deleting_moves_nothing_but_the_message() -> None:
    """The conversation's updated_at stays (issue #13770), attachments are gone."""
    clock = Clock()
    sim = watched(clock=clock)
    message = sim.customer_says("Léa", None, attachments=[samples.picture()])
    before = message.conversation.updated_at
    clock.now += 10
    told(sim)
    sim.delete_message(message)
    assert (message.conversation.updated_at, message.attachments) == (before, [])
    assert "attachments" not in last_body(sim, "message_updated")
    assert told(sim) == ["message_updated"]


def test_unread_is_capped_and_cleared_silently() -> None:
    """At most 10; looking at it sends no webhook and does not move updated_at."""
    clock = Clock()
    sim = watched(clock=clock)
    for _ in range(UNREAD_CAP + 3):
        clock.now += 1
        conversation = sim.customer_says("Léa", "Hello").conversation
    assert conversation.unread_count == UNREAD_CAP
    told(sim)
    sim.mark_seen(conversation)
    assert (conversation.unread_count, told(sim)) == (0, [])


def test_merge_and_delete_tell_nobody() -> None:
    """No event exists for them; the conversation goes on under the kept contact's id."""
    sim = watched()
    conversation = sim.customer_says("quiet-sun-88", "Hello").conversation
    kept = sim.add_contact("Léa")
    told(sim)
    sim.merge_contacts(kept, conversation.contact)
    assert conversation.contact is kept
    assert sim.customer_says(kept, "Still me").conversation is conversation
    told(sim)
    sim.delete_conversation(conversation)
    assert told(sim) == []
    with pytest.raises(MissingRecord):
        sim.agent_says(conversation, "too late")


def test_callback_of_an_api_inbox_doubles_every_event() -> None:
    """The same address as account webhook and as inbox callback gets everything twice, signed with
    two secrets.
    """
    sim = watched()
    inbox = sim.add_inbox(
        "API", account=sim.account, channel=API_CHANNEL, webhook_url="http://127.0.0.1:9/"
    )
    sim.customer_says("Léa", "Hello", inbox_id=inbox.id)
    copies = [d for d in sim.webhooks.log if d.event == "message_created"]
    assert len(copies) == len({d.id for d in copies}) == len({d.secret for d in copies}) == 2


def test_late_payload_shows_the_state_of_its_moment() -> None:
    """Chatwoot builds the payload when the job runs: `messages[0]` may be newer than the event's
    message.
    """
    sim = watched()
    sim.switches.set(late_payload=True)
    conversation = sim.customer_says("Léa", "first").conversation
    sim.agent_says(conversation, "second")
    first = next(d for d in sim.webhooks.log if d.event == "message_created")
    body = json.loads(first.build())
    assert (body["content"], body["conversation"]["messages"][0]["content"]) == ("first", "second")


def test_seed_is_a_lifelike_week() -> None:
    """Every state a list can show occurs, and times lie in the past, in order."""
    sim = ChatwootSim()
    conversations = seed(sim)
    assert len(conversations) == 20
    assert {c.status for c in conversations} == {"open", "resolved", "pending", "snoozed"}
    assert any(c.assignee for c in conversations)
    assert any(m.private for m in sim.messages.values())
    assert sim.attachments
    assert all(m.created_at <= sim.now() for m in sim.messages.values())
    for conversation in conversations:
        times = [m.created_at for m in conversation.messages]
        assert times == sorted(times)


def test_the_seed_of_kinds_is_of_several_channels_and_of_the_last_hours() -> None:
    """It comes after the sample customers' conversations, and leaves them as they are."""
    sim = ChatwootSim()
    seeded = seed(sim)
    before = {c.display_id: len(c.messages) for c in seeded}
    seed_kinds(sim)
    assert {c.display_id: len(c.messages) for c in seeded} == before
    added = [c for c in sim.conversations.values() if c.display_id not in before]
    assert len({c.inbox.channel for c in added}) >= 8
    kinds = {m.content_type for c in added for m in c.messages}
    assert kinds >= {"sticker", "cards", "form", "input_select", "incoming_email", "voice_call"}
    now = sim.now()
    assert all(now - 4 * 3600 < m.created_at < now - 1800 for c in added for m in c.messages)


def test_switches_refuse_nonsense_as_a_whole() -> None:
    """One wrong value leaves all of them as they were."""
    switches = ChatwootSim().switches
    with pytest.raises(ValueError, match="drop_rate"):
        switches.set(latency_seconds=1.0, drop_rate=7)
    assert switches.latency_seconds == 0
    with pytest.raises(ValueError, match="unknown field"):
        switches.set(explode=True)
