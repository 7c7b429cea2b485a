"""Deliveries of Chatwoot's -> changes. Takes the real payload, the documented simple one, and every
mixture between.

Shapes: Chatwoot 4.16, `app/models/message.rb` (webhook_data),
`app/presenters/conversations/event_data_presenter.rb`, and for REST `app/views/api/v1/`. Only the
top-level fields speak of the event's message: `conversation.messages[0]` may be another one.
"""

import msgspec

from server.core.chatwoot.changes import Change, ConversationState
from server.core.chatwoot.conversation_payloads import (
    contact_of,
    inbox_name_of,
    name_of,
    parse_conversation,
)
from server.core.chatwoot.headings import (
    CONVERSATION_EVENTS,
    MESSAGE_EVENTS,
    TYPING_EVENTS,
    address_of,
)
from server.core.chatwoot.html_text import source_of
from server.core.chatwoot.json_bodies import decode_json
from server.core.chatwoot.message_payloads import parse_message
from server.core.chatwoot.payload_fields import (
    MAX_NAME_CHARACTERS,
    Json,
    as_dict,
    as_text,
    first_id,
    first_object,
)
from server.core.identifiers import parse_id
from server.core.state.marks import Marks
from server.core.times import SECOND, parse_time
from server.errors import PayloadError
from server.problems import Problem


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
    if event in MESSAGE_EVENTS:
        return _message_change(payload, event, received_us)
    if event in CONVERSATION_EVENTS:
        state = parse_conversation(payload)
        if event == "conversation_created":
            state = msgspec.structs.replace(state, is_creation=True)
        return Change(*address_of(payload), state, None, state.version_us or received_us)
    if event == "contact_updated":
        return _contact_change(payload, received_us)
    if event in TYPING_EVENTS:
        return _typing_change(payload, event, received_us)
    if isinstance(event, str) and event:
        raise PayloadError(Problem.of("payload.event_unused", event=event[:60]), outcome="ignored")
    raise PayloadError(Problem.of("payload.no_event"))


def _message_change(payload: Json, event: str, received_us: int) -> Change:
    conversation = as_dict(payload.get("conversation"))
    state = parse_conversation(conversation)
    simple = as_dict(payload.get("contact"))
    if simple:
        known_id = state.contact.id if state.contact else None
        is_told = known_id is not None and bool(
            as_dict(as_dict(conversation.get("meta")).get("sender"))
        )
        state = msgspec.structs.replace(
            state,
            contact=state.contact
            if is_told
            else contact_of(simple, known_id or parse_id(simple.get("id"))),
            contact_name=state.contact_name or name_of(simple),
        )
    # none, or no time that anybody could read: it came when it came
    if parse_time(payload.get("created_at")) is None:
        payload = {**payload, "created_at": received_us / SECOND}
    # of the agents' socket: the message's own version
    own_us = parse_time(payload.get("updated_at")) or 0
    version_us = max(state.version_us, own_us, _nested_version(payload, conversation))
    payload = {**payload, "content": source_of(payload.get("content"))}
    message = parse_message(payload, version_us=version_us, is_update=event == "message_updated")
    if message is None:
        raise PayloadError(Problem.of("payload.activity"), outcome="ignored")
    as_of_us = max(state.as_of_us, own_us, message.created_us)
    if own_us or as_of_us != state.as_of_us:
        state = msgspec.structs.replace(state, is_silent=own_us > 0, as_of_us=as_of_us)
    if state.contact_name is None and message.sender_type == "customer":
        state = msgspec.structs.replace(state, contact_name=message.sender_name)
    state = _with_message_marks(state, payload)
    at_us = (
        message.created_us
        if event == "message_created"
        else max(state.version_us, message.created_us)
    )
    return Change(*address_of(payload), state, message, at_us)


def _with_message_marks(state: ConversationState, payload: Json) -> ConversationState:
    """What a message's event says of its conversation: the inbox's name, and the address that the
    customer left in answer to a question.
    """
    inbox_name = inbox_name_of(payload)
    given = as_text(
        as_dict(payload.get("content_attributes")).get("submitted_email"), MAX_NAME_CHARACTERS
    )
    if state.marks is None or not (inbox_name or given):
        return state
    marks = msgspec.structs.replace(
        state.marks, inbox_name=inbox_name or state.marks.inbox_name, given_email=given
    )
    return msgspec.structs.replace(state, marks=marks)


def _nested_version(payload: Json, conversation: Json) -> int:
    """A webhook's message has no time of its last change, but for the one that its conversation
    shows as the last.
    """
    nested = first_object(conversation.get("messages"))
    number = parse_id(nested.get("id"))
    is_same = number is not None and number == parse_id(payload.get("id"))
    return (parse_time(nested.get("updated_at")) or 0) if is_same else 0


def _contact_change(payload: Json, received_us: int) -> Change:
    """A contact's present state. It names no inbox and no conversation."""
    contact_id = parse_id(payload.get("id"))
    if contact_id is None:
        raise PayloadError(Problem.of("payload.no_contact_id"))
    contact = contact_of(payload, contact_id)
    marks = Marks(is_blocked=payload.get("blocked") is True)
    state = ConversationState(
        display_id=0, contact=contact, contact_name=name_of(payload), marks=marks
    )
    account_id = first_id(as_dict(payload.get("account")).get("id"))
    return Change(account_id, None, state, None, received_us, contact_update=contact)


def _typing_change(payload: Json, event: str, received_us: int) -> Change:
    """Return a customer's typing, or that of an agent in Chatwoot. What is typed here comes back
    as typing of the token's owner.
    """
    user = as_dict(payload.get("user"))
    # a contact has no `type` in webhooks (contact.rb)
    kind, typist = user.get("type", "contact"), None
    if kind == "user":
        typist = as_text(user.get("name"), MAX_NAME_CHARACTERS) or as_text(
            user.get("available_name"), MAX_NAME_CHARACTERS
        )
    is_of_contact = kind == "contact" and payload.get("is_private") is not True
    if typist is None and not is_of_contact:
        raise PayloadError(Problem.of("payload.typing_of_people"), outcome="ignored")
    state = parse_conversation(as_dict(payload.get("conversation")))
    return Change(
        *address_of(payload),
        state,
        None,
        received_us,
        typing=event == "conversation_typing_on",
        typist=typist,
        typist_id=None if typist is None else parse_id(user.get("id")),
    )
