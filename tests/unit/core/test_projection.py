"""The rules of state: by version and identity, never by arrival; an event only where clients see a difference."""

from typing import Any

import pytest
from msgspec.structs import replace

from server.core.changes import Change, LastMessage
from server.core.entities import Assignee, Attachment, Contact, Conversation, DeliveryError, Message
from server.core.projection import Board, Entry, Result, Source
from server.core.thread_order import place_of
from tests.unit.states import BASE_US, DISPLAY_ID, SOURCE, at, conversation_change, conversation_state, message_change

RECEIVED_US = at(1000)
CREATED, UPDATED, SAME = Result.CREATED, Result.UPDATED, Result.SAME


class Desk:
    """A board to which changes are told one after the other."""

    def __init__(self, *changes: Change) -> None:
        self.board = Board()
        for change in changes:
            self.tell(change)

    def tell(self, change: Change, received_us: int = RECEIVED_US) -> tuple[Result, Result]:
        return self.board.apply(change, SOURCE, received_us)

    @property
    def entry(self) -> Entry:
        return self.board.entries[SOURCE.integration_id, DISPLAY_ID]

    @property
    def row(self) -> Conversation:
        return self.entry.row

    @property
    def messages(self) -> list[Message]:
        return [message.row for message in self.entry.messages]

    @property
    def kinds(self) -> list[str]:
        return [draft.kind for draft in self.board.drafts]

    def reply(self, client_id: str = "key-1", **fields: Any) -> Message:
        message = Message(
            0, 0, "agent", "On its way", at(5), client_id=client_id, delivery_state="sending", next_attempt_us=at(5), **fields
        )
        return self.board.put_message(self.entry, message, at(5), at(5)).row


# -- conversations -----------------------------------------------------------------------------------------------------


def test_a_first_message_makes_its_conversation() -> None:
    """Two events, the conversation's first."""
    desk = Desk()
    assert desk.tell(message_change(version=5)) == (CREATED, CREATED)
    assert desk.kinds == ["conversation.created", "message.created"]
    assert (desk.row.company_id, desk.row.integration_id, desk.row.external_user_id) == (1, 3, "chatwoot_9071_481")
    assert (desk.row.created_us, desk.row.last_message_us, desk.row.inbound_count) == (BASE_US, at(5), 1)


def test_a_newer_state_replaces_an_older_one() -> None:
    """Status, name, labels, assignee and all else of it."""
    desk = Desk(conversation_change(1))
    newer = conversation_change(
        2, status="resolved", labels=("vip",), assignee=Assignee(7, "T"), priority="high", can_reply=False, channel="C"
    )
    assert desk.tell(newer) == (UPDATED, SAME)
    row = desk.row
    assert (row.status, row.chatwoot_status, row.labels, row.assignee, row.priority) == (
        "Closed",
        "resolved",
        ("vip",),
        Assignee(7, "T"),
        "high",
    )
    assert (row.can_reply, row.channel, row.updated_us) == (False, "C", RECEIVED_US)
    assert desk.kinds == ["conversation.created", "conversation.updated"]


def test_an_older_state_never_overwrites_a_newer_one() -> None:
    """Not even when a message brings it."""
    desk = Desk(conversation_change(5, status="resolved"))
    assert desk.tell(conversation_change(4)) == (SAME, SAME)
    assert desk.tell(message_change(version=3, second=3)) == (SAME, CREATED)
    assert (desk.row.status, desk.row.chatwoot_version) == ("Closed", at(5))


def test_a_repeated_state_makes_no_event() -> None:
    """Nor does a newer version that shows nothing new; but it counts from then on."""
    desk = Desk(conversation_change(1))
    assert desk.tell(conversation_change(1)) == (SAME, SAME)
    assert desk.tell(conversation_change(3)) == (SAME, SAME)
    assert desk.tell(conversation_change(2, status="resolved")) == (SAME, SAME)
    assert desk.kinds == ["conversation.created"]
    assert desk.entry.is_dirty


@pytest.mark.parametrize(("told", "shown"), [("open", "Open"), ("pending", "Open"), ("snoozed", "Open"), ("resolved", "Closed")])
def test_only_resolved_is_closed(told: str, shown: str) -> None:
    """The CRM knows two states."""
    assert Desk(conversation_change(1, status=told)).row.status == shown


