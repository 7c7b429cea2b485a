"""The working set and replies: recognised by their marker, and how far one has come on its way to
the customer.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from server.core.chatwoot.changes import LastMessage
from server.core.state.entities import Attachment, DeliveryError
from server.core.state.thread_order import place_of
from server.core.state.tracked import Result
from server.core.state.views import message_view
from tests.unit.core.desk import SAME, UPDATED, Desk
from tests.unit.states import at, conversation_change, message_change


def test_what_chatwoot_makes_of_a_reply_is_no_edit() -> None:
    """It fills in names and cuts white space; the first time it tells the text, that is the
    text.
    """
    desk = Desk(message_change(version=1))
    reply = desk.reply()
    desk.tell(
        message_change(
            "On its way, Léa", number=90, version=2, sender_type="agent", client_id=reply.client_id
        )
    )
    desk.tell(
        message_change("On its way, Léa", number=90, version=3, sender_type="agent", is_update=True)
    )
    assert (desk.messages[1].content, desk.messages[1].edited_us) == ("On its way, Léa", None)


def test_a_reply_stands_where_chatwoot_has_it() -> None:
    """Written while Chatwoot was away: what the customer said meanwhile was before it, for them and
    so for us.
    """
    desk = Desk(message_change("Hello", second=2, version=2))
    desk.reply()
    desk.tell(message_change("Are you there?", number=89, second=30, version=30))
    desk.tell(
        message_change(
            "On its way", number=90, second=60, version=60, sender_type="agent", client_id="key-1"
        )
    )
    reply = desk.messages[1]
    assert (reply.created_us, desk.row.last_message_us) == (at(60), at(60))
    assert [message.content for message in sorted(desk.messages, key=place_of)] == [
        "Hello",
        "Are you there?",
        "On its way",
    ]
    assert desk.row.preview
    assert desk.row.preview.content == "On its way"


def test_a_channel_error_makes_it_failed() -> None:
    """The channel refused what Chatwoot had accepted."""
    desk = Desk(message_change(version=1, sender_type="agent"))
    assert (
        desk.tell(
            message_change(version=2, sender_type="agent", is_update=True, error="no such number")
        )[1]
        is UPDATED
    )
    assert (desk.messages[0].delivery_state, desk.messages[0].delivery_error) == (
        "failed",
        DeliveryError("channel", "no such number"),
    )


def test_an_error_in_the_first_word_makes_it_failed() -> None:
    """Updated before created."""
    desk = Desk(
        message_change(version=2, sender_type="agent", is_update=True, error="no such number")
    )
    assert desk.messages[0].delivery_error == DeliveryError("channel", "no such number")


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_retry_that_worked_takes_the_error_away(is_ours: bool) -> None:
    """Chatwoot wipes the error when someone sends the message again there."""
    desk = Desk(conversation_change(1))
    if is_ours:
        desk.reply()
    told: dict[str, Any] = {"sender_type": "agent", "client_id": "key-1" if is_ours else None}
    desk.tell(message_change("On its way", version=2, error="no such number", **told))
    desk.tell(
        message_change("On its way", version=3, error="no such number", is_update=True, **told)
    )
    assert desk.messages[0].delivery_state == "failed"
    desk.tell(message_change("On its way", version=4, is_update=True, **told))
    assert (desk.messages[0].delivery_state, desk.messages[0].delivery_error) == (
        "sent" if is_ours else None,
        None,
    )


def test_a_message_that_only_arrived_is_told_from_one_that_changed() -> None:
    """Today's webhooks do not tell it: finding it by asking is no lost webhook."""
    desk = Desk(message_change("Yes", version=1, sender_type="agent"))
    assert (
        desk.tell(message_change("Yes", sender_type="agent", status="read", asked_us=at(1001)))[1]
        is Result.DRESSED
    )
    assert (
        desk.tell(
            message_change("Yes, two", sender_type="agent", status="read", asked_us=at(1002))
        )[1]
        is UPDATED
    )
    assert desk.messages[0].delivery_state == "read"


