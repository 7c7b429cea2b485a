"""Chatwoot's JSON -> changes. Takes the real payload, the documented simple one, and every mixture
between.

Shapes: Chatwoot 4.16, `app/models/message.rb` (webhook_data),
`app/presenters/conversations/event_data_presenter.rb`, and for REST `app/views/api/v1/`. Only the
top-level fields speak of the event's message: `conversation.messages[0]` may be another one.
"""

import json
from collections.abc import Container
from typing import Any

import msgspec

from server.core.bidi import without_turning
from server.core.chatwoot.changes import (
    Change,
    ConversationState,
    LastMessage,
    MessageState,
)
from server.core.chatwoot.json_bodies import decode_json as decode_json
from server.core.chatwoot.json_bodies import strip_credentials as strip_credentials
from server.core.chatwoot.json_bodies import without_mark
from server.core.chatwoot.normal_form import in_order, plain_text
from server.core.identifiers import MAX_ID, parse_id
from server.core.state.entities import Assignee, Attachment, Contact
from server.core.times import SECOND, parse_time
from server.errors import PayloadError
from server.problems import Problem

Json = dict[str, Any]

# our marker in a message's content_attributes; visitors can read it, so it is an opaque id
CLIENT_ID_KEY = "omni_client_id"
_MESSAGE_EVENTS = ("message_created", "message_updated")
# of the agents' socket alone: the customer has seen it (conversation.rb, contact_last_seen_at)
_READ_EVENT = "conversation_read"
_CONVERSATION_EVENTS = (
    "conversation_created",
    "conversation_updated",
    "conversation_status_changed",
    _READ_EVENT,
)
_CONTACT_EVENTS = ("contact_created", "contact_updated", "contact_deleted")
_TYPING_EVENTS = ("conversation_typing_on", "conversation_typing_off")
_SENDER_TYPES = {0: "customer", "0": "customer", "incoming": "customer"}
_AGENT_TYPES = (1, 3, "1", "3", "outgoing", "template")
_STATUSES = ("open", "resolved", "pending", "snoozed")
_DELIVERIES = ("progress", "sent", "delivered", "read", "failed")
_NAME_MOST = 255
# 255 characters each, six bytes where they are controls (\u0001), fit a TEXT column
_LABELS_MOST = 42


class _Numbered(msgspec.Struct):
    id: Any = None
    inbox_id: Any = None
    account_id: Any = None