def test_what_a_state_does_not_say_stays() -> None:
    """An unassigned conversation says so; absent labels say nothing."""
    desk = Desk(conversation_change(1, labels=("a",), assignee=Assignee(7, "T"), channel="C", can_reply=True))
    desk.tell(conversation_change(2, contact=None, contact_name=None, status=None))
    row = desk.row
    assert (row.labels, row.assignee, row.channel, row.can_reply) == (("a",), None, "C", True)
    assert (row.external_user_id, row.external_user_name, row.contact) == ("chatwoot_9071_481", "Léa Moreau", Contact(id=9071))


def test_a_contact_merge_changes_the_external_id() -> None:
    """That is why it is not the key."""
    desk = Desk(conversation_change(1))
    desk.tell(conversation_change(2, contact=Contact(id=5)))
    assert desk.row.external_user_id == "chatwoot_5_481"


def test_a_change_told_with_a_known_message_is_not_lost() -> None:
    """A repeated message may carry a newer conversation."""
    desk = Desk(message_change(version=1))
    assert desk.tell(message_change(version=2, told=conversation_state(2, status="resolved"))) == (UPDATED, SAME)
    assert desk.kinds[-1] == "conversation.updated"


def test_two_integrations_keep_their_conversations_apart() -> None:
    """Display ids are unique per account only."""
    board = Board()
    board.apply(message_change(), SOURCE, RECEIVED_US)
    board.apply(message_change(), Source(4, 2), RECEIVED_US)
    assert {entry.row.company_id for entry in board.entries.values()} == {1, 2}


# -- the simple payload ------------------------------------------------------------------------------------------------


def _closed() -> Desk:
    return Desk(
        conversation_change(1, status="resolved"), message_change("old", second=2, version=2, told=conversation_state(2, status="resolved"))
    )


def test_a_customer_who_writes_opens_a_closed_conversation() -> None:
    """The simple payload tells no status."""
    desk = _closed()
    assert desk.tell(message_change("new", number=None, second=9)) == (UPDATED, CREATED)
    assert (desk.row.status, desk.row.chatwoot_status) == ("Open", "open")


@pytest.mark.parametrize(
    "changes", [{"second": 1}, {"second": 2}, {"sender_type": "agent"}, {"told": conversation_state(0, status="resolved")}]
)
def test_nothing_else_opens_it(changes: dict[str, Any]) -> None:
    """Not a late delivery, not an agent, not a state that says closed."""
    desk = _closed()
    desk.tell(message_change("x", **{"number": None, "second": 9} | changes))
    assert desk.row.status == "Closed"


def test_a_repeat_of_the_opening_message_does_not_open_again() -> None:
    """Closed after it means closed."""
    desk = _closed()
    desk.tell(message_change("new", number=None, second=9))
    desk.tell(conversation_change(10, status="resolved"))
    desk.tell(message_change("new", number=None, second=9))
    assert desk.row.status == "Closed"


def test_the_simple_payload_fills_what_is_missing() -> None:
    """And changes nothing that is known."""
    desk = Desk(conversation_change(1, contact=None, contact_name=None))
    assert not desk.row.external_user_id
    desk.tell(message_change(number=None))
    assert (desk.row.external_user_id, desk.row.external_user_name) == ("chatwoot_9071_481", "Léa Moreau")
    desk.tell(message_change("b", number=None, told=conversation_state(contact=Contact(id=1), contact_name="Other")))
    assert (desk.row.external_user_id, desk.row.external_user_name) == ("chatwoot_9071_481", "Léa Moreau")


# -- messages ----------------------------------------------------------------------------------------------------------


def test_one_message_under_two_deliveries_is_one() -> None:
    """Known by Chatwoot's id, whatever else differs."""
    desk = Desk(message_change(version=1))
    assert desk.tell(message_change(version=1)) == (SAME, SAME)
    assert desk.tell(message_change("edited, but created never overwrites", version=2)) == (SAME, SAME)
    assert [message.content for message in desk.messages] == ["Hello"]
    assert desk.row.inbound_count == 1


def test_two_equal_texts_with_two_ids_are_two() -> None:
    """However quickly they follow."""
    desk = Desk(message_change(number=1), message_change(number=2))
    assert [message.chatwoot_message_id for message in desk.messages] == [1, 2]


