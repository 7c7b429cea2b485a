"""Messages in the working set: one that comes often or without its number is one, the newest
version wins, and the deleted stay deleted.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from server.core.state.entities import Attachment
from tests.unit.core.desk import (
    CREATED,
    RECEIVED_US,
    SAME,
    UPDATED,
    Desk,
)
from tests.unit.states import (
    at,
    message_change,
)


def test_one_message_under_two_deliveries_is_one() -> None:
    """Known by Chatwoot's id, whatever else differs."""
    desk = Desk(message_change(version=1))
    assert desk.tell(message_change(version=1)) == (SAME, SAME)
    assert desk.tell(message_change("edited, but created never overwrites", version=2)) == (
        SAME,
        SAME,
    )
    assert [message.content for message in desk.messages] == ["Hello"]
    assert desk.row.inbound_count == 1


def test_two_equal_texts_with_two_ids_are_two() -> None:
    """However quickly they follow."""
    desk = Desk(message_change(number=1), message_change(number=2))
    assert [message.chatwoot_message_id for message in desk.messages] == [1, 2]


@pytest.mark.parametrize(
    ("second", "count"), [(5, 1), (5.5, 1), (6, 1), (4, 1), (6.1, 2), (3.9, 2)]
)
def test_twins_without_id_within_a_second_are_one(second: float, count: int) -> None:
    """The simple payload, sent twice; its time has whole seconds."""
    desk = Desk(message_change(number=None), message_change(number=None, second=second))
    assert len(desk.messages) == count


@pytest.mark.parametrize(
    "changes", [{"content": "Hello "}, {"sender_type": "agent"}, {"is_private": True}]
)
def test_twins_are_equal_in_all_that_counts(changes: dict[str, Any]) -> None:
    """Text, sender and privacy."""
    desk = Desk(message_change(number=None), message_change(**{"number": None} | changes))
    assert len(desk.messages) == 2


@pytest.mark.parametrize("numbers", [(None, 88), (88, None)])
def test_a_message_with_and_without_id_is_one(numbers: tuple[int | None, int | None]) -> None:
    """A simple and a real webhook of the same message, in any order; the id is kept."""
    desk = Desk(*(message_change(number=number, sender_name="Léa") for number in numbers))
    (message,) = desk.messages
    assert (message.chatwoot_message_id, message.sender_name, message.delivery_state) == (
        88,
        "Léa",
        None,
    )


def test_a_row_without_a_time_is_no_twin() -> None:
    """Rows older than this program may lack it."""
    desk = Desk(message_change(number=None))
    desk.entry.messages[0].row = replace(desk.messages[0], created_us=None)
    desk.tell(message_change(number=None))
    assert len(desk.messages) == 2


def test_an_update_changes_text_and_attachments() -> None:
    """With one event, which carries the conversation and its preview."""
    desk = Desk(message_change(version=1))
    update = message_change(
        "translated",
        version=2,
        is_update=True,
        attachments=(Attachment(1, "image"),),
        content_type="text",
    )
    assert desk.tell(update)[1] is UPDATED
    assert (desk.messages[0].content, desk.messages[0].attachments) == (
        "translated",
        (Attachment(1, "image"),),
    )
    assert desk.row.preview is not None
    assert (desk.row.preview.content, desk.row.preview.has_attachments) == ("translated", True)
    assert desk.kinds[-1] == "message.updated"


@pytest.mark.parametrize("second_word", [{"is_update": True, "version": 2}, {"asked_us": at(1001)}])
def test_another_text_is_an_edit(second_word: dict[str, Any]) -> None:
    """Told by a webhook or found by asking: kept is when we learned of it, also after the same text
    is told again.
    """
    desk = Desk(message_change("Two please", version=1))
    assert desk.messages[0].edited_us is None
    desk.tell(message_change("Three please", **second_word), received_us=at(1001))
    assert desk.messages[0].edited_us == at(1001)
    desk.tell(message_change("Three please", version=3, is_update=True), received_us=at(1002))
    assert desk.messages[0].edited_us == at(1001)
    desk.tell(
        message_change("deleted", version=4, is_update=True, is_deleted=True), received_us=at(1003)
    )
    assert desk.messages[0].edited_us is None


