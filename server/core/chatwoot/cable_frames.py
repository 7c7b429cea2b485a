"""Frames of Chatwoot's agents' socket (ActionCable) -> the webhooks with the same meaning.

What the socket tells goes the same way as what a webhook tells: into the journal, and from there
into ingest. It is written down in a webhook's form, so that nobody after this needs to know two.
Shapes: recorded from a running 4.16. Nothing of a frame but its `message` is kept: its `identifier`
is the token of whoever listens.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from server.core.chatwoot.json_bodies import decode_json, strip_credentials
from server.core.identifiers import is_id
from server.core.times import SECOND, parse_time
from server.errors import PayloadError

Json = dict[str, Any]
CONTROLS = ("welcome", "ping", "confirm_subscription", "reject_subscription", "disconnect")
ACTIVITY = 2  # message_type of a line like "Assigned to ...", which is no message here
# of newer Chatwoots: of some conversation of the account
UNREAD_CHANGED = "conversation.unread_count_changed"
# account.rb, cache_keys.rb: an inbox, a label or a team of it was written
ACCOUNT_CHANGED = "account.cache_invalidated"
_CONVERSATIONS = {
    "conversation.created": "conversation_created",
    "conversation.updated": "conversation_updated",
    "conversation.status_changed": "conversation_status_changed",
    "conversation.contact_changed": "conversation_updated",
    "conversation.read": "conversation_read",
    "assignee.changed": "conversation_updated",
    "team.changed": "conversation_updated",
}
_MESSAGES = {"message.created": "message_created", "message.updated": "message_updated"}
_TYPING = {
    "conversation.typing_on": "conversation_typing_on",
    "conversation.typing_off": "conversation_typing_off",
}
_CONTACTS = {
    "contact.updated": "contact_updated",
    "contact.merged": "contact_updated",
    "contact.deleted": "contact_deleted",
}


class News(msgspec.Struct, frozen=True):
    """One frame as a webhook's body. `inbox_id` None: of a contact, who may be in any inbox of the
    account.
    """

    event: str
    inbox_id: int | None
    body: str
    contact_id: int | None = None
    is_new_message: bool = False
    at_us: int = 0  # when Chatwoot says it happened


class _Frame(msgspec.Struct):
    type: Any = None
    message: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Frame)


def read_frame(frame: bytes) -> tuple[str, Json]:
    """(one of CONTROLS, nothing) or ("", the message). Raises PayloadError for what is neither."""
    try:
        outer = _decoder.decode(frame)
        if isinstance(outer.type, str) and outer.type in CONTROLS:
            return outer.type, {}
        message = decode_json(bytes(outer.message))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise PayloadError("the frame is no JSON of ActionCable's") from None
    if (
        not isinstance(message, dict)
        or not isinstance(message.get("event"), str)
        or not isinstance(message.get("data"), dict)
    ):
        raise PayloadError("the frame holds no event")
    return "", message


def news_of(message: Mapping[str, Any], account_id: int) -> News | None:
    """Return the webhook that a message of the socket means; None where it means nothing here.
    Raises PayloadError for another account's, and for what lacks its numbers.
    """
    event, data = str(message["event"]), message["data"]
    made = _translated(event, data)
    if made is None:
        return None
    if _number(data.get("account_id")) != account_id:
        raise PayloadError("the frame is of another account")
    payload, inbox_id = made
    payload["account"] = {"id": account_id}
    is_contact = event in _CONTACTS
    if not is_contact and inbox_id is None:
        raise PayloadError("the frame names no inbox")
    try:
        body = strip_credentials(msgspec.json.encode(payload)).decode()
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise PayloadError("the frame cannot be written down") from None
    return News(
        event=payload["event"],
        inbox_id=None if is_contact else inbox_id,
        body=body,
        contact_id=_number(data.get("id")) if is_contact else None,
        is_new_message=event == "message.created",
        at_us=parse_time(payload.get("created_at")) or 0,
    )


def _translated(event: str, data: Json) -> tuple[Json, int | None] | None:
    """(a webhook's payload but for its account, the inbox); None for what means nothing here."""
    inbox_id = _number(data.get("inbox_id"))
    if event in _MESSAGES:
        if data.get("message_type") == ACTIVITY:
            return _activity(event, data, inbox_id)
        return _message(event, data, inbox_id), inbox_id
    if event in _CONVERSATIONS:
        return {**data, "event": _CONVERSATIONS[event]}, inbox_id
    if event in _TYPING:
        conversation = data.get("conversation")
        described = conversation if isinstance(conversation, dict) else {}
        kept = {name: data.get(name) for name in ("user", "is_private")}
        return {**kept, "conversation": described, "event": _TYPING[event]}, _number(
            described.get("inbox_id")
        )
    if event in _CONTACTS:
        return {**data, "event": _CONTACTS[event]}, None
    return None


def _activity(event: str, data: Json, inbox_id: int | None) -> tuple[Json, int | None] | None:
    """Return the reading that an activity line shows: it is no message here, but some Chatwoots
    write one when an agent opens a conversation.
    """
    nested = data.get("conversation")
    if (
        event != "message.created"
        or not isinstance(nested, dict)
        or nested.get("unread_count") != 0
    ):
        return None
    at = {"created_at": data.get("created_at"), "updated_at": data.get("updated_at")}
    described = {
        "id": data.get("conversation_id"),
        "inbox_id": inbox_id,
        "unread_count": 0,
        "messages": [at],
    }
    return {**described, "event": "conversation_read"}, inbox_id


def _message(event: str, data: Json, inbox_id: int | None) -> Json:
    """`updated_at` stays: it is the message's own version, which webhooks do not tell. A
    conversation says little here.
    """
    nested = data.get("conversation")
    contact_inbox = nested.get("contact_inbox") if isinstance(nested, dict) else None
    payload = {
        name: value
        for name, value in data.items()
        if name not in ("conversation", "previous_changes", "performer")
    }
    created_us, updated_us = parse_time(data.get("created_at")), parse_time(data.get("updated_at"))
    if (
        event == "message.created"
        and created_us
        and updated_us
        and created_us // SECOND == updated_us // SECOND
    ):
        # the same moment, and by the millisecond as a webhook has it
        payload["created_at"] = data["updated_at"]
    conversation = {
        "id": data.get("conversation_id"),
        "inbox_id": inbox_id,
        "contact_inbox": contact_inbox,
    }
    if isinstance(nested, dict) and "unread_count" in nested:
        conversation["unread_count"] = nested["unread_count"]
    return {
        **payload,
        "event": _MESSAGES[event],
        "inbox": {"id": inbox_id},
        "conversation": conversation,
    }


def _number(value: object) -> int | None:
    return value if is_id(value) else None
