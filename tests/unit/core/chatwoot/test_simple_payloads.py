"""The documented simple payload, its mixtures with the real one, and where an address may stand."""

from typing import Any

import pytest

from server.core.state.entities import Contact
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Source
from server.core.times import SECOND
from server.errors import PayloadError
from tests.kit.webhook import realistic_payload
from tests.unit.core.payloads import (
    RECEIVED_US,
    documented,
    message_of,
    parse,
)


def test_the_simple_payload_makes_the_documented_row() -> None:
    """`chatwoot_111_67890`, Open, named John Doe, with a customer's message of that second."""
    working_set = WorkingSet()
    working_set.apply(parse(documented()), Source(3, 1), RECEIVED_US)
    (entry,) = working_set.entries.values()
    row, message = entry.row, entry.messages[0].row
    assert (row.external_user_id, row.external_user_name, row.status) == (
        "chatwoot_111_67890",
        "John Doe",
        "Open",
    )
    assert (message.sender_type, message.content, message.created_us) == (
        "customer",
        "Hello",
        1_700_000_000 * SECOND,
    )
    assert row.last_message_us == message.created_us


def test_the_simple_payload_tells_the_contact() -> None:
    """Its identifier is kept beside the number, which stands in `contact_inbox` as well."""
    assert parse(documented()).conversation.contact == Contact(id=111, identifier="john-1")


@pytest.mark.parametrize("name", [None, "", "  "])
def test_without_a_name_the_identifier_stands(name: str | None) -> None:
    """The page must show something."""
    payload = documented(contact={"id": 111, "name": name, "identifier": "john-1"})
    assert parse(payload).conversation.contact_name == "john-1"


@pytest.mark.parametrize(
    ("contact", "name"),
    [
        ({"email": "a@b.c"}, "a@b.c"),
        ({"phone_number": "+33"}, "+33"),
        ({"identifier": 55}, "55"),
        ({}, None),
    ],
)
def test_then_the_address_or_the_number(contact: dict[str, Any], name: str | None) -> None:
    """Whatever is there, in this order; the old documentation shows identifiers as numbers."""
    assert parse(documented(contact=contact)).conversation.contact_name == name


@pytest.mark.parametrize(
    ("kind", "sender_type"),
    [
        *((kind, "customer") for kind in (0, "0", "incoming")),
        *((kind, "agent") for kind in (1, "1", "outgoing", 3, "3", "template")),
    ],
)
def test_the_sender_follows_the_message_type(kind: int | str, sender_type: str) -> None:
    """Numbers and words mean the same; templates speak for the company."""
    assert message_of(documented(message_type=kind)).sender_type == sender_type


@pytest.mark.parametrize("kind", [2, "2", "activity"])
def test_activity_lines_are_ignored(kind: int | str) -> None:
    """Nobody said them."""
    with pytest.raises(PayloadError) as refused:
        parse(documented(message_type=kind))
    assert refused.value.outcome == "ignored"


@pytest.mark.parametrize("kind", [None, True, False, 4, -1, "", "Incoming", 0.5, [], {}, [0]])
def test_an_unknown_message_type_is_dead(kind: object) -> None:
    """Guessing who spoke would put words into someone's mouth."""
    with pytest.raises(PayloadError, match="unknown message_type") as refused:
        parse(documented(message_type=kind))
    assert refused.value.outcome == "dead"


@pytest.mark.parametrize("created_at", [None, "", "yesterday", 0, [], {}, True, 10**30])
def test_a_missing_time_is_the_time_of_arrival(created_at: object) -> None:
    """Also one that nobody can read: the message is worth more than its moment, and webhooks come
    soon.
    """
    assert message_of(documented(created_at=created_at)).created_us == RECEIVED_US


@pytest.mark.parametrize(
    "created_at",
    [
        1_700_000_000,
        1_700_000_000.0,
        "1700000000",
        "2023-11-14T22:13:20Z",
        "2023-11-14 22:13:20 UTC",
    ],
)
def test_every_form_of_time_is_taken(created_at: object) -> None:
    """In the simple payload and in the real one."""
    assert message_of(documented(created_at=created_at)).created_us == 1_700_000_000 * SECOND


def test_a_real_payload_with_the_old_contact_is_one() -> None:
    """`conversation.meta.sender` wins; the top-level contact fills what is missing."""
    real = realistic_payload(
        "message_created.incoming", {"contact": {"id": 5, "name": "Old", "identifier": "old"}}
    )
    assert parse(real).conversation.contact_name == "Léa Moreau"
    assert parse(real).conversation.contact == Contact(
        9071, "lea.moreau@example.org", "+33612345678", "crm-55012"
    )
    real["conversation"]["meta"]["sender"] = {}
    assert parse(real).conversation.contact == Contact(9071, identifier="old")
    real["conversation"]["contact_inbox"] = None
    assert parse(real).conversation.contact == Contact(5, identifier="old")


def test_without_any_contact_the_sender_names_the_customer() -> None:
    """But an agent's name is never the customer's."""
    payload = documented(contact=None, sender={"name": "Ann"})
    assert parse(payload).conversation.contact_name == "Ann"
    assert parse(payload | {"message_type": 1}).conversation.contact_name is None
    assert parse(payload | {"conversation": {"id": 5}}).conversation.contact is None


@pytest.mark.parametrize(
    "changes",
    [
        {"account": None, "conversation": {"account": {"id": 3}}},
        {"account": {}, "conversation": {"messages": [{"account_id": 3}]}},
        {"account": {"id": "3"}},
    ],
)
def test_the_account_is_found_wherever_it_stands(changes: dict[str, Any]) -> None:
    """At the top, in the conversation, in the nested message; as a number or as digits."""
    assert parse(realistic_payload("message_created.incoming", changes)).account_id == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"inbox": None},
        {"inbox": None, "conversation": {"inbox_id": None}},
        {"inbox": {"id": "12"}, "conversation": {"inbox_id": 99}},
    ],
)
def test_the_inbox_is_found_wherever_it_stands(changes: dict[str, Any]) -> None:
    """At the top, in the conversation, in its contact inbox."""
    assert parse(realistic_payload("message_created.incoming", changes)).inbox_id == 12


@pytest.mark.parametrize(
    "conversation",
    [
        None,
        {},
        {"id": 0},
        {"id": -1},
        {"id": True},
        {"id": 1.5},
        {"id": 2**63},
        {"id": "x"},
        {"id": "1" * 20},
        [],
    ],
)
def test_without_a_conversation_number_it_is_dead(conversation: object) -> None:
    """There is nothing to hang it on."""
    with pytest.raises(PayloadError, match="no conversation id") as refused:
        parse(documented(conversation=conversation))
    assert refused.value.outcome == "dead"


@pytest.mark.parametrize("event", [None, "", 5, [], {}])
def test_without_an_event_name_it_is_dead(event: object) -> None:
    """Someone else's webhook, pointed at us."""
    with pytest.raises(PayloadError, match="no event name"):
        parse(documented(event=event))
