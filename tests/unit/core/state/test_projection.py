"""Conversations in the working set: by version, never by arrival."""

from typing import Any

import pytest
from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.state.entities import Assignee, Contact
from server.core.state.marks import Marks, Team
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Result, Source
from tests.unit.core.desk import (
    CREATED,
    RECEIVED_US,
    SAME,
    UPDATED,
    Desk,
)
from tests.unit.states import (
    BASE_US,
    SOURCE,
    at,
    conversation_change,
    conversation_state,
    message_change,
)


def test_a_first_message_makes_its_conversation() -> None:
    """Two events, the conversation's first."""
    desk = Desk()
    assert desk.tell(message_change(version=5)) == (CREATED, CREATED)
    assert desk.kinds == ["conversation.created", "message.created"]
    assert (desk.row.company_id, desk.row.integration_id, desk.row.external_user_id) == (
        1,
        3,
        "chatwoot_9071_481",
    )
    assert (desk.row.created_us, desk.row.last_message_us, desk.row.inbound_count) == (
        BASE_US,
        at(5),
        1,
    )


def test_a_newer_state_replaces_an_older_one() -> None:
    """Status, name, labels, assignee and all else of it."""
    desk = Desk(conversation_change(1))
    newer = conversation_change(
        2,
        status="resolved",
        labels=("vip",),
        assignee=Assignee(7, "T"),
        priority="high",
        can_reply=False,
        channel="C",
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


@pytest.mark.parametrize(
    ("told", "shown"),
    [("open", "Open"), ("pending", "Open"), ("snoozed", "Open"), ("resolved", "Closed")],
)
def test_only_resolved_is_closed(told: str, shown: str) -> None:
    """The CRM knows two states."""
    assert Desk(conversation_change(1, status=told)).row.status == shown


def test_a_creation_told_late_is_older_than_a_change_in_the_same_millisecond() -> None:
    """Versions are told in milliseconds: a bot that takes a conversation as it begins shares one
    with the beginning.
    """
    desk = Desk(conversation_change(version=1, status="pending"))
    begun = conversation_change(version=1, status="open", is_creation=True)
    assert desk.tell(begun) == (SAME, SAME)
    assert desk.row.chatwoot_status == "pending"


@pytest.mark.parametrize(("earlier_us", "is_told"), [(499, True), (500, True), (501, False)])
def test_a_rounded_version_of_an_earlier_release_is_no_newer_one(
    earlier_us: int, is_told: bool
) -> None:
    """What Chatwoot tells of the same version, which it did not move, is not older for that."""
    desk = Desk(conversation_change(version=1, can_reply=False))
    state = replace(conversation_state(1, can_reply=True), version_us=at(1) - earlier_us)
    desk.tell(Change(7, 12, state, None, at(2)))
    assert desk.row.can_reply is is_told
    desk.tell(conversation_change(version=1 - 0.000_001, can_reply=False))
    assert desk.row.can_reply is False, "from then on it is exact"
    desk.tell(replace(conversation_change(version=1), conversation=state))
    assert desk.row.can_reply is False


def test_what_a_state_does_not_say_stays() -> None:
    """An unassigned conversation says so; absent labels say nothing."""
    desk = Desk(
        conversation_change(
            1, labels=("a",), assignee=Assignee(7, "T"), channel="C", can_reply=True
        )
    )
    desk.tell(conversation_change(2, contact=None, contact_name=None, status=None))
    row = desk.row
    assert (row.labels, row.assignee, row.channel, row.can_reply) == (("a",), None, "C", True)
    assert (row.external_user_id, row.external_user_name, row.contact) == (
        "chatwoot_9071_481",
        "Léa Moreau",
        Contact(id=9071),
    )


def test_a_contact_merge_changes_the_external_id() -> None:
    """That is why it is not the key."""
    desk = Desk(conversation_change(1))
    desk.tell(conversation_change(2, contact=Contact(id=5)))
    assert desk.row.external_user_id == "chatwoot_5_481"


def test_a_change_told_with_a_known_message_is_not_lost() -> None:
    """A repeated message may carry a newer conversation."""
    desk = Desk(message_change(version=1))
    assert desk.tell(message_change(version=2, told=conversation_state(2, status="resolved"))) == (
        UPDATED,
        SAME,
    )
    assert desk.kinds[-1] == "conversation.updated"


def test_two_integrations_keep_their_conversations_apart() -> None:
    """Display ids are unique per account only."""
    working_set = WorkingSet()
    working_set.apply(message_change(), SOURCE, RECEIVED_US)
    working_set.apply(message_change(), Source(4, 2), RECEIVED_US)
    assert {entry.row.company_id for entry in working_set.entries.values()} == {1, 2}


def _closed() -> Desk:
    return Desk(
        conversation_change(1, status="resolved"),
        message_change("old", second=2, version=2, told=conversation_state(2, status="resolved")),
    )


def test_a_customer_who_writes_opens_a_closed_conversation() -> None:
    """The simple payload tells no status."""
    desk = _closed()
    assert desk.tell(message_change("new", number=None, second=9)) == (UPDATED, CREATED)
    assert (desk.row.status, desk.row.chatwoot_status) == ("Open", "open")


@pytest.mark.parametrize(
    "changes",
    [
        {"second": 1},
        {"second": 2},
        {"sender_type": "agent"},
        {"told": conversation_state(0, status="resolved")},
    ],
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
    assert (desk.row.external_user_id, desk.row.external_user_name) == (
        "chatwoot_9071_481",
        "Léa Moreau",
    )
    desk.tell(
        message_change(
            "b", number=None, told=conversation_state(contact=Contact(id=1), contact_name="Other")
        )
    )
    assert (desk.row.external_user_id, desk.row.external_user_name) == (
        "chatwoot_9071_481",
        "Léa Moreau",
    )


def test_a_status_set_by_an_agent_is_an_event_once() -> None:
    """The same status again is none."""
    desk = Desk(conversation_change(1))
    closed = replace(desk.row, status="Closed", chatwoot_status="resolved")
    assert desk.working_set.set_conversation(desk.entry, closed, at(9), at(9)) is UPDATED
    assert desk.working_set.set_conversation(desk.entry, replace(desk.row), at(9), at(9)) is SAME
    assert desk.kinds.count("conversation.updated") == 1
    assert desk.row.updated_us == at(9)


def test_a_read_mark_leaves_the_conversation_as_it_is() -> None:
    """It belongs to one agent."""
    desk = Desk(message_change())
    before = desk.row
    desk.working_set.add_agent_read(desk.entry, 4, 1, 991, at(9))
    pending = desk.working_set.pending_events[-1]
    assert (pending.kind, pending.extra) == (
        "conversation.read",
        {"agentId": 4, "readCount": 1, "messageId": 991},
    )
    assert desk.row == before


def test_marks_that_become_known_after_an_upgrade_are_no_repair() -> None:
    """Rows of an earlier version have none: the first reading brings them, shows them, and is no
    loss of a webhook. What changes together with them is one.
    """
    marks = Marks(inbox_name="Website", team=Team(6, "logistics"))
    desk = Desk(conversation_change(version=1))
    assert desk.tell(conversation_change(version=2, marks=marks))[0] is Result.DRESSED
    assert desk.row.marks == marks
    assert desk.kinds[-1] == "conversation.updated"
    assert desk.tell(conversation_change(version=2, marks=marks))[0] is SAME
    other = replace(marks, team=None)
    assert desk.tell(conversation_change(version=3, marks=other))[0] is UPDATED
    desk = Desk(conversation_change(version=1, status="open"))
    assert desk.tell(conversation_change(version=2, status="resolved", marks=marks))[0] is UPDATED