@pytest.mark.parametrize(("second", "count"), [(5, 1), (5.5, 1), (6, 1), (4, 1), (6.1, 2), (3.9, 2)])
def test_twins_without_id_within_a_second_are_one(second: float, count: int) -> None:
    """The simple payload, sent twice; its time has whole seconds."""
    desk = Desk(message_change(number=None), message_change(number=None, second=second))
    assert len(desk.messages) == count


@pytest.mark.parametrize("changes", [{"content": "Hello "}, {"sender_type": "agent"}, {"is_private": True}])
def test_twins_are_equal_in_all_that_counts(changes: dict[str, Any]) -> None:
    """Text, sender and privacy."""
    desk = Desk(message_change(number=None), message_change(**{"number": None} | changes))
    assert len(desk.messages) == 2


@pytest.mark.parametrize("numbers", [(None, 88), (88, None)])
def test_a_message_with_and_without_id_is_one(numbers: tuple[int | None, int | None]) -> None:
    """A simple and a real webhook of the same message, in any order; the id is kept."""
    desk = Desk(*(message_change(number=number, sender_name="Léa") for number in numbers))
    (message,) = desk.messages
    assert (message.chatwoot_message_id, message.sender_name, message.delivery_state) == (88, "Léa", None)


def test_a_row_without_a_time_is_no_twin() -> None:
    """Rows older than this program may lack it."""
    desk = Desk(message_change(number=None))
    desk.entry.messages[0].row = replace(desk.messages[0], created_us=None)
    desk.tell(message_change(number=None))
    assert len(desk.messages) == 2


def test_an_update_changes_text_and_attachments() -> None:
    """With one event, which carries the conversation and its preview."""
    desk = Desk(message_change(version=1))
    update = message_change("translated", version=2, is_update=True, attachments=(Attachment(1, "image"),), content_type="text")
    assert desk.tell(update)[1] is UPDATED
    assert (desk.messages[0].content, desk.messages[0].attachments) == ("translated", (Attachment(1, "image"),))
    assert desk.row.preview is not None
    assert (desk.row.preview.content, desk.row.preview.has_attachments) == ("translated", True)
    assert desk.kinds[-1] == "message.updated"


@pytest.mark.parametrize("second_word", [{"is_update": True, "version": 2}, {"asked_us": at(1001)}])
def test_another_text_is_an_edit(second_word: dict[str, Any]) -> None:
    """Told by a webhook or found by asking: kept is when we learned of it, also after the same text is told again."""
    desk = Desk(message_change("Two please", version=1))
    assert desk.messages[0].edited_us is None
    desk.tell(message_change("Three please", **second_word), received_us=at(1001))
    assert desk.messages[0].edited_us == at(1001)
    desk.tell(message_change("Three please", version=3, is_update=True), received_us=at(1002))
    assert desk.messages[0].edited_us == at(1001)
    desk.tell(message_change("deleted", version=4, is_update=True, is_deleted=True), received_us=at(1003))
    assert desk.messages[0].edited_us is None


def test_an_edit_told_before_the_message_was_made_is_one() -> None:
    """The older text comes last and shows it."""
    desk = Desk(message_change("new text", version=2, is_update=True))
    assert desk.tell(message_change("old text", version=1))[1] is UPDATED
    assert (desk.messages[0].content, desk.messages[0].edited_us) == ("new text", RECEIVED_US)


def test_what_chatwoot_makes_of_a_reply_is_no_edit() -> None:
    """It fills in names and cuts white space; the first time it tells the text, that is the text."""
    desk = Desk(message_change(version=1))
    reply = desk.reply()
    desk.tell(message_change("On its way, Léa", number=90, version=2, sender_type="agent", client_id=reply.client_id))
    desk.tell(message_change("On its way, Léa", number=90, version=3, sender_type="agent", is_update=True))
    assert (desk.messages[1].content, desk.messages[1].edited_us) == ("On its way, Léa", None)


def test_an_older_update_changes_nothing() -> None:
    """Updates may overtake each other."""
    desk = Desk(message_change(version=1), message_change("second", version=3, is_update=True))
    assert desk.tell(message_change("first", version=2, is_update=True))[1] is SAME
    assert desk.messages[0].content == "second"


