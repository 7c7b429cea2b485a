"""The simulated Chatwoot's webhook bodies against the samples in tests/payloads."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.lab.chatwoot_sim import ChatwootSim, samples
from server.lab.chatwoot_sim.webhook_bodies import encode_body, iso_ms
from server.lab.chatwoot_sim.webhooks import sign

PAYLOADS = Path(__file__).parents[3] / "payloads"

# free-form hashes: what is in them belongs to the customer, the browser or the sender
FREE_FORM = {"additional_attributes", "content_attributes", "custom_attributes"}

# what the recorded installation adds, which the samples are too old to have
ADDED = {
    *("group", "group_source_id", "group_title", "group_picture", "group_contacts_count"),
    *("bsuid", "whatsapp_username", "company_id", "applied_sla", "sla_events", "sla_policy_id"),
}

ALL_EVENTS = (
    "conversation_status_changed",
    "conversation_updated",
    "conversation_created",
    "contact_created",
    "contact_updated",
    "message_created",
    "message_updated",
    "webwidget_triggered",
    "conversation_typing_on",
    "conversation_typing_off",
)


def shape(value: Any, key: str = "") -> Any:
    """Keys and types of a value: what has to be equal. A list is the shapes of the objects in
    it.
    """
    if key in FREE_FORM:
        return "object"
    if isinstance(value, dict):
        return {name: shape(inner, name) for name, inner in value.items() if name not in ADDED}
    if isinstance(value, list):
        return [shape(inner) for inner in value if isinstance(inner, dict)]
    return type(value).__name__


def keys(value: Any, key: str = "") -> Any:
    """Only the keys, in order, recursively."""
    if isinstance(value, dict) and key not in FREE_FORM:
        return [(name, keys(inner, name)) for name, inner in value.items() if name not in ADDED]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [keys(inner) for inner in value]
    return None


def story() -> dict[str, dict[str, Any]]:
    """The sequence that the samples show, played in the simulator: sample name -> body."""
    sim = ChatwootSim()
    sim.add_webhook("http://127.0.0.1:9/", subscriptions=ALL_EVENTS)
    contact = sim.add_contact(
        "Lea", phone_number="+33612345678", identifier="crm-1", email="lea@example.org"
    )
    bodies: dict[str, dict[str, Any]] = {}

    def latest(event: str) -> dict[str, Any]:
        found = [d for d in sim.webhooks.log if d.event == event][-1]
        decoded: dict[str, Any] = json.loads(found.build())
        return decoded

    bodies["contact_created"] = latest("contact_created")
    sim.update_contact(contact, name="Léa Moreau")
    bodies["contact_updated"] = latest("contact_updated")
    sim.open_widget(contact)
    bodies["webwidget_triggered"] = latest("webwidget_triggered")
    conversation = sim.customer_says(contact, "Hello, where is order #5512?").conversation
    bodies["conversation_created"] = latest("conversation_created")
    reply = sim.agent_says(
        conversation, "Hi Léa, let me check that for you.", content_attributes={"rt_client_id": "x"}
    )
    sim.set_labels(conversation, ["orders"])
    sim.assign(conversation, sim.admin)
    bodies["conversation_updated.assignee"] = latest("conversation_updated")
    sim.customer_says(contact, "Hello, where is order #5512?")
    bodies["message_created.incoming"] = latest("message_created")
    sim.agent_says(conversation, "One moment.")
    sim.typing(conversation, sim.admin, on=False)
    bodies["conversation_typing_off.agent"] = latest("conversation_typing_off")
    sim.typing(conversation, contact, on=True)
    bodies["conversation_typing_on.contact"] = latest("conversation_typing_on")
    sim.set_labels(conversation, ["orders", "vip"])
    bodies["conversation_updated.labels"] = latest("conversation_updated")
    sim.set_status(conversation, "resolved")
    bodies["conversation_status_changed"] = latest("conversation_status_changed")
    sim.agent_says(conversation, "Thank you", content_attributes={"rt_client_id": "x"})
    bodies["message_created.outgoing_agent"] = latest("message_created")
    sim.customer_says(contact, None, conversation=conversation, attachments=[samples.picture()])
    bodies["message_created.incoming_attachment"] = latest("message_created")
    sim.private_note(conversation, "@Tomas refund approved by finance")
    bodies["message_created.private_note"] = latest("message_created")
    sim.delete_message(reply)
    bodies["message_updated.deleted"] = latest("message_updated")
    return bodies


SAMPLES = sorted(p.stem for p in PAYLOADS.glob("*.json") if p.stem != "signature_vector")


def sample_of(name: str) -> dict[str, Any]:
    """With what a running 4.16 was seen to send, and the samples are too old to have: how far the
    message has come.
    """
    sample: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    if not sample["event"].startswith("message_"):
        return sample
    told: dict[str, Any] = {}
    for key, value in sample.items():
        told[key] = value
        if key == "message_type":
            told["status"] = "sent"
    return told


@pytest.mark.parametrize("name", SAMPLES)
def test_body_has_the_keys_of_the_sample(name: str) -> None:
    """Every key, at every depth, in the order Chatwoot writes it."""
    assert keys(story()[name]) == keys(sample_of(name))


@pytest.mark.parametrize("name", SAMPLES)
def test_body_has_the_types_of_the_sample(name: str) -> None:
    """String against int message_type, ISO against unix times, null against 0: Chatwoot mixes them,
    and so does the simulator.
    """
    sample = shape(sample_of(name))
    body = shape(story()[name])
    assert _without_volatile(body) == _without_volatile(sample)


def _without_volatile(value: Any, key: str = "") -> Any:
    """Leaves out fields whose null or number depends on the moment of the story, and changes of
    other columns.
    """
    if isinstance(value, dict):
        skipped = {
            "assignee",
            "assignee_type",
            "first_reply_created_at",
            "changed_attributes",
            "assignee_id",
            "referer",
            "width",
            "height",
        }
        return {
            name: _without_volatile(inner, name)
            for name, inner in value.items()
            if name not in skipped
        }
    if isinstance(value, list):
        return [_without_volatile(inner) for inner in value]
    return value


def test_changed_attributes_are_those_of_the_samples() -> None:
    """One key per object, `updated_at` first, labels under both their names, a status change as
    null.
    """
    bodies = story()
    assert [list(c) for c in bodies["conversation_updated.assignee"]["changed_attributes"]] == [
        ["updated_at"],
        ["assignee_id"],
    ]
    assert [list(c) for c in bodies["conversation_updated.labels"]["changed_attributes"]] == [
        ["updated_at"],
        ["cached_label_list"],
        ["label_list"],
    ]
    assert bodies["conversation_status_changed"]["changed_attributes"] is None


def test_deleted_message_shows_another_one_inside_its_conversation() -> None:
    """The trap of Chatwoot's issue #12613: `conversation.messages[0]` is not the event's
    message.
    """
    body = story()["message_updated.deleted"]
    assert body["content"] == "This message was deleted"
    assert body["content_attributes"] == {"deleted": True}
    assert body["conversation"]["messages"][0]["id"] != body["id"]


def test_body_is_escaped_as_rails_does() -> None:
    """Re-encoding it with another JSON library changes the bytes, so only the raw body can be
    checked.
    """
    body = encode_body({"content": "Tom & Léa <3\u2028\u2029"})
    assert body == '{"content":"Tom \\u0026 Léa \\u003c3\\u2028\\u2029"}'.encode()


def test_signature_vector() -> None:
    """HMAC over timestamp, dot and raw body, with the secret as its text."""
    vector = json.loads((PAYLOADS / "signature_vector.json").read_text())
    signature = sign(vector["secret"], vector["X-Chatwoot-Timestamp"], vector["body_utf8"].encode())
    assert signature == vector["X-Chatwoot-Signature"]


def test_times_are_cut_to_milliseconds() -> None:
    """Ruby's `xmlschema(3)` cuts; rounding would sometimes show a later moment."""
    assert iso_ms(1784365265.2049) == "2026-07-18T09:01:05.204Z"
    assert iso_ms(1784365265.204) == "2026-07-18T09:01:05.204Z"
    assert iso_ms(None) is None