class _Addressed(msgspec.Struct):
    """A conversation, as far as it tells where it belongs."""

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
    """Raises ValueError for what is no JSON, and for what is unusual JSON above
    `most_patient_bytes`: it takes a hundred times as long.
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
        return Heading(event if isinstance(event, str) else None, *_address(payload))
    # as in `_address`, whose rule this is in a quicker form
    is_conversation = envelope.event in _CONVERSATION_EVENTS
    conversation = envelope if is_conversation else envelope.conversation or envelope
    accounts = (
        envelope.account and envelope.account.id,
        conversation.account and conversation.account.id,
    )
    nested = conversation.messages[0].account_id if conversation.messages else None
    inboxes = (envelope.inbox and envelope.inbox.id, conversation.inbox_id)
    contact_inbox = conversation.contact_inbox.inbox_id if conversation.contact_inbox else None
    event = envelope.event if isinstance(envelope.event, str) else None
    return Heading(event, _first_id(*accounts, nested), _first_id(*inboxes, contact_inbox))


def may_lack_account(event: str | None) -> bool:
    """Whether Chatwoot sends such an event without its account: those of a conversation that has no
    message yet, typing among them.
    """
    return event in _CONVERSATION_EVENTS or event in _TYPING_EVENTS


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
        if event in _CONVERSATION_EVENTS
        else _dict(payload.get("conversation") or payload.get("current_conversation"))
    )
    if _account_id(payload, conversation) not in (None, account_id):
        return False
    contacts = [_dict(payload.get("contact")), _dict(_dict(conversation.get("meta")).get("sender"))]
    if event in _CONTACT_EVENTS:
        contacts.append(payload)
    is_theirs = contact_id is not None and any(
        parse_id(contact.get("id")) == contact_id for contact in contacts
    )
    number = parse_id(conversation.get("id"))
    return is_theirs or (number is not None and number in display_ids)


def _first_id(*values: object) -> int | None:
    for value in values:
        if (number := parse_id(value)) is not None:
            return number
    return None


def parse_delivery(body: bytes | str, received_us: int) -> Change:
    """The meaning of one delivery. Raises PayloadError with the journal state it ends in and the
    reason.
    """
    try:
        payload = decode_json(body)
    except ValueError:
        raise PayloadError(Problem.of("payload.no_json"), is_damaged=True) from None
    if not isinstance(payload, dict):
        raise PayloadError(Problem.of("payload.no_object"), is_damaged=True)
    try:
        return _change(payload, received_us)
    except RecursionError:  # the decoder took it, writing it as text again goes one deeper
        raise PayloadError(Problem.of("payload.too_deep")) from None


def _change(payload: Json, received_us: int) -> Change:
    event = payload.get("event")
    if event in _MESSAGE_EVENTS:
        return _message_change(payload, event, received_us)
    if event in _CONVERSATION_EVENTS:
        state = parse_conversation(payload)
        return Change(*_address(payload), state, None, state.version_us or received_us)
    if event == "contact_updated":
        return _contact_change(payload, received_us)
    if event in _TYPING_EVENTS:
        return _typing_change(payload, event, received_us)
    if isinstance(event, str) and event:
        raise PayloadError(Problem.of("payload.event_unused", event=event[:60]), outcome="ignored")
    raise PayloadError(Problem.of("payload.no_event"))


def parse_conversation(c: Json, *, asked_us: int = 0) -> ConversationState:
    """A conversation of a webhook or of REST; the two differ in small ways (`contact_inbox` is
    absent in REST).
    """
    display_id = parse_id(c.get("id"))
    if display_id is None:
        raise PayloadError(Problem.of("payload.no_conversation_id"))
    meta = _dict(c.get("meta"))
    sender = _dict(meta.get("sender"))
    contact_id = parse_id(sender.get("id")) or parse_id(
        _dict(c.get("contact_inbox")).get("contact_id")
    )
    labels = c.get("labels")
    version_us, agents_seen_us = (
        parse_time(c.get("updated_at")) or 0,
        parse_time(c.get("agent_last_seen_at")),
    )
    return ConversationState(
        display_id=display_id,
        version_us=version_us,
        contact=_contact(sender, contact_id),
        contact_name=_name(sender),
        status=c.get("status") if c.get("status") in _STATUSES else None,
        channel=_text(c.get("channel") or meta.get("channel"), 64),
        labels=tuple(str(label)[:_NAME_MOST] for label in labels[:_LABELS_MOST])
        if isinstance(labels, list)
        else None,
        assignee=_assignee(meta.get("assignee")),
        priority=_text(c.get("priority"), 16),
        waiting_since_us=parse_time(c.get("waiting_since")),
        can_reply=c["can_reply"] if isinstance(c.get("can_reply"), bool) else None,
        created_us=parse_time(c.get("created_at")),
        contact_seen_us=parse_time(c.get("contact_last_seen_at")),
        unread=_count(c.get("unread_count")),
        agents_seen_us=agents_seen_us,
        as_of_us=_as_of(c, max(version_us, agents_seen_us or 0)),
        last=_last_message(c.get("messages")),
        asked_us=asked_us,
    )


def parse_message(
    m: Json, *, asked_us: int = 0, version_us: int = 0, is_update: bool = False
) -> MessageState | None:
    """A message of a webhook (text types, ISO times) or of REST (numbers). None for an activity
    line, which is no message.

    Raises PayloadError when it lacks what every message has.
    """
    kind = m.get("message_type")
    if kind in (2, "2", "activity"):
        return None
    if (
        not isinstance(kind, (int, str))
        or isinstance(kind, bool)
        or not (kind in _SENDER_TYPES or kind in _AGENT_TYPES)
    ):
        raise PayloadError(Problem.of("payload.unknown_type", kind=str(kind)[:40]))
    created_us = parse_time(m.get("created_at"))
    if created_us is None:
        raise PayloadError(Problem.of("payload.no_created_at"))
    attributes = _dict(m.get("content_attributes"))
    sender = _dict(m.get("sender"))
    content = m.get("content")
    text = (
        content
        if isinstance(content, str)
        else ""
        if content is None
        else json.dumps(content, ensure_ascii=False)
    )
    return MessageState(
        sender_type=_SENDER_TYPES.get(kind, "agent"),
        content=plain_text(text),
        created_us=created_us,
        message_id=parse_id(m.get("id")),
        sender_name=_text(sender.get("name"), _NAME_MOST),
        content_type=_text(m.get("content_type"), 32),
        attachments=parse_attachments(m.get("attachments")),
        is_private=m.get("private") is True,
        is_deleted=attributes.get("deleted") is True,
        is_by_person=_is_by_person(kind, sender, attributes),
        is_update=is_update,
        client_id=_text(attributes.get(CLIENT_ID_KEY), 64),
        error=_text(attributes.get("external_error"), 500),
        status=_delivery(m) if kind in _AGENT_TYPES else None,
        version_us=version_us,
        asked_us=asked_us,
    )


def _is_by_person(kind: object, sender: Json, attributes: Json) -> bool:
    is_reply = kind in (1, "1", "outgoing") and sender.get("type") == "user"
    return is_reply and attributes.get("automation_rule_id") is None


def _as_of(c: Json, newest_us: int) -> int:
    """The newest moment that the conversation speaks of: what is told of it was so then, or
    later.
    """
    messages = c.get("messages")
    for one in messages[:2] if isinstance(messages, list) else ():
        if isinstance(one, dict):
            for key in ("created_at", "updated_at"):
                if (value := one.get(key)) is not None:
                    newest_us = max(newest_us, parse_time(value) or 0)
    return newest_us


def _last_message(messages: object) -> LastMessage | None:
    """What `messages[0]` says of its own delivery; it may be any message, and nothing else of it is
    used. `sent` is what every message begins with, and says nothing.
    """
    m = _dict(messages[0]) if isinstance(messages, list) and messages else {}
    number, status = parse_id(m.get("id")), _delivery(m)
    if (
        number is None
        or status is None
        or status == "sent"
        or m.get("message_type") not in _AGENT_TYPES
    ):
        return None
    return LastMessage(
        number, status, _text(_dict(m.get("content_attributes")).get("external_error"), 500)
    )


def _delivery(m: Json) -> str | None:
    status = m.get("status")
    return status if isinstance(status, str) and status in _DELIVERIES else None


def _message_change(payload: Json, event: str, received_us: int) -> Change:
    conversation = _dict(payload.get("conversation"))
    state = parse_conversation(conversation)
    simple = _dict(payload.get("contact"))
    if simple:
        known_id = state.contact.id if state.contact else None
        is_told = known_id is not None and bool(
            _dict(_dict(conversation.get("meta")).get("sender"))
        )
        state = msgspec.structs.replace(
            state,
            contact=state.contact
            if is_told
            else _contact(simple, known_id or parse_id(simple.get("id"))),
            contact_name=state.contact_name or _name(simple),
        )
    # none, or no time that anybody could read: it came when it came
    if parse_time(payload.get("created_at")) is None:
        payload = {**payload, "created_at": received_us / SECOND}
    # of the agents' socket: the message's own version
    own_us = parse_time(payload.get("updated_at")) or 0
    version_us = max(state.version_us, own_us, _nested_version(payload, conversation))
    message = parse_message(payload, version_us=version_us, is_update=event == "message_updated")
    if message is None:
        raise PayloadError(Problem.of("payload.activity"), outcome="ignored")
    as_of_us = max(state.as_of_us, own_us, message.created_us)
    if own_us or as_of_us != state.as_of_us:
        state = msgspec.structs.replace(state, is_silent=own_us > 0, as_of_us=as_of_us)
    if state.contact_name is None and message.sender_type == "customer":
        state = msgspec.structs.replace(state, contact_name=message.sender_name)
    at_us = (
        message.created_us
        if event == "message_created"
        else max(state.version_us, message.created_us)
    )
    return Change(*_address(payload), state, message, at_us)


def _nested_version(payload: Json, conversation: Json) -> int:
    """A webhook's message has no time of its last change, but for the one that its conversation
    shows as the last.
    """
    messages = conversation.get("messages")
    nested = _dict(messages[0]) if isinstance(messages, list) and messages else {}
    number = parse_id(nested.get("id"))
    is_same = number is not None and number == parse_id(payload.get("id"))
    return (parse_time(nested.get("updated_at")) or 0) if is_same else 0


def _contact_change(payload: Json, received_us: int) -> Change:
    """A contact's present state. It names no inbox and no conversation."""
    contact_id = parse_id(payload.get("id"))
    if contact_id is None:
        raise PayloadError(Problem.of("payload.no_contact_id"))
    contact = _contact(payload, contact_id)
    state = ConversationState(display_id=0, contact=contact, contact_name=_name(payload))
    account_id = _first_id(_dict(payload.get("account")).get("id"))
    return Change(account_id, None, state, None, received_us, contact_told=contact)