def test_a_conversation_tells_how_far_its_last_message_has_come() -> None:
    """That one alone, and only of messages that are here."""
    desk = Desk(
        *(
            message_change("Yes", number=number, version=1, sender_type="agent")
            for number in (88, 89)
        )
    )
    desk.tell(conversation_change(2, last=LastMessage(88, "delivered")))
    desk.tell(conversation_change(3, last=LastMessage(99, "read")))
    assert [message.delivery_state for message in desk.messages] == ["delivered", None]
    assert desk.kinds[-1] == "message.updated"


@pytest.mark.parametrize(
    ("channel", "state"),
    [("Channel::WebWidget", "read"), ("Channel::Whatsapp", None), (None, None)],
)
def test_what_a_customer_of_the_web_chat_has_looked_at_is_read(
    channel: str | None, state: str | None
) -> None:
    """Messages of the seconds before; other channels say with each message what was read."""
    desk = Desk(conversation_change(1, channel=channel))
    desk.tell(message_change("Yes", number=88, second=5.9, version=1, sender_type="agent"))
    desk.tell(
        message_change("of that second", number=89, second=6.1, version=1, sender_type="agent")
    )
    desk.tell(message_change("Hm", number=90, second=5, version=1))
    desk.tell(conversation_change(2, channel=channel, contact_seen_us=at(6)))
    assert [message.delivery_state for message in desk.messages] == [state, None, None]
    desk.tell(message_change("told late", number=91, second=4, version=1, sender_type="agent"))
    assert desk.messages[-1].delivery_state == state


def test_our_own_failure_is_not_taken_away_by_an_update() -> None:
    """What the sender found out, an edit does not contradict."""
    desk = Desk(message_change(version=1, sender_type="agent"))
    error = DeliveryError("gave_up", "x")
    desk.entry.messages[0].row = replace(
        desk.messages[0], delivery_state="failed", delivery_error=error
    )
    desk.tell(message_change("edited", version=2, sender_type="agent", is_update=True))
    assert (desk.messages[0].delivery_state, desk.messages[0].delivery_error) == ("failed", error)


def test_a_replys_own_webhook_is_recognised_by_its_marker() -> None:
    """It brings Chatwoot's id and says that it was sent; the row stays the agent's."""
    desk = Desk(conversation_change(1))
    desk.reply(agent_id=4, is_outcome_unknown=True)
    assert (
        desk.tell(
            message_change(
                "On its way", version=2, sender_type="agent", client_id="key-1", sender_name="Bot"
            )
        )[1]
        is UPDATED
    )
    (message,) = desk.messages
    assert (message.chatwoot_message_id, message.delivery_state, message.agent_id) == (
        88,
        "sent",
        4,
    )
    assert (message.next_attempt_us, message.is_outcome_unknown, message.sender_name) == (
        None,
        False,
        "Bot",
    )


def test_the_webhook_after_the_response_changes_nothing() -> None:
    """Whichever comes first sets the id; the other finds it set."""
    desk = Desk(conversation_change(1))
    reply = desk.reply()
    sent = replace(
        reply,
        chatwoot_message_id=88,
        delivery_state="sent",
        next_attempt_us=None,
        sender_name="A",
        content_type="text",
    )
    assert (
        desk.working_set.set_message(desk.entry, desk.entry.messages[0], sent, at(6), at(6))
        is UPDATED
    )
    assert (
        desk.tell(message_change("On its way", version=1, sender_type="agent", client_id="key-1"))[
            1
        ]
        is SAME
    )


def test_a_second_message_with_the_same_marker_is_a_second_message() -> None:
    """Two ids are two messages, in one batch as in two: what the customer got twice is shown
    twice.
    """
    desk = Desk(conversation_change(1))
    desk.reply()
    for number in (88, 89):
        desk.tell(
            message_change(
                "On its way", number=number, version=2, sender_type="agent", client_id="key-1"
            )
        )
    assert [message.chatwoot_message_id for message in desk.messages] == [88, 89]


def test_an_equal_text_is_not_a_reply_on_its_way() -> None:
    """Someone wrote the same words in Chatwoot while ours was under way: its marker alone
    finds it.
    """
    desk = Desk(conversation_change(1))
    desk.reply()
    desk.tell(message_change("On its way", version=2, sender_type="agent"))
    assert [message.chatwoot_message_id for message in desk.messages] == [None, 88]


