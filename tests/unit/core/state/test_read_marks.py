"""What is read for everyone, as Chatwoot says: by its count, by when an agent looked, by an answer,
by resolving. It only goes forward.
"""

from typing import Any

import pytest

from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.chatwoot.message_payloads import parse_message
from tests.unit.core.desk import Desk
from tests.unit.states import (
    BASE_US,
    at,
    conversation_change,
    conversation_state,
    message_change,
)


def _state(version: float = 50, as_of: float | None = None, **told: Any) -> Any:
    return conversation_state(version, as_of_us=at(version if as_of is None else as_of), **told)


def _desk(numbers: tuple[int, ...] = (1, 2, 3, 4, 5), **told: Any) -> Desk:
    """Five messages of the customer at 1.5 s, 2.5 s, ..., each told with the conversation as it was
    at second 50.
    """
    return Desk(
        *[
            message_change(f"m{n}", number=n, second=n + 0.5, told=_state(**told), asked_us=at(60))
            for n in numbers
        ]
    )


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4, 5), (5, 4, 3, 2, 1), (3, 1, 5, 2, 4)])
@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({}, 0),
        ({"unread": 2}, 3),
        ({"unread": 0}, 5),
        ({"unread": 10}, 0),  # Chatwoot counts no further
        ({"agents_seen_us": at(6)}, 5),
        ({"agents_seen_us": at(4)}, 3),
        ({"agents_seen_us": at(4), "unread": 10}, 3),
        ({"status": "resolved", "unread": 4}, 5),
    ],
)
def test_history_begins_as_it_is_in_chatwoot(
    numbers: tuple[int, ...], told: dict[str, Any], read: int
) -> None:
    """In whatever order it is fetched; else all of it is unread for every agent."""
    desk = _desk(numbers, **told)
    assert (desk.row.inbound_count, desk.row.read_count) == (5, read)


def test_a_state_says_nothing_of_what_is_newer() -> None:
    """A number of unread messages, a look, a resolving: each of a moment, and what was written
    after it is unread.
    """
    for told in ({"unread": 0}, {"agents_seen_us": at(50)}, {"status": "resolved"}):
        desk = _desk(**told)
        desk.tell(message_change("new", number=9, second=70.5, told=_state(**told)))
        assert (desk.row.inbound_count, desk.row.read_count) == (6, 5), told


def test_late_news_takes_nothing_back() -> None:
    desk = _desk(unread=0)
    desk.tell(conversation_change(51, unread=6, as_of_us=at(51)))
    desk.tell(conversation_change(10, unread=5, as_of_us=at(10)))
    assert desk.row.read_count == 5


def test_of_one_second_the_later_half_may_be_unread() -> None:
    """Chatwoot tells looks, and REST tells messages, in whole seconds: what cannot be known is
    unread.
    """
    for seen, second, read in ((6, 6.5, 0), (6, 6, 0), (6, 5.9, 1), (7, 6, 1)):
        desk = Desk(
            message_change("Hello", number=1, second=second, told=_state(agents_seen_us=at(seen)))
        )
        assert desk.row.read_count == read, (seen, second)
    desk = Desk(message_change("Hello", number=1, second=50, told=_state(as_of=50.5, unread=0)))
    assert desk.row.read_count == 0


def test_an_answer_of_a_person_is_a_reading() -> None:
    """Not one of a bot or a rule: nobody has seen the customer's words then. Nor a note, nor one
    that was overtaken.
    """
    is_person = {"is_by_person": True}
    for fields, second, read in (
        ({}, 20.5, 0),
        (is_person | {"is_private": True}, 20.5, 0),
        (is_person, 20.5, 5),
        (is_person, 3.2, 0),
    ):
        desk = _desk()
        desk.tell(
            message_change(
                "Yes", number=10, second=second, sender_type="agent", told=_state(), **fields
            )
        )
        assert desk.row.read_count == read, fields


def test_what_is_older_than_the_look_is_read_when_it_comes() -> None:
    desk = Desk(message_change("new", number=9, second=70.5, told=_state(agents_seen_us=at(60))))
    assert desk.row.read_count == 0
    desk.tell(message_change("old", number=2, second=10.5, told=_state()))
    assert (desk.row.inbound_count, desk.row.read_count) == (2, 1)


