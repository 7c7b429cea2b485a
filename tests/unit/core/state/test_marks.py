"""What Chatwoot says of a conversation besides its state: team, snooze, blocked, inbox, subject."""

import json
from typing import Any

import pytest

from server.core.chatwoot.changes import Change
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Result, Source
from server.core.state.views import conversation_view, is_same_conversation_view
from server.core.times import SECOND

SOURCE = Source(integration_id=1, company_id=1)
NOW = 1_795_900_000 * SECOND
SENDER = {"id": 7, "name": "Rafi", "email": None, "phone_number": None, "blocked": False}


def conversation(at: float = 1795834493.25, **more: Any) -> dict[str, Any]:
    meta = {"sender": SENDER | more.pop("sender", {}), "team": more.pop("team", None)}
    known = {"id": 9, "status": "open", "created_at": 1795834486, "updated_at": at, "meta": meta}
    return {**known, "channel": "Channel::WebWidget", "snoozed_until": None, **more}


def event(kind: str, **more: Any) -> str:
    return json.dumps({"event": kind, **more})


def message_event(kind: str = "message_created", **more: Any) -> str:
    body = {"id": 90, "content": "Hi", "message_type": "incoming", "sender": SENDER}
    told = {"created_at": "2026-11-28T02:54:53.204Z", "inbox": {"id": 1, "name": "Website"}}
    return event(kind, **{**body, **told, "conversation": conversation(), **more})


def played(*bodies: str) -> WorkingSet:
    working_set = WorkingSet()
    for number, body in enumerate(bodies):
        change = parse_delivery(body, NOW + number * SECOND)
        working_set.apply(change, SOURCE, NOW + number * SECOND)
    return working_set


def view(working_set: WorkingSet) -> dict[str, Any]:
    (entry,) = working_set.entries.values()
    return conversation_view(entry.row)


@pytest.mark.parametrize("until", ["2026-12-07T03:00:00.000Z", 1796612400])
def test_a_snoozed_one_says_until_when_and_wakes_without_it(until: object) -> None:
    asleep = conversation(1795834496.25, status="snoozed", snoozed_until=until)
    working_set = played(message_event(), event("conversation_updated", **asleep))
    assert view(working_set)["snoozedUntil"] == "2026-12-07T03:00:00.000Z"
    assert view(working_set)["chatwootStatus"] == "snoozed"
    assert view(working_set)["status"] == "Open"
    awake = parse_delivery(event("conversation_updated", **conversation(1795834499.25)), NOW)
    working_set.apply(awake, SOURCE, NOW)
    assert view(working_set)["snoozedUntil"] is None


def test_an_older_state_takes_no_mark_away() -> None:
    newer = conversation(1795834499.25, team={"id": 6, "name": "logistics"})
    working_set = played(
        message_event(),
        event("conversation_updated", **newer),
        event("conversation_updated", **conversation(1795834496.25)),
    )
    assert json.dumps(view(working_set)["team"], default=lambda one: one.name) == '"logistics"'


def test_muted_is_blocked_and_resolved() -> None:
    muted = conversation(1795834499.25, status="resolved", sender={"blocked": True})
    shown = view(played(message_event(), event("conversation_updated", **muted)))
    assert (shown["isBlocked"], shown["isMuted"]) == (True, True)
    blocked = event("contact_updated", **SENDER | {"blocked": True})
    working_set = played(message_event())
    change = parse_delivery(blocked, NOW)
    working_set.entries[1, 0] = next(iter(working_set.entries.values()))
    assert working_set.apply(change, SOURCE, NOW)[0] is Result.UPDATED
    (entry,) = set(working_set.entries.values())
    shown = conversation_view(entry.row)
    assert (shown["isBlocked"], shown["isMuted"]) == (True, False)


def test_the_inbox_is_named_by_messages_and_kept_by_what_does_not_name_it() -> None:
    working_set = played(
        message_event(), event("conversation_updated", **conversation(1795834499.25))
    )
    assert view(working_set)["inboxName"] == "Website"
    state = parse_conversation(conversation(1795834499.25), asked_us=NOW + 9 * SECOND)
    asked = Change(1, 1, state, None, NOW)
    (entry,) = working_set.entries.values()
    before = entry.row
    assert working_set.apply(asked, SOURCE, NOW + 9 * SECOND) == (Result.SAME, Result.SAME)
    assert is_same_conversation_view(before, entry.row)


def test_an_email_left_in_the_chat_is_the_customers() -> None:
    left = {"submitted_email": "rafi@customer.example"}
    template = {"id": 91, "message_type": "template", "content_type": "input_email"}
    answered = message_event("message_updated", **template, content_attributes=left)
    working_set = played(message_event(), answered)
    assert view(working_set)["contact"].email == "rafi@customer.example"
    event_after = event("conversation_updated", **conversation(1795834499.25))
    working_set.apply(parse_delivery(event_after, NOW), SOURCE, NOW)
    assert view(working_set)["contact"].email == "rafi@customer.example"