def test_updated_before_created() -> None:
    """The update makes the message; the creation that follows changes nothing."""
    desk = Desk()
    assert desk.tell(message_change("new text", version=2, is_update=True))[1] is CREATED
    assert desk.tell(message_change("new text", version=1))[1] is SAME
    assert desk.tell(message_change("old text", version=1))[1] is UPDATED  # now we know that it was edited
    assert desk.tell(message_change("old text", version=1))[1] is SAME
    assert (desk.messages[0].content, desk.row.inbound_count) == ("new text", 1)


@pytest.mark.parametrize(
    "later", [{}, {"is_update": True, "version": 9}, {"asked_us": at(5000)}, {"is_update": True, "error": "x", "version": 9}]
)
def test_deleted_stays_deleted(later: dict[str, Any]) -> None:
    """Also when it is deleted before it is created."""
    desk = Desk(message_change("This message was deleted", version=3, is_update=True, is_deleted=True))
    assert desk.tell(message_change("alive", **{"version": 1} | later))[1] is SAME
    assert (desk.messages[0].is_deleted, desk.messages[0].content, desk.messages[0].delivery_state) == (
        True,
        "This message was deleted",
        None,
    )


def test_a_deletion_wins_over_a_newer_version() -> None:
    """Nothing undeletes, so its order does not matter."""
    desk = Desk(message_change(version=5))
    desk.tell(message_change("deleted", version=4, is_update=True, is_deleted=True))
    assert desk.messages[0].is_deleted


def test_an_older_rest_answer_does_not_undo_a_newer_webhook() -> None:
    """A list is as old as its question; the webhook came while it was under way."""
    desk = Desk(message_change(version=1))
    desk.tell(message_change("webhook", version=2, is_update=True), received_us=at(2000))
    assert desk.tell(message_change("list", asked_us=at(1999)))[1] is SAME
    assert desk.messages[0].content == "webhook"


def test_a_newer_rest_answer_repairs_what_no_webhook_told() -> None:
    """Lost updates and deletions are found by reading."""
    desk = Desk(message_change(version=1))
    assert desk.tell(message_change("edited", asked_us=at(1001)))[1] is UPDATED
    assert desk.messages[0].told_at == at(1001)
    assert desk.tell(message_change("edited earlier", asked_us=at(1000.5)))[1] is SAME


def test_a_private_note_moves_nothing_the_customer_could_see() -> None:
    """Neither lastMessageAt nor preview nor inboundCount, when it comes and when it is edited."""
    desk = Desk(message_change(version=1))
    before = desk.row
    note = message_change("note", number=89, second=50, version=2, sender_type="agent", is_private=True)
    assert desk.tell(note)[1] is CREATED
    assert (
        desk.tell(message_change("edited", number=89, second=50, version=3, is_private=True, is_update=True, sender_type="agent"))[1]
        is UPDATED
    )
    assert (desk.row.last_message_us, desk.row.preview, desk.row.inbound_count) == (before.last_message_us, before.preview, 1)
    assert desk.messages[1].is_private


def test_a_late_message_does_not_move_the_conversation_back() -> None:
    """It counts as inbound; the newest stays on top."""
    desk = Desk(message_change("new", second=50), message_change("old", number=87, second=4))
    assert (desk.row.last_message_us, desk.row.inbound_count) == (at(50), 2)
    assert desk.row.preview is not None
    assert desk.row.preview.content == "new"
    desk.tell(message_change("old, edited", number=87, second=4, is_update=True))
    assert desk.row.preview.content == "new"


# -- delivery to the customer ------------------------------------------------------------------------------------------


def test_the_newest_of_a_second_is_the_one_with_the_highest_number() -> None:
    """A list tells whole seconds, webhooks come in any order: the row shows the message that stands last in the thread."""
    desk = Desk(message_change("first", number=88, second=5.204, version=5))
    desk.tell(message_change("second, found by asking", number=89, second=5, version=5, asked_us=at(60)))
    assert (desk.row.preview.content if desk.row.preview else None, desk.row.last_message_us) == ("second, found by asking", at(5.204))
    desk.tell(message_change("between them, late", number=87, second=5.9, version=5))
    assert desk.row.preview
    assert desk.row.preview.content == "second, found by asking"