@pytest.mark.parametrize(
    "read", [{"agents_seen_us": at(60)}, {"unread": 0}, {"status": "resolved"}]
)
def test_a_message_with_an_old_time_is_as_new_as_its_arrival(read: dict[str, Any]) -> None:
    """Written at second 3, delivered to Chatwoot at 100: it has the highest number. Chatwoot counts
    by times, and so does not count it; a look after it came reads it.
    """
    desk = _desk(**read)
    assert desk.row.read_count == 5
    told = _state(100, agents_seen_us=at(60), unread=0)
    late = message_change("late", number=9, second=3, told=told)
    for _ in range(2):
        desk.tell(late)
        desk.tell(conversation_change(101, unread=0, as_of_us=at(101)))
    assert (desk.row.inbound_count, desk.row.read_count) == (6, 5)
    assert desk.row.last_message_us == at(5.5)
    desk.tell(message_change("more", number=10, second=102.5, told=_state(103, unread=1)))
    assert (desk.row.inbound_count, desk.row.read_count) == (7, 5)
    desk.tell(conversation_change(110, agents_seen_us=at(105)))
    assert desk.row.read_count == 7


def test_a_look_told_with_such_a_message_reads_those_before_it() -> None:
    desk = _desk(agents_seen_us=at(1))
    told = _state(100, agents_seen_us=at(60), unread=0)
    desk.tell(message_change("late", number=9, second=3, told=told))
    assert (desk.row.inbound_count, desk.row.read_count) == (6, 5)


@pytest.mark.parametrize("seen", [4, 60])
def test_a_message_with_an_old_time_that_is_found_by_asking(seen: int) -> None:
    """It came after the newest message that was known, and it is not known when: a look after that
    has read it, as Chatwoot has it.
    """
    desk = _desk(agents_seen_us=at(seen))
    told = _state(100, agents_seen_us=at(seen))
    desk.tell(message_change("late", number=9, second=2, told=told, asked_us=at(200)))
    assert (desk.row.inbound_count, desk.row.read_count) == ((6, 3) if seen == 4 else (6, 6))


def test_the_future_reads_nothing() -> None:
    """A made-up look of next year does not read what is yet to come."""
    desk = _desk(agents_seen_us=at(40_000_000))
    desk.tell(message_change("new", number=9, second=2000.5, told=_state()), at(2001))
    assert (desk.row.inbound_count, desk.row.read_count) == (6, 5)


def test_reading_there_is_one_event_for_everyone() -> None:
    """However many changes told of it, and none where nothing was read."""
    desk = _desk(unread=2)
    desk.working_set.add_read_events(at(61))
    desk.working_set.add_read_events(at(62))
    desk.tell(conversation_change(50, agents_seen_us=at(65)))
    desk.working_set.add_read_events(at(66))
    reads = [
        pending
        for pending in desk.working_set.pending_events
        if pending.kind == "conversation.read"
    ]
    assert [pending.extra and pending.extra["readCount"] for pending in reads] == [3, 5]
    assert [pending.extra and pending.extra["agentId"] for pending in reads] == [None, None]
    assert desk.kinds.count("conversation.updated") == 0


def test_a_look_at_what_is_not_known_here_shows_nothing() -> None:
    desk = Desk(conversation_change(0, unread=0, as_of_us=at(5)))
    assert desk.working_set.entries == {}


def test_what_chatwoot_sends_of_it_is_read() -> None:
    """Numbers and times as REST, webhooks and the socket have them; who wrote a message."""
    shown = {"created_at": 1_784_365_262, "updated_at": "2026-07-18T09:01:03.250Z"}
    told = parse_conversation(
        {"id": 1, "unread_count": 3, "agent_last_seen_at": 1_784_365_260, "messages": [shown]}
    )
    assert (told.unread, told.agents_seen_us, told.as_of_us) == (3, BASE_US, at(3.25))
    nothing = parse_conversation({"id": 1, "unread_count": True, "agent_last_seen_at": 0})
    assert (nothing.unread, nothing.agents_seen_us, nothing.as_of_us) == (None, None, 0)
    rule = {"automation_rule_id": 4}
    for sender, attributes, is_person in (
        ({"type": "user"}, {}, True),
        ({"type": "agent_bot"}, {}, False),
        (None, {}, False),
        ({"type": "user"}, rule, False),
    ):
        sent = {
            "id": 1,
            "message_type": 1,
            "created_at": 1_784_365_260,
            "sender": sender,
            "content_attributes": attributes,
        }
        message = parse_message(sent)
        assert message is not None
        assert message.is_by_person == is_person