def _typing_change(payload: Json, event: str, received_us: int) -> Change:
    """A customer's, or that of an agent in Chatwoot: what is typed here is not told there, so none
    of it is an echo.
    """
    user = _dict(payload.get("user"))
    # a contact has no `type` in webhooks (contact.rb)
    kind, typist = user.get("type", "contact"), None
    if kind == "user":
        typist = _text(user.get("name"), _NAME_MOST) or _text(
            user.get("available_name"), _NAME_MOST
        )
    is_of_contact = kind == "contact" and payload.get("is_private") is not True
    if typist is None and not is_of_contact:
        raise PayloadError(Problem.of("payload.typing_of_people"), outcome="ignored")
    state = parse_conversation(_dict(payload.get("conversation")))
    return Change(
        *_address(payload),
        state,
        None,
        received_us,
        typing=event == "conversation_typing_on",
        typist=typist,
    )


def _address(payload: Json) -> tuple[int | None, int | None]:
    """(account id, inbox id), by one rule for both uses: whose secret is asked for, and whose data
    is changed.

    A conversation event is its conversation; a `conversation` inside it is nobody's, and must not
    lead to another inbox's secret.
    """
    is_conversation = payload.get("event") in _CONVERSATION_EVENTS
    conversation = payload if is_conversation else _dict(payload.get("conversation")) or payload
    return _account_id(payload, conversation), _inbox_id(payload, conversation)


