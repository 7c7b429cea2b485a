"""A time of the future freezes nothing: neither a conversation's state, nor a message's text, nor
the order of the list.
"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.chatwoot.future_times import (
    SKEW_US,
    healed,
    healed_message,
    within_present,
)
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Result
from server.core.times import SECOND
from tests.unit.core.desk import Desk
from tests.unit.states import (
    DISPLAY_ID,
    SOURCE,
    at,
    conversation_change,
    conversation_state,
    message_change,
)

_YEAR = 366 * 86_400
_AHEAD = st.sampled_from([0, 1, 9, 11, 60, 3_600, 86_400, _YEAR])


def _desk(change: Change, received_us: int) -> Desk:
    desk = Desk()
    desk.tell(change, received_us)
    return desk


@given(
    st.lists(st.tuples(_AHEAD, st.sampled_from(["open", "resolved"])), min_size=1, max_size=6),
    st.sampled_from(["open", "resolved"]),
)
def test_whatever_came_the_next_true_state_is_shown(
    wrong: list[tuple[int, str]], status: str
) -> None:
    """From a webhook, a sync or a forger: once as much time has passed as clocks may differ, what
    is told is taken.
    """
    working_set = WorkingSet()
    for n, (ahead, told) in enumerate(wrong):
        working_set.apply(conversation_change(version=n + ahead, status=told), SOURCE, at(n))
    now = len(wrong) + SKEW_US // SECOND + 1
    working_set.apply(conversation_change(version=now, status=status), SOURCE, at(now))
    assert working_set.entries[SOURCE.integration_id, DISPLAY_ID].row.chatwoot_status == status


def test_a_message_of_the_future_is_one_of_now() -> None:
    """It neither stays on top of the list for a year, nor can it never be edited."""
    desk = _desk(message_change("ahead", second=_YEAR, version=_YEAR), at(5))
    assert desk.messages[0].created_us == desk.row.last_message_us == at(5)
    desk.tell(message_change("next", number=89, second=20, version=20), received_us=at(20))
    assert desk.row.last_message_us == at(20)
    assert (
        desk.tell(message_change("edited", version=21, is_update=True), received_us=at(21))[1]
        is Result.UPDATED
    )


def test_what_our_own_slow_clock_takes_for_the_future_is_taken_as_it_comes() -> None:
    """One of our machines is an hour behind: what comes to it is not called older than what came to
    the others.
    """
    desk = _desk(conversation_change(version=3_600, status="open"), at(3_600))
    desk.tell(conversation_change(version=3_601, status="resolved"), received_us=at(1))
    assert desk.row.chatwoot_status == "resolved"
    desk.tell(conversation_change(version=3_602, status="open"), received_us=at(3_602))
    assert desk.row.chatwoot_status == "open"


def test_a_delivery_that_is_tried_again_later_is_as_old_as_its_receipt() -> None:
    """What came meanwhile stays, and is not taken for a time of the future."""
    desk = _desk(conversation_change(version=1, status="open"), at(1))
    desk.tell(conversation_change(version=90_000, status="resolved"), received_us=at(90_000))
    desk.tell(conversation_change(version=2, status="open"), received_us=at(2))
    assert desk.row.chatwoot_status == "resolved"


def test_rows_of_before_heal() -> None:
    """Written when a version of next year was believed: the next state that is told is taken, and
    the list is in order again.
    """
    desk = _desk(message_change("hello", version=1), at(1))
    [entry] = desk.working_set.entries.values()
    entry.row = replace(
        entry.row, chatwoot_version=at(_YEAR), last_message_us=at(_YEAR), last_inbound_us=at(_YEAR)
    )
    entry.messages[0].row = replace(
        entry.messages[0].row, chatwoot_version=at(_YEAR), observed_us=at(_YEAR)
    )
    desk.working_set.heal(at(50))
    assert (desk.row.last_message_us, desk.row.last_inbound_us) == (at(50), at(50))
    edited = message_change(
        "edited", is_update=True, told=conversation_state(51, status="resolved")
    )
    assert desk.tell(edited, received_us=at(51))[1] is Result.UPDATED
    assert desk.row.chatwoot_status == "resolved"
    assert healed(desk.row, at(51)) is desk.row
    assert healed_message(desk.messages[0], at(51)) is desk.messages[0]


def test_what_is_of_now_is_the_same_object() -> None:
    """Nearly every change: it costs a look."""
    change = message_change("hello", version=1)
    assert within_present(change, at(1)) is change


def test_a_clock_that_was_an_hour_ahead() -> None:
    """As Chatwoot tells it: a message of a moment when its clock was wrong, then resolved by the
    right one.
    """
    received_us = 1_795_838_400 * SECOND
    address: dict[str, Any] = {"account": {"id": 3}, "inbox": {"id": 12}, "inbox_id": 12}
    message = {
        "event": "message_created",
        "id": 1010,
        "message_type": "incoming",
        "content": "x",
        "created_at": "2026-11-28T05:00:00.000Z",
    }
    conversation = {"id": DISPLAY_ID, "inbox_id": 12, "status": "open", "updated_at": 1795842000.0}
    ahead = (
        address
        | message
        | {"sender": {"id": 41, "name": "Test Customer"}, "conversation": conversation}
    )
    after = address | {
        "event": "conversation_status_changed",
        "id": DISPLAY_ID,
        "status": "resolved",
        "updated_at": 1795838460.0,
    }
    working_set = WorkingSet()
    for payload, at_us in ((ahead, received_us), (after, received_us + 60 * SECOND)):
        working_set.apply(parse_delivery(json.dumps(payload), at_us), SOURCE, at_us)
    row = working_set.entries[SOURCE.integration_id, DISPLAY_ID].row
    assert (row.status, row.last_message_us) == ("Closed", received_us)


def test_an_answer_is_newer_than_what_came_before_its_question() -> None:
    """Chatwoot's clock was set back: what its REST says now is so, whatever version the last
    webhook had, and what follows goes by that clock. An answer to a question from before the
    webhook says nothing.
    """
    desk = _desk(conversation_change(version=3_600, status="open"), at(3_600))
    desk.tell(
        conversation_change(version=70, status="resolved", asked_us=at(3_599)),
        received_us=at(3_700),
    )
    assert desk.row.chatwoot_status == "open"
    desk.tell(
        conversation_change(version=70, status="resolved", asked_us=at(3_601)),
        received_us=at(3_701),
    )
    assert (desk.row.chatwoot_status, desk.row.chatwoot_version) == ("resolved", at(70))
    desk.tell(conversation_change(version=80, status="pending"), received_us=at(3_710))
    assert desk.row.chatwoot_status == "pending"
    desk.tell(conversation_change(version=75, status="open"), received_us=at(3_711))
    assert desk.row.chatwoot_status == "pending"


def test_what_an_agent_did_here_is_newer_than_an_answer_asked_for_before() -> None:
    """A round of reconcile that had begun does not take it back."""
    desk = _desk(conversation_change(version=10, status="open"), at(10))
    desk.working_set.set_conversation(
        desk.entry, replace(desk.row, status="Closed", chatwoot_status="resolved"), at(20), at(20)
    )
    desk.tell(conversation_change(version=9, status="open", asked_us=at(15)), received_us=at(21))
    assert desk.row.chatwoot_status == "resolved"


def test_a_conversation_that_chatwoot_has_again_comes_back() -> None:
    """It was gone, and an answer asked for later has it: by whatever version. What was under way
    when it was deleted does not bring it back.
    """
    desk = _desk(conversation_change(version=10, status="open"), at(10))
    desk.working_set.mark_gone(desk.entry, at(100))
    desk.tell(conversation_change(version=50, status="open"), received_us=at(101))
    desk.tell(conversation_change(version=50, status="open", asked_us=at(90)), received_us=at(102))
    assert desk.row.gone_us == at(100)
    desk.tell(conversation_change(version=50, status="open", asked_us=at(103)), received_us=at(104))
    assert desk.row.gone_us is None
    assert desk.row.status == "Open"


def test_an_answer_that_says_the_same_is_not_written() -> None:
    """Reconcile asks for hundreds of conversations that have not changed."""
    desk = _desk(conversation_change(version=10, status="open"), at(10))
    desk.entry.is_dirty = False
    desk.tell(conversation_change(version=10, status="open", asked_us=at(50)), received_us=at(51))
    assert not desk.entry.is_dirty
