"""What the row of a conversation says in the list: the newest words of people, and the reply that
was not sent.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from server.core.state.entities import DeliveryError, Json, Message
from server.core.state.list_rows import settled
from server.core.state.message_details import MessageDetails
from server.core.state.previews import RowPreview
from server.core.state.row_settling import name_unsent, settle
from server.core.state.views import conversation_view
from server.core.times import iso
from tests.unit.core.desk import Desk
from tests.unit.states import at, conversation_change, message_change

AGENT: dict[str, Any] = {"sender_type": "agent"}
GREETING = AGENT | {"details": MessageDetails(sender_kind="automatic")}


def _desk(*changes: Any) -> Desk:
    """With every message of the thread in the working set."""
    desk = Desk()
    for change in changes:
        _tell(desk, change)
    return desk


def _tell(desk: Desk, change: Any) -> None:
    desk.tell(change)
    _save(desk)


def _save(desk: Desk) -> None:
    """What saving does: rows are settled, and messages get ids."""
    settle(desk.working_set, {})
    for number, tracked in enumerate(desk.entry.messages, start=1):
        tracked.row = replace(tracked.row, id=number)
    name_unsent(desk.working_set)


def _shown(desk: Desk) -> str | None:
    return desk.row.preview.content if desk.row.preview is not None else None


def _unsent(desk: Desk) -> Json | None:
    view: Json | None = conversation_view(desk.row)["unsentReply"]
    return view


def _failed(number: int, second: float, **fields: Any) -> Any:
    told: dict[str, Any] = (
        {"version": number, "status": "failed", "error": "131047"} | AGENT | fields
    )
    return message_change("Yes", number=number, second=second, **told)


@pytest.mark.parametrize("kind", ["automatic", "automation", "campaign"])
def test_what_a_machine_sends_stands_only_where_nobody_has_spoken(kind: str) -> None:
    """In whatever order they come; the list's own time is that of the newest message."""
    greeting = message_change(
        "Welcome",
        number=2,
        second=6,
        sender_type="agent",
        details=MessageDetails(sender_kind=kind),
    )
    asked = message_change("Is it there?", number=1, second=5)
    desk = _desk(greeting)
    assert _shown(desk) == "Welcome"
    for changes in ((asked, greeting), (greeting, asked)):
        desk = _desk(*changes)
        assert _shown(desk) == "Is it there?"
        assert (desk.row.last_message_us, desk.row.last_message_number) == (at(6), 2)


@pytest.mark.parametrize("kind", [None, "bot", "assistant", "channelApp"])
def test_what_people_and_bots_write_is_shown(kind: str | None) -> None:
    """From whatever place they write."""
    details = None if kind is None else MessageDetails(sender_kind=kind)
    answer = message_change("Yes", number=2, second=6, sender_type="agent", details=details)
    desk = _desk(message_change(number=1, second=5), answer)
    assert _shown(desk) == "Yes"


def test_a_deleted_answer_shows_the_question_again() -> None:
    """And where nothing else is left, what was deleted."""
    desk = _desk(
        message_change("Is it there?", number=1, second=5, version=1),
        message_change("Yes", number=2, second=6, version=2, **AGENT),
    )
    _tell(desk, message_change("gone", number=2, second=6, version=3, is_deleted=True, **AGENT))
    assert _shown(desk) == "Is it there?"
    _tell(desk, message_change("gone too", number=1, second=5, version=4, is_deleted=True))
    assert _shown(desk) == "gone"


def test_a_failed_answer_has_its_own_mark() -> None:
    """The question stands in the row, also once the customer has written again; an answer that
    goes out takes the mark away.
    """
    desk = _desk(
        message_change("Is it there?", number=1, second=5, version=1),
        message_change("Yes", number=2, second=6, version=2, **AGENT),
        _failed(2, 6, version=3, is_update=True),
    )
    assert _shown(desk) == "Is it there?"
    mark = {"messageId": 2, "at": iso(at(6)), "code": "channel_window"}
    assert _unsent(desk) == mark
    _tell(desk, message_change("Hello?", number=3, second=7, version=4))
    assert (_shown(desk), _unsent(desk)) == ("Hello?", mark)
    _tell(desk, message_change("Welcome", number=4, second=8, version=5, **GREETING))
    assert _unsent(desk) == mark
    _tell(desk, message_change("Sorry", number=5, second=9, version=6, **AGENT))
    assert (_shown(desk), _unsent(desk)) == ("Sorry", None)


def test_a_failed_answer_that_was_sent_after_all_is_shown_again() -> None:
    """Where it is the newest."""
    desk = _desk(
        message_change("Is it there?", number=1, second=5, version=1),
        _failed(2, 6),
    )
    assert _unsent(desk) == {"messageId": 2, "at": iso(at(6)), "code": "channel_window"}
    sent = message_change(
        "Yes", number=2, second=6, version=4, is_update=True, status="sent", **AGENT
    )
    _tell(desk, sent)
    assert (_shown(desk), _unsent(desk)) == ("Yes", None)