def test_an_unseen_change_of_a_reply_makes_no_event() -> None:
    """Attempts and leases are nobody's business, but are written."""
    desk = Desk(conversation_change(1))
    reply = desk.reply()
    entry = desk.entry.messages[0]
    entry.is_dirty = False
    assert (
        desk.working_set.set_message(
            desk.entry, entry, replace(reply, delivery_attempts=3), at(6), at(6)
        )
        is SAME
    )
    assert entry.is_dirty
    assert desk.kinds.count("message.updated") == 0


def _of_reply(number: int, content: str, **fields: Any) -> Any:
    return message_change(
        content, number=number, sender_type="agent", client_id="key-1", version=2, **fields
    )


@pytest.mark.parametrize("is_text_first", [True, False])
def test_a_reply_that_chatwoot_splits_stays_the_agents_own(is_text_first: bool) -> None:
    """One message a file, each with the marker: the one with the text is the reply, the other one
    belongs to it.
    """
    desk = Desk(message_change(version=1))
    files = (Attachment(None, "image", name="a.png"), Attachment(None, "image", name="b.png"))
    desk.reply(agent_id=7, sender_name="Tomas", attachments=files)
    told = [
        _of_reply(90, "On its way", sender_name="Owner"),
        _of_reply(91, "", sender_name="Owner"),
    ]
    for change in told if is_text_first else reversed(told):
        desk.tell(change)
    reply, part = desk.messages[1:]
    assert (reply.chatwoot_message_id, reply.content, part.chatwoot_message_id, part.content) == (
        90,
        "On its way",
        91,
        "",
    )
    assert (part.agent_id, part.sender_name, part.delivery_state) == (7, "Tomas", "sent")
    desk.tell(_of_reply(91, "", is_update=True, status="failed"))
    assert [message.delivery_state for message in desk.messages[1:]] == ["sent", "failed"]


def test_a_failure_that_is_built_before_the_first_word_is_shown() -> None:
    """A webhook shows the state of the moment when its job runs: `message_created` may say what
    came much later.
    """
    desk = Desk(message_change(version=1))
    desk.reply()
    desk.tell(_of_reply(90, "On its way", status="failed", error="no such number"))
    assert desk.messages[1].delivery_state == "failed"


def test_a_list_that_was_asked_for_before_takes_no_failure_back() -> None:
    """The answer was under way when the conversation's own event told of the failure."""
    desk = Desk(message_change("Yes", version=1, sender_type="agent"))
    desk.tell(conversation_change(2, last=LastMessage(88, "failed", "no such number")))
    desk.tell(
        message_change("Yes", sender_type="agent", status="delivered", version=2, asked_us=at(999))
    )
    assert desk.messages[0].delivery_state == "failed"
    desk.tell(
        message_change("Yes", sender_type="agent", status="delivered", version=2, asked_us=at(1001))
    )
    assert desk.messages[0].delivery_state == "delivered"


def test_a_reply_under_way_at_chatwoot_is_shown_as_sending() -> None:
    """And is not the outbox's, which sends what is `sending` in the table."""
    desk = Desk(message_change(version=1))
    desk.reply()
    desk.tell(_of_reply(90, "On its way", status="progress"))
    assert desk.messages[1].delivery_state == "progress"
    assert message_view(desk.messages[1])["deliveryState"] == "sending"
    desk.tell(_of_reply(90, "On its way", status="sent", is_update=True))
    assert message_view(desk.messages[1])["deliveryState"] == "sent"


def test_the_html_of_an_older_chatwoot_leaves_a_reply_as_it_was_written() -> None:
    """Other markup of the same words is no other text."""
    desk = Desk(message_change(version=1))
    reply = desk.reply()
    html = "On its <strong>way</strong>"
    desk.tell(
        message_change(html, number=90, version=2, sender_type="agent", client_id=reply.client_id)
    )
    assert (desk.messages[1].content, desk.messages[1].request) == (reply.content, None)