def test_an_edit_told_before_the_message_was_made_is_one() -> None:
    """The older text comes last and shows it."""
    desk = Desk(message_change("new text", version=2, is_update=True))
    assert desk.tell(message_change("old text", version=1))[1] is UPDATED
    assert (desk.messages[0].content, desk.messages[0].edited_us) == ("new text", RECEIVED_US)


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
    # now we know that it was edited
    assert desk.tell(message_change("old text", version=1))[1] is UPDATED
    assert desk.tell(message_change("old text", version=1))[1] is SAME
    assert (desk.messages[0].content, desk.row.inbound_count) == ("new text", 1)


@pytest.mark.parametrize(
    "later",
    [
        {},
        {"is_update": True, "version": 9},
        {"asked_us": at(5000)},
        {"is_update": True, "error": "x", "version": 9},
    ],
)
def test_deleted_stays_deleted(later: dict[str, Any]) -> None:
    """Also when it is deleted before it is created."""
    desk = Desk(
        message_change("This message was deleted", version=3, is_update=True, is_deleted=True)
    )
    assert desk.tell(message_change("alive", **{"version": 1} | later))[1] is SAME
    assert (
        desk.messages[0].is_deleted,
        desk.messages[0].content,
        desk.messages[0].delivery_state,
    ) == (
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
    assert desk.messages[0].observed_us == at(1001)
    assert desk.tell(message_change("edited earlier", asked_us=at(1000.5)))[1] is SAME


def test_a_private_note_moves_nothing_the_customer_could_see() -> None:
    """Neither lastMessageAt nor preview nor inboundCount, when it comes and when it is edited."""
    desk = Desk(message_change(version=1))
    before = desk.row
    note = message_change(
        "note", number=89, second=50, version=2, sender_type="agent", is_private=True
    )
    assert desk.tell(note)[1] is CREATED
    assert (
        desk.tell(
            message_change(
                "edited",
                number=89,
                second=50,
                version=3,
                is_private=True,
                is_update=True,
                sender_type="agent",
            )
        )[1]
        is UPDATED
    )
    assert (desk.row.last_message_us, desk.row.preview, desk.row.inbound_count) == (
        before.last_message_us,
        before.preview,
        1,
    )
    assert desk.messages[1].is_private


def test_a_late_message_does_not_move_the_conversation_back() -> None:
    """It counts as inbound; the newest stays on top."""
    desk = Desk(message_change("new", second=50), message_change("old", number=87, second=4))
    assert (desk.row.last_message_us, desk.row.inbound_count) == (at(50), 2)
    assert desk.row.preview is not None
    assert desk.row.preview.content == "new"
    desk.tell(message_change("old, edited", number=87, second=4, is_update=True))
    assert desk.row.preview.content == "new"


def test_the_newest_of_a_second_is_the_one_with_the_highest_number() -> None:
    """A list tells whole seconds, webhooks come in any order: the row shows the message that stands
    last in the thread.
    """
    desk = Desk(message_change("first", number=88, second=5.204, version=5))
    desk.tell(
        message_change("second, found by asking", number=89, second=5, version=5, asked_us=at(60))
    )
    assert (desk.row.preview.content if desk.row.preview else None, desk.row.last_message_us) == (
        "second, found by asking",
        at(5.204),
    )
    desk.tell(message_change("between them, late", number=87, second=5.9, version=5))
    assert desk.row.preview
    assert desk.row.preview.content == "second, found by asking"


def test_a_clock_of_ours_that_is_fast_holds_back_no_message() -> None:
    """The reply moves back to Chatwoot's time, and the list with it."""
    desk = Desk(message_change("Hello", second=2, version=2))
    desk.reply()
    desk.tell(
        message_change(
            "On its way", number=89, second=3, version=3, sender_type="agent", client_id="key-1"
        )
    )
    desk.tell(message_change("Thanks", number=90, second=4, version=4))
    assert desk.row.last_message_us == at(4)
    assert desk.row.preview
    assert desk.row.preview.content == "Thanks"