def test_of_several_failed_answers_the_newest_counts() -> None:
    """Also where an older one is told later; once it is deleted, the one before it."""
    desk = _desk(message_change(number=1, second=5), _failed(3, 7), _failed(2, 6))
    first, second = _numbered(desk, 2), _numbered(desk, 3)
    assert (_unsent(desk) or {})["messageId"] == second
    _tell(desk, _failed(3, 7, version=9, is_deleted=True))
    assert (_unsent(desk) or {})["messageId"] == first
    _tell(desk, message_change("sent", number=4, second=6.5, **AGENT))
    assert _unsent(desk) is None


def _numbered(desk: Desk, number: int) -> int:
    return next(one.id for one in desk.messages if one.chatwoot_message_id == number)


def test_an_answer_that_fails_after_a_later_one_went_out_is_no_news() -> None:
    """Nor is a machine's word that failed, or a note."""
    desk = _desk(
        message_change(number=1, second=5),
        message_change("Yes", number=2, second=6, **AGENT),
        message_change("Sent today", number=3, second=7, **AGENT),
        _failed(2, 6, version=9, is_update=True),
        _failed(4, 8, **GREETING),
        _failed(5, 9, is_private=True),
    )
    assert (_shown(desk), _unsent(desk)) == ("Sent today", None)


def test_a_reply_that_is_sent_anew_has_no_mark() -> None:
    """It is on its way: the row shows it, and an older one that failed is marked."""
    desk = _desk(message_change(number=1, second=2))
    tracked = []
    for key in ("one", "two"):
        desk.reply(key)
        tracked.append(desk.entry.messages[-1])
    for one in tracked:
        error = DeliveryError("refused", "no")
        failed = replace(one.row, delivery_state="failed", delivery_error=error)
        desk.working_set.set_message(desk.entry, one, failed, at(6), at(6))
        _save(desk)
    assert (_shown(desk), _unsent(desk)) == (
        "Hello",
        {"messageId": 3, "at": iso(at(5)), "code": "refused"},
    )
    again = replace(tracked[1].row, delivery_state="sending", delivery_error=None)
    desk.working_set.set_message(desk.entry, tracked[1], again, at(7), at(7))
    _save(desk)
    assert (_shown(desk), (_unsent(desk) or {})["messageId"]) == ("On its way", 2)


def test_the_events_say_what_the_row_says() -> None:
    """Those of the change that had it settled, and the later ones of the same transaction."""
    desk = Desk(
        message_change("Is it there?", number=1, second=5, version=1),
        message_change("Yes", number=2, second=6, version=2, **AGENT),
    )
    first = len(desk.working_set.pending_events)
    desk.tell(_failed(2, 6, version=3, is_update=True))
    desk.tell(conversation_change(4, priority="high"))
    _save(desk)
    told = [one.conversation.preview for one in desk.working_set.pending_events[first:]]
    assert told == [desk.row.preview] * 2
    assert (_shown(desk), (_unsent(desk) or {})["messageId"]) == ("Is it there?", 2)


def test_a_row_of_an_older_version_is_settled_by_its_next_message() -> None:
    """Whatever that is; what it shows until then stays."""
    desk = _desk(
        message_change("Is it there?", number=1, second=5),
        message_change("Welcome", number=2, second=6, **GREETING),
        _failed(3, 7),
    )
    desk.entry.row = replace(desk.row, preview=RowPreview("Yes", "agent"))
    _tell(desk, conversation_change(9, priority="high"))
    assert (_shown(desk), _unsent(desk)) == ("Yes", None)
    _tell(desk, message_change("Hours", number=4, second=8, **GREETING))
    assert (_shown(desk), (_unsent(desk) or {})["messageId"]) == ("Is it there?", 3)


_STATES = st.sampled_from([None, "sent", "sending", "failed", "delivered"])
_KINDS = st.sampled_from([None, "bot", "automatic", "campaign"])
_ACTS = st.lists(
    st.tuples(
        st.integers(1, 6),  # number
        st.sampled_from(["customer", "agent"]),
        _KINDS,
        _STATES,
        st.booleans(),  # deleted
        st.sampled_from([False, False, True]),  # private
    ),
    min_size=1,
    max_size=14,
)


@given(_ACTS)
def test_a_row_says_what_its_thread_says(acts: list[tuple[Any, ...]]) -> None:
    """After every change, in whatever order messages come and change; numbers in one second and in
    several.
    """
    desk = Desk(conversation_change(1))
    for number, sender_type, kind, state, is_deleted, is_private in acts:
        known = [one for one in desk.entry.messages if one.row.chatwoot_message_id == number]
        message = Message(
            0,
            0,
            sender_type if not known else known[0].row.sender_type,
            f"{number} {state} {is_deleted}",
            at(number // 3),
            chatwoot_message_id=number,
            is_private=is_private if not known else known[0].row.is_private,
            is_deleted=is_deleted,
            delivery_state=state,
            details=MessageDetails(sender_kind=kind) if kind else None,
        )
        if known:
            message = replace(message, id=known[0].row.id)
            desk.working_set.set_message(desk.entry, known[0], message, at(9), at(9))
        else:
            desk.working_set.put_message(desk.entry, message, at(9), at(9))
        _save(desk)
        assert desk.row.preview == settled(desk.messages)