def test_a_reply_stands_where_chatwoot_has_it() -> None:
    """Written while Chatwoot was away: what the customer said meanwhile was before it, for them and so for us."""
    desk = Desk(message_change("Hello", second=2, version=2))
    desk.reply()
    desk.tell(message_change("Are you there?", number=89, second=30, version=30))
    desk.tell(message_change("On its way", number=90, second=60, version=60, sender_type="agent", client_id="key-1"))
    reply = desk.messages[1]
    assert (reply.created_us, desk.row.last_message_us) == (at(60), at(60))
    assert [message.content for message in sorted(desk.messages, key=place_of)] == ["Hello", "Are you there?", "On its way"]
    assert desk.row.preview
    assert desk.row.preview.content == "On its way"


def test_a_clock_of_ours_that_is_fast_holds_back_no_message() -> None:
    """The reply moves back to Chatwoot's time, and the list with it."""
    desk = Desk(message_change("Hello", second=2, version=2))
    desk.reply()
    desk.tell(message_change("On its way", number=89, second=3, version=3, sender_type="agent", client_id="key-1"))
    desk.tell(message_change("Thanks", number=90, second=4, version=4))
    assert desk.row.last_message_us == at(4)
    assert desk.row.preview
    assert desk.row.preview.content == "Thanks"


def test_a_channel_error_makes_it_failed() -> None:
    """The channel refused what Chatwoot had accepted."""
    desk = Desk(message_change(version=1, sender_type="agent"))
    assert desk.tell(message_change(version=2, sender_type="agent", is_update=True, error="no such number"))[1] is UPDATED
    assert (desk.messages[0].delivery_state, desk.messages[0].delivery_error) == ("failed", DeliveryError("channel", "no such number"))


def test_an_error_in_the_first_word_makes_it_failed() -> None:
    """Updated before created."""
    desk = Desk(message_change(version=2, sender_type="agent", is_update=True, error="no such number"))
    assert desk.messages[0].delivery_error == DeliveryError("channel", "no such number")


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_retry_that_worked_takes_the_error_away(is_ours: bool) -> None:
    """Chatwoot wipes the error when someone sends the message again there."""
    desk = Desk(conversation_change(1))
    if is_ours:
        desk.reply()
    told: dict[str, Any] = {"sender_type": "agent", "client_id": "key-1" if is_ours else None}
    desk.tell(message_change("On its way", version=2, error="no such number", **told))
    desk.tell(message_change("On its way", version=3, error="no such number", is_update=True, **told))
    assert desk.messages[0].delivery_state == "failed"
    desk.tell(message_change("On its way", version=4, is_update=True, **told))
    assert (desk.messages[0].delivery_state, desk.messages[0].delivery_error) == ("sent" if is_ours else None, None)


def test_a_message_that_only_arrived_is_told_from_one_that_changed() -> None:
    """Today's webhooks do not tell it: finding it by asking is no lost webhook."""
    desk = Desk(message_change("Yes", version=1, sender_type="agent"))
    assert desk.tell(message_change("Yes", sender_type="agent", status="read", asked_us=at(1001)))[1] is Result.ARRIVED
    assert desk.tell(message_change("Yes, two", sender_type="agent", status="read", asked_us=at(1002)))[1] is UPDATED
    assert desk.messages[0].delivery_state == "read"


def test_a_conversation_tells_how_far_its_last_message_has_come() -> None:
    """That one alone, and only of messages that are here."""
    desk = Desk(*(message_change("Yes", number=number, version=1, sender_type="agent") for number in (88, 89)))
    desk.tell(conversation_change(2, last=LastMessage(88, "delivered")))
    desk.tell(conversation_change(3, last=LastMessage(99, "read")))
    assert [message.delivery_state for message in desk.messages] == ["delivered", None]
    assert desk.kinds[-1] == "message.updated"