def _account_id(payload: Json, conversation: Json) -> int | None:
    """Where the account stands: at the top; in the conversation (since 4.14.2); else in the nested
    message.
    """
    messages = conversation.get("messages")
    nested = _dict(messages[0]) if isinstance(messages, list) and messages else {}
    return _first_id(
        _dict(payload.get("account")).get("id"),
        _dict(conversation.get("account")).get("id"),
        nested.get("account_id"),
    )


def _inbox_id(payload: Json, conversation: Json) -> int | None:
    return _first_id(
        _dict(payload.get("inbox")).get("id"),
        conversation.get("inbox_id"),
        _dict(conversation.get("contact_inbox")).get("inbox_id"),
    )


def _contact(sender: Json, contact_id: int | None) -> Contact | None:
    if contact_id is None and not sender:
        return None
    return Contact(
        id=contact_id,
        email=_text(sender.get("email"), _NAME_MOST),
        phone=_text(sender.get("phone_number"), 64),
        identifier=_text(sender.get("identifier"), _NAME_MOST),
    )


def _name(sender: Json) -> str | None:
    for key in ("name", "identifier", "email", "phone_number"):
        if (name := _text(sender.get(key), _NAME_MOST)) is not None:
            return name
    return None


def _assignee(value: object) -> Assignee | None:
    agent = _dict(value)
    if not agent:
        return None
    return Assignee(
        parse_id(agent.get("id")),
        _text(agent.get("name") or agent.get("available_name"), _NAME_MOST),
    )


def parse_attachments(value: object) -> tuple[Attachment, ...]:
    """`attachments` of a message, of a webhook or of REST."""
    if not isinstance(value, list):
        return ()
    return in_order(tuple(_attachment(item) for item in value[:50] if isinstance(item, dict)))


def _attachment(a: Json) -> Attachment:
    url = _web_address(a.get("data_url"))
    return Attachment(
        id=parse_id(a.get("id")),
        type=_text(a.get("file_type"), 32) or "file",
        url=url,
        thumb_url=_web_address(a.get("thumb_url")),
        name=_file_name(a.get("fallback_title"))
        or (url.split("?")[0].rsplit("/", 1)[-1][:_NAME_MOST] if url else None),
        size_bytes=parse_id(a.get("file_size")),
        width=parse_id(a.get("width")),
        height=parse_id(a.get("height")),
    )


def _file_name(value: object) -> str | None:
    name = _text(value, _NAME_MOST)
    return without_turning(name).strip() or None if name else None


def _web_address(value: object) -> str | None:
    """Only http(s): a `javascript:` address in a forged payload would become a link in the page."""
    text = _text(value, 2000)
    return text if text and text.lower().startswith(("https://", "http://")) else None


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: object, most: int) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)  # the old documentation shows identifiers as numbers
    return value[:most] if isinstance(value, str) and value.strip() else None


def _count(value: object) -> int | None:
    return (
        value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID
        else None
    )
