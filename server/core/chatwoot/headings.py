"""What a delivery says of itself: its event, and the account and inbox it belongs to."""

from collections.abc import Container
from typing import Any

import msgspec

from server.core.chatwoot.json_bodies import decode_json, without_mark
from server.core.chatwoot.payload_fields import Json, as_dict, first_id, first_object
from server.core.identifiers import parse_id

MESSAGE_EVENTS = ("message_created", "message_updated")
# of the agents' socket alone: the customer has seen it (conversation.rb, contact_last_seen_at)
_READ_EVENT = "conversation_read"
CONVERSATION_EVENTS = (
    "conversation_created",
    "conversation_updated",
    "conversation_status_changed",
    _READ_EVENT,
)
CONTACT_EVENTS = ("contact_created", "contact_updated", "contact_deleted")
TYPING_EVENTS = ("conversation_typing_on", "conversation_typing_off")


class _Numbered(msgspec.Struct):
    id: Any = None
    inbox_id: Any = None
    account_id: Any = None


class _Addressed(msgspec.Struct):
    """A conversation, as far as it says where it belongs."""

    inbox_id: Any = None
    account: _Numbered | None = None
    contact_inbox: _Numbered | None = None
    messages: list[_Numbered] | None = None


class _Envelope(_Addressed):
    """What finding the integration needs; the rest of a delivery is only checked to be JSON, and
    never built.
    """

    event: Any = None
    inbox: _Numbered | None = None
    conversation: _Addressed | None = None


_envelope = msgspec.json.Decoder(_Envelope)


class Heading(msgspec.Struct, frozen=True):
    """What a delivery says of itself, where it does."""

    event: str | None = None
    account_id: int | None = None
    inbox_id: int | None = None


def read_address(body: bytes) -> tuple[int | None, int | None]:
    """(account id, inbox id) of a delivery, where it names them. Raises ValueError for what is no
    JSON.
    """
    heading = read_heading(body)
    return heading.account_id, heading.inbox_id


def read_heading(body: bytes, most_patient_bytes: int | None = None) -> Heading:
    """Read the heading of a delivery. Raises ValueError for what is no JSON, and for what is
    unusual JSON above `most_patient_bytes`: that takes a hundred times as long.
    """
    body = without_mark(body)
    try:
        envelope = _envelope.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        if most_patient_bytes is not None and len(body) > most_patient_bytes:
            raise ValueError("unusual, and too large to be looked at with more patience") from None
        payload = decode_json(body)
        if not isinstance(payload, dict):
            return Heading()
        event = payload.get("event")
        return Heading(event if isinstance(event, str) else None, *address_of(payload))
    # as in `address_of`, whose rule this is in a quicker form
    is_conversation = envelope.event in CONVERSATION_EVENTS
    conversation = envelope if is_conversation else envelope.conversation or envelope
    accounts = (
        envelope.account and envelope.account.id,
        conversation.account and conversation.account.id,
    )
    nested = conversation.messages[0].account_id if conversation.messages else None
    inboxes = (envelope.inbox and envelope.inbox.id, conversation.inbox_id)
    contact_inbox = conversation.contact_inbox.inbox_id if conversation.contact_inbox else None
    event = envelope.event if isinstance(envelope.event, str) else None
    return Heading(event, first_id(*accounts, nested), first_id(*inboxes, contact_inbox))


def may_lack_account(event: str | None) -> bool:
    """Whether Chatwoot sends such an event without its account: those of a conversation that has no
    message yet, typing among them.
    """
    return event in CONVERSATION_EVENTS or event in TYPING_EVENTS


def names_contact(
    body: str, account_id: int | None, contact_id: int | None, display_ids: Container[int]
) -> bool:
    """Whether a delivery of this account speaks of a contact, or of one of these conversations:
    also one that means nothing here.
    """
    try:
        payload = decode_json(body)
    except ValueError:
        return False
    if not isinstance(payload, dict):
        return False
    event = payload.get("event")
    conversation = (
        payload
        if event in CONVERSATION_EVENTS
        else as_dict(payload.get("conversation") or payload.get("current_conversation"))
    )
    if _account_id(payload, conversation) not in (None, account_id):
        return False
    contacts = [
        as_dict(payload.get("contact")),
        as_dict(as_dict(conversation.get("meta")).get("sender")),
    ]
    if event in CONTACT_EVENTS:
        contacts.append(payload)
    is_theirs = contact_id is not None and any(
        parse_id(contact.get("id")) == contact_id for contact in contacts
    )
    number = parse_id(conversation.get("id"))
    return is_theirs or (number is not None and number in display_ids)


def address_of(payload: Json) -> tuple[int | None, int | None]:
    """(account id, inbox id), by one rule for both uses: whose secret is asked for, and whose data
    is changed.

    A conversation event is its conversation; a `conversation` inside it is nobody's, and must not
    lead to another inbox's secret.
    """
    is_conversation = payload.get("event") in CONVERSATION_EVENTS
    conversation = payload if is_conversation else as_dict(payload.get("conversation")) or payload
    return _account_id(payload, conversation), _inbox_id(payload, conversation)


def _account_id(payload: Json, conversation: Json) -> int | None:
    """Return the account's number: at the top; in the conversation (since 4.14.2); else in the
    nested message.
    """
    nested = first_object(conversation.get("messages"))
    return first_id(
        as_dict(payload.get("account")).get("id"),
        as_dict(conversation.get("account")).get("id"),
        nested.get("account_id"),
    )


def _inbox_id(payload: Json, conversation: Json) -> int | None:
    return first_id(
        as_dict(payload.get("inbox")).get("id"),
        conversation.get("inbox_id"),
        as_dict(conversation.get("contact_inbox")).get("inbox_id"),
    )