@pytest.mark.parametrize("odd", [7, "x", [], [1], {"name": {}}, {"id": "y"}, True, None])
def test_what_does_not_fit_is_absent(odd: object) -> None:
    strange = conversation(
        1795834499.25, team=odd, snoozed_until=odd if odd != 7 else [], additional_attributes=odd
    )
    shown = view(played(event("conversation_updated", **strange, inbox=odd)))
    assert (shown["team"], shown["snoozedUntil"], shown["mailSubject"]) == (None, None, None)
    assert shown["inboxName"] is None


def test_a_mails_subject_is_bounded() -> None:
    subject = {"mail_subject": "Where is it? " * 100}
    mail = conversation(1795834499.25, additional_attributes=subject)
    assert len(view(played(event("conversation_updated", **mail)))["mailSubject"]) == 255


def test_a_new_name_of_the_customer_is_that_of_their_messages() -> None:
    """Also where the conversation tells it: the webhook of the contact may be lost."""
    renamed = conversation(1795834499.25, sender={"name": "Rafi Ahmed"})
    working_set = played(message_event(), event("conversation_updated", **renamed))
    (entry,) = working_set.entries.values()
    assert [message.row.sender_name for message in entry.messages] == ["Rafi Ahmed"]
    assert [one.kind for one in working_set.pending_events[-2:]] == [
        "message.updated",
        "conversation.updated",
    ]
    older = conversation(1795834480.25, sender={"name": "Rafi"})
    working_set.apply(
        parse_delivery(event("conversation_updated", **older), NOW + SECOND), SOURCE, NOW + SECOND
    )
    assert entry.messages[0].row.sender_name == "Rafi Ahmed"


def test_an_inbox_has_its_integrations_name_whatever_a_late_message_calls_it() -> None:
    """A payload does not say whether it was built before the inbox was renamed."""
    source = Source(integration_id=1, company_id=1, inbox_name="Dhaka")
    working_set = WorkingSet()
    told = event("conversation_created", **conversation())
    working_set.apply(parse_delivery(told, NOW), source, NOW)
    assert view(working_set)["inboxName"] == "Dhaka"
    late = message_event(conversation=conversation(1795834499.25))
    working_set.apply(parse_delivery(late, NOW), source, NOW)
    assert view(working_set)["inboxName"] == "Dhaka"


@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_conversation_of_before_takes_no_block_back(is_blocked: bool) -> None:
    """It is newer than what is stored of it, and older than the contact's news."""
    before = {"blocked": not is_blocked}
    working_set = played(message_event(conversation=conversation(sender=before)))
    (entry,) = working_set.entries.values()
    working_set.entries[1, 0] = entry
    told = event("contact_updated", **SENDER | {"blocked": is_blocked})
    working_set.apply(parse_delivery(told, NOW), SOURCE, NOW)
    late = conversation(NOW / SECOND - 2, sender=before, priority="high")
    working_set.apply(
        parse_delivery(event("conversation_updated", **late), NOW + SECOND), SOURCE, NOW + SECOND
    )
    shown = conversation_view(entry.row)
    assert (shown["priority"], shown["isBlocked"]) == ("high", is_blocked)
    newer = conversation(NOW / SECOND + 2, sender=before)
    working_set.apply(
        parse_delivery(event("conversation_updated", **newer), NOW + 3 * SECOND),
        SOURCE,
        NOW + 3 * SECOND,
    )
    assert conversation_view(entry.row)["isBlocked"] is not is_blocked


@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_delivery_of_before_takes_back_no_block_that_chatwoot_has_answered(
    is_blocked: bool,
) -> None:
    """A block moves no version: the answer and what was told before it have the same."""
    before = {"blocked": not is_blocked}
    at = NOW / SECOND - 9
    old = event("conversation_updated", **conversation(at, sender=before))
    working_set = played(old)
    state = parse_conversation(
        conversation(at, sender={"blocked": is_blocked}), asked_us=NOW + 2 * SECOND
    )
    asked = Change(None, None, state, None, NOW + 2 * SECOND)
    working_set.apply(asked, SOURCE, NOW + 3 * SECOND)
    assert view(working_set)["isBlocked"] is is_blocked
    # what the contact's own news says was known already
    (entry,) = working_set.entries.values()
    working_set.entries[1, 0] = entry
    news = event("contact_updated", **SENDER | {"blocked": is_blocked})
    working_set.apply(parse_delivery(news, NOW + 4 * SECOND), SOURCE, NOW + 4 * SECOND)
    working_set.apply(parse_delivery(old, NOW + 5 * SECOND), SOURCE, NOW + 5 * SECOND)
    assert conversation_view(entry.row)["isBlocked"] is is_blocked