@pytest.mark.parametrize(("channel", "state"), [("Channel::WebWidget", "read"), ("Channel::Whatsapp", None), (None, None)])
def test_what_a_customer_of_the_web_chat_has_looked_at_is_read(channel: str | None, state: str | None) -> None:
    """Messages of the seconds before; other channels say with each message what was read."""
    desk = Desk(conversation_change(1, channel=channel))
    desk.tell(message_change("Yes", number=88, second=5.9, version=1, sender_type="agent"))
    desk.tell(message_change("of that second", number=89, second=6.1, version=1, sender_type="agent"))
    desk.tell(message_change("Hm", number=90, second=5, version=1))
    desk.tell(conversation_change(2, channel=channel, contact_seen_us=at(6)))
    assert [message.delivery_state for message in desk.messages] == [state, None, None]
    desk.tell(message_change("told late", number=91, second=4, version=1, sender_type="agent"))
    assert desk.messages[-1].delivery_state == state


def test_our_own_failure_is_not_taken_away_by_an_update() -> None:
    """What the sender found out, an edit does not contradict."""
    desk = Desk(message_change(version=1, sender_type="agent"))
    error = DeliveryError("gave_up", "x")
    desk.entry.messages[0].row = replace(desk.messages[0], delivery_state="failed", delivery_error=error)
    desk.tell(message_change("edited", version=2, sender_type="agent", is_update=True))
    assert (desk.messages[0].delivery_state, desk.messages[0].delivery_error) == ("failed", error)


# -- replies -----------------------------------------------------------------------------------------------------------


def test_a_replys_own_webhook_is_recognised_by_its_marker() -> None:
    """It brings Chatwoot's id and says that it was sent; the row stays the agent's."""
    desk = Desk(conversation_change(1))
    desk.reply(agent_id=4, is_outcome_unknown=True)
    assert desk.tell(message_change("On its way", version=2, sender_type="agent", client_id="key-1", sender_name="Bot"))[1] is UPDATED
    (message,) = desk.messages
    assert (message.chatwoot_message_id, message.delivery_state, message.agent_id) == (88, "sent", 4)
    assert (message.next_attempt_us, message.is_outcome_unknown, message.sender_name) == (None, False, "Bot")


def test_the_webhook_after_the_response_changes_nothing() -> None:
    """Whichever comes first sets the id; the other finds it set."""
    desk = Desk(conversation_change(1))
    reply = desk.reply()
    sent = replace(reply, chatwoot_message_id=88, delivery_state="sent", next_attempt_us=None, sender_name="A", content_type="text")
    assert desk.board.set_message(desk.entry, desk.entry.messages[0], sent, at(6), at(6)) is UPDATED
    assert desk.tell(message_change("On its way", version=1, sender_type="agent", client_id="key-1"))[1] is SAME


def test_a_second_message_with_the_same_marker_is_a_second_message() -> None:
    """Two ids are two messages, in one batch as in two: what the customer got twice is shown twice."""
    desk = Desk(conversation_change(1))
    desk.reply()
    for number in (88, 89):
        desk.tell(message_change("On its way", number=number, version=2, sender_type="agent", client_id="key-1"))
    assert [message.chatwoot_message_id for message in desk.messages] == [88, 89]


def test_an_equal_text_is_not_a_reply_on_its_way() -> None:
    """Someone wrote the same words in Chatwoot while ours was under way: its marker alone finds it."""
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
    assert desk.board.set_message(desk.entry, entry, replace(reply, delivery_attempts=3), at(6), at(6)) is SAME
    assert entry.is_dirty
    assert desk.kinds.count("message.updated") == 0


# -- agents' own acts --------------------------------------------------------------------------------------------------


def test_a_status_set_by_an_agent_is_an_event_once() -> None:
    """The same status again is none."""
    desk = Desk(conversation_change(1))
    closed = replace(desk.row, status="Closed", chatwoot_status="resolved")
    assert desk.board.set_conversation(desk.entry, closed, at(9), at(9)) is UPDATED
    assert desk.board.set_conversation(desk.entry, replace(desk.row), at(9), at(9)) is SAME
    assert desk.kinds.count("conversation.updated") == 1
    assert desk.row.updated_us == at(9)


def test_a_read_mark_leaves_the_conversation_as_it_is() -> None:
    """It belongs to one agent."""
    desk = Desk(message_change())
    before = desk.row
    desk.board.note_read(desk.entry, 4, 1, 991, at(9))
    draft = desk.board.drafts[-1]
    assert (draft.kind, draft.extra) == ("conversation.read", {"agentId": 4, "readCount": 1, "messageId": 991})
    assert desk.row == before
