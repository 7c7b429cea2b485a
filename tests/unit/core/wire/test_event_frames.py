"""Events: the JSON clients get, and batches that travel on the bus and come out as they went in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.state.entities import Attachment, Contact, Conversation, DeliveryError, Message
from server.core.state.refusals import SENTENCES
from server.core.state.views import agent_view, preview_of
from server.core.wire.event_frames import (
    EventBatch,
    encode_batch,
    encode_event,
    parse_batch,
)
from tests.unit.states import BASE_US

CONVERSATION = Conversation(
    17,
    1,
    "chatwoot",
    "chatwoot_111_67890",
    "John Doe",
    "Open",
    BASE_US,
    BASE_US,
    None,
    contact=Contact(id=111),
    seq=4,
)
MESSAGE = Message(
    991,
    17,
    "agent",
    "line\nbreak\r\u2028 <b>\x00",
    BASE_US,
    attachments=(Attachment(1, "image"),),
    delivery_error=DeliveryError("channel", "no"),
)


def test_an_event_holds_both_objects_whole() -> None:
    """As REST gives them, so that applying is an upsert."""
    event = json.loads(
        encode_event(5, "message.created", BASE_US, BASE_US + 1000, CONVERSATION, MESSAGE, None)
    )
    assert (event["type"], event["seq"], event["kind"]) == ("event", 5, "message.created")
    assert (event["at"], event["receivedAt"]) == (
        "2026-07-18T09:01:00.000Z",
        "2026-07-18T09:01:00.001Z",
    )
    assert event["data"]["conversation"]["externalUserId"] == "chatwoot_111_67890"
    assert event["data"]["conversation"]["updatedAt"] is None
    assert event["data"]["message"]["content"] == MESSAGE.content
    assert event["data"]["message"]["attachments"][0]["thumbUrl"] is None
    assert event["data"]["message"]["deliveryError"] == {
        "code": "channel",
        "message": SENTENCES["channel"],
    }


def test_extra_fields_stand_beside_the_objects() -> None:
    """A read mark names its agent; an event without a message has no such key."""
    data = json.loads(
        encode_event(5, "conversation.read", BASE_US, BASE_US, CONVERSATION, None, {"agentId": 4})
    )["data"]
    assert data["agentId"] == 4
    assert "message" not in data


def test_unread_is_never_negative() -> None:
    """A read mark may be ahead of the count for a moment."""
    assert agent_view(CONVERSATION, 3)["unreadCount"] == 0
    assert (
        "readCount"
        not in json.loads(encode_event(1, "x", 1, 1, CONVERSATION, None, None))["data"][
            "conversation"
        ]
    )


def test_a_preview_is_short() -> None:
    """And says whether there is more than text."""
    preview = preview_of(
        Message(1, 17, "customer", "x" * 500, BASE_US, attachments=(Attachment(1, "image"),))
    )
    assert (len(preview.content), preview.has_attachments) == (160, True)


@given(
    st.integers(1, 2**62),
    st.text("0123456789abcdef", min_size=1, max_size=12),
    st.integers(1, 2**53),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5),
)
def test_a_batch_comes_off_the_bus_as_it_went_on(
    company_id: int, epoch: str, first_seq: int, texts: list[str]
) -> None:
    """Whatever people write, line breaks included."""
    bodies = tuple(
        encode_event(1, "x", 1, 1, CONVERSATION, Message(1, 17, "agent", text, 1), None)
        for text in texts
    )
    for traceparent in (None, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
        batch = EventBatch(company_id, epoch, first_seq, bodies, BASE_US, traceparent)
        assert parse_batch(encode_batch(batch)) == batch
    assert batch.last_seq == first_seq + len(texts) - 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "canary", "1 2 e 3 4", "1 2 e 3 4\n", "2 2 e 3 4\n{}", "1 x e 3 4\n{}"),
        *("1 2 e 3\n{}", "1 2 e 3 4 t t\n{}", "1 2 e 3 4\n\ud800"),
    ],
)
def test_what_is_no_batch_is_refused(text: str) -> None:
    """A newer version's message, or someone else's on our channel."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        parse_batch(text)


@given(st.text())
def test_any_bus_message_is_a_batch_or_a_value_error(text: str) -> None:
    """The listener lives on."""
    try:
        parse_batch(text)
    except ValueError:
        return
