"""Bodies of the webhooks, field by field as Chatwoot builds them.

Sources in Chatwoot: app/models/message.rb `webhook_data`,
app/presenters/conversations/event_data_presenter.rb, app/models/contact.rb and user.rb,
app/listeners/webhook_listener.rb.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from server.lab.chatwoot_sim.attachment_objects import files_of, in_webhook
from server.lab.chatwoot_sim.model import (
    MESSAGE_TYPE_NAMES,
    WEB_WIDGET,
    Account,
    Contact,
    ContactInbox,
    Conversation,
    JsonObject,
    Message,
    User,
)

_TIMES = ("waiting_since", "first_reply_created_at", "snoozed_until", "updated_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# ActiveSupport escapes these in every JSON it writes, so a signature over re-encoded JSON never
# fits
_RAILS_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def encode_body(payload: Mapping[str, Any]) -> bytes:
    """`payload.to_json` of Rails: compact, UTF-8, with `<`, `>`, `&`, U+2028 and U+2029 as
    `\\uXXXX`.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_RAILS_ESCAPES).encode()


def iso_ms(at: float | None) -> str | None:
    """Unix seconds as ISO 8601 UTC, cut (not rounded) to milliseconds:
    `2026-07-18T09:01:05.204Z`.
    """
    if at is None:
        return None
    moment = _EPOCH + timedelta(microseconds=round(at * 1_000_000))
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def unix(at: float | None) -> int:
    """Whole unix seconds; 0 where Chatwoot has no time."""
    return int(at or 0)


def account_ref(account: Account) -> JsonObject:
    """The `account` of a payload."""
    return {"id": account.id, "name": account.name}


def contact_push(contact: Contact) -> JsonObject:
    """`Contact#push_event_data`: in `conversation.meta.sender` and as a nested message's sender."""
    return {
        "additional_attributes": contact.additional_attributes,
        "custom_attributes": contact.custom_attributes,
        "email": contact.email,
        "id": contact.id,
        "identifier": contact.identifier,
        "name": contact.name,
        "phone_number": contact.phone_number,
        "thumbnail": "",
        "blocked": contact.blocked,
        "bsuid": None,
        "whatsapp_username": None,
        "type": "contact",
        "company_id": contact.company_id,
    }


def contact_webhook(contact: Contact) -> JsonObject:
    """`Contact#webhook_data`: top-level `sender` of an incoming message; it has no `type`."""
    return {
        "account": account_ref(contact.account),
        "additional_attributes": contact.additional_attributes,
        "avatar": "",
        "custom_attributes": contact.custom_attributes,
        "email": contact.email,
        "id": contact.id,
        "identifier": contact.identifier,
        "name": contact.name,
        "phone_number": contact.phone_number,
        "thumbnail": "",
        "blocked": contact.blocked,
        "bsuid": None,
        "whatsapp_username": None,
    }


def user_push(user: User, availability: str | None = None) -> JsonObject:
    """`User#push_event_data`; a bot's lacks the person's fields. `availability_status` is null in
    webhooks, and known where a person's request is answered.
    """
    if user.kind == "agent_bot":
        return {"id": user.id, "name": user.name, "avatar_url": "", "type": "agent_bot"}
    return {
        "id": user.id,
        "name": user.name,
        "available_name": user.available_name,
        "avatar_url": "",
        "type": "user",
        "availability_status": availability,
        "thumbnail": "",
    }


def sender_push(
    sender: Contact | User | None, availability: str | None = None
) -> JsonObject | None:
    """A sender as frames and REST show it."""
    if sender is None:
        return None
    if isinstance(sender, Contact):
        return contact_push(sender)
    return user_push(sender, availability)


def sender_webhook(sender: Contact | User | None) -> JsonObject | None:
    """A sender as webhooks show it."""
    if sender is None:
        return None
    if isinstance(sender, Contact):
        return contact_webhook(sender)
    if sender.kind == "agent_bot":
        return {"id": sender.id, "name": sender.name, "type": "agent_bot"}
    return {"id": sender.id, "name": sender.name, "email": sender.email, "type": "user"}


def _contact_inbox_row(contact_inbox: ContactInbox) -> JsonObject:
    """The whole row, pubsub_token included: so does Chatwoot (its issue #4180)."""
    return {
        "id": contact_inbox.id,
        "contact_id": contact_inbox.contact.id,
        "inbox_id": contact_inbox.inbox.id,
        "source_id": contact_inbox.source_id,
        "created_at": iso_ms(contact_inbox.created_at),
        "updated_at": iso_ms(contact_inbox.created_at),
        "hmac_verified": False,
        "pubsub_token": contact_inbox.pubsub_token,
    }


def _sender_type(sender: Contact | User | None) -> str | None:
    if sender is None:
        return None
    if isinstance(sender, Contact):
        return "Contact"
    return "AgentBot" if sender.kind == "agent_bot" else "User"


def message_push(message: Message, base_url: str) -> JsonObject:
    """`Message#push_event_data`: all columns, `message_type` an int, `created_at` whole unix
    seconds.
    """
    conversation = message.conversation
    data: JsonObject = {
        "id": message.id,
        "content": message.content,
        "account_id": conversation.account.id,
        "inbox_id": conversation.inbox.id,
        "conversation_id": conversation.display_id,
        "message_type": message.message_type,
        "created_at": unix(message.created_at),
        "updated_at": iso_ms(message.updated_at),
        "private": message.private,
        "status": message.status,
        "source_id": message.source_id,
        "content_type": message.content_type,
        "content_attributes": message.content_attributes,
        "sender_type": _sender_type(message.sender),
        "sender_id": message.sender.id if message.sender else None,
        "external_source_ids": {},
        "additional_attributes": message.additional_attributes,
        "processed_message_content": message.content,
        "sentiment": {},
        "conversation": {
            "assignee_id": conversation.assignee.id if conversation.assignee else None,
            "group": False,
            "group_source_id": None,
            "group_title": None,
            "unread_count": conversation.unread_count,
            "last_activity_at": unix(conversation.last_activity_at),
            "contact_inbox": {"source_id": conversation.contact_inbox.source_id},
        },
    }
    if message.attachments:
        data["attachments"] = files_of(message.attachments, base_url)
    if message.sender is not None:
        data["sender"] = sender_push(message.sender)
    return data


def _assignee_type(conversation: Conversation) -> str | None:
    return _sender_type(conversation.assignee)


def conversation_data(conversation: Conversation, base_url: str) -> JsonObject:
    """The conversation object of every webhook. `id` is the display id; `messages` holds at most
    the last public one.
    """
    shown = conversation.last_public_message
    return {
        "additional_attributes": conversation.additional_attributes,
        "can_reply": conversation.can_reply,
        "channel": conversation.inbox.channel,
        "contact_inbox": _contact_inbox_row(conversation.contact_inbox),
        "group": False,
        "group_source_id": None,
        "group_title": None,
        "group_picture": None,
        "group_contacts_count": 0,
        "id": conversation.display_id,
        "inbox_id": conversation.inbox.id,
        "messages": [message_push(shown, base_url)] if shown else [],
        "labels": list(conversation.labels),
        "meta": {
            "sender": contact_push(conversation.contact),
            "assignee": user_push(conversation.assignee) if conversation.assignee else None,
            "assignee_type": _assignee_type(conversation),
            "team": conversation.team,
            "hmac_verified": False,
        },
        "status": conversation.status,
        "custom_attributes": conversation.custom_attributes,
        "snoozed_until": iso_ms(conversation.snoozed_until),
        "unread_count": conversation.unread_count,
        "first_reply_created_at": iso_ms(conversation.first_reply_created_at),
        "priority": conversation.priority,
        "waiting_since": unix(conversation.waiting_since),
        "agent_last_seen_at": unix(conversation.agent_last_seen_at),
        "contact_last_seen_at": unix(conversation.contact_last_seen_at),
        "last_activity_at": unix(conversation.last_activity_at),
        "timestamp": unix(conversation.last_activity_at),
        "created_at": unix(conversation.created_at),
        "updated_at": conversation.updated_at,
        "applied_sla": None,
        "sla_events": [],
        "sla_policy_id": None,
        "account": account_ref(conversation.account),
    }


def message_event(event: str, message: Message, base_url: str) -> JsonObject:
    """`message_created` and `message_updated`: string `message_type`, ISO `created_at`, no
    top-level contact.
    """
    conversation = message.conversation
    content = _sent_content(message, base_url)
    payload: JsonObject = {
        "account": account_ref(conversation.account),
        "additional_attributes": message.additional_attributes,
        "content_attributes": message.content_attributes,
        "content_type": message.content_type,
        "content": None if content is None else content.replace("\\\n", "\n").rstrip("\n"),
        "conversation": conversation_data(conversation, base_url),
        "created_at": iso_ms(message.created_at),
        "id": message.id,
        "inbox": {"id": conversation.inbox.id, "name": conversation.inbox.name},
        "message_type": MESSAGE_TYPE_NAMES[message.message_type],
        "status": "deleted" if message.content_attributes.get("deleted") else message.status,
        "private": message.private,
        "sender": sender_webhook(message.sender),
        "source_id": message.source_id,
    }
    if message.attachments:
        payload["attachments"] = in_webhook(message.attachments, base_url)
    payload["event"] = event
    return payload


def _sent_content(message: Message, base_url: str) -> str | None:
    """What the customer gets: where no web chat shows the stars, the address of a survey."""
    conversation = message.conversation
    if message.content_type != "input_csat" or conversation.inbox.channel == WEB_WIDGET:
        return message.content
    return f"Please rate this conversation, {base_url}/survey/responses/{conversation.uuid}"


def conversation_event(
    event: str, conversation: Conversation, base_url: str, changes: list[JsonObject] | None = None
) -> JsonObject:
    """A conversation at the top level; all but `conversation_created` have `changed_attributes`
    (null for a status).
    """
    payload = conversation_data(conversation, base_url) | {"event": event}
    if event != "conversation_created":
        payload["changed_attributes"] = changes
    return payload


def typing_event(
    event: str, conversation: Conversation, user: Contact | User, base_url: str, private: bool
) -> JsonObject:
    """The body of `conversation_typing_on` and `conversation_typing_off`."""
    return {
        "event": event,
        "user": sender_webhook(user),
        "conversation": conversation_data(conversation, base_url),
        "is_private": private,
    }


def contact_event(
    event: str, contact: Contact, changes: list[JsonObject] | None = None
) -> JsonObject:
    """The body of a contact's event; `changes` only for `contact_updated`."""
    payload = contact_webhook(contact) | {"event": event}
    if event == "contact_updated":
        payload["changed_attributes"] = changes
    return payload


def widget_event(
    contact_inbox: ContactInbox, current: Conversation | None, base_url: str, at: float
) -> JsonObject:
    """`webwidget_triggered`: the customer opened the chat window."""
    return {
        "id": contact_inbox.id,
        "contact": contact_webhook(contact_inbox.contact),
        "inbox": {"id": contact_inbox.inbox.id, "name": contact_inbox.inbox.name},
        "account": account_ref(contact_inbox.contact.account),
        "current_conversation": conversation_data(current, base_url) if current else None,
        "source_id": contact_inbox.source_id,
        "event": "webwidget_triggered",
        "event_info": {
            "initiated_at": {"timestamp": browser_time(at)},
            "referer": f"{base_url}/",
            "widget_language": "bn",
            "browser_language": "bn",
            "browser": BROWSER,
        },
    }


def changed_attributes(changes: Mapping[str, tuple[Any, Any]]) -> list[JsonObject]:
    """`{"status": ("open", "resolved")}` as Chatwoot writes it: a list, one key per object."""
    return [
        {key: {"previous_value": before, "current_value": after}}
        for key, (before, after) in changes.items()
    ]


def browser_time(at: float) -> str:
    """A moment as JavaScript's Date writes it: the web widget sends it so, and Chatwoot passes it
    on.
    """
    return (
        f"{datetime.fromtimestamp(at, UTC):%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated "
        "Universal Time)"
    )


def described_change(name: str, before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """A changed column, under the names and in the form `previous_changes` gives it."""
    if name in _TIMES:
        return {name: (iso_ms(before), iso_ms(after))}
    if name == "assignee":
        return {"assignee_id": (before.id if before else None, after.id if after else None)}
    if name == "labels":
        return {
            "cached_label_list": (", ".join(before), ", ".join(after)),
            "label_list": (before, after),
        }
    return {name: (before, after)}


BROWSER = {
    "browser_name": "Firefox",
    "browser_version": "128.0",
    "device_name": "Unknown",
    "platform_name": "Linux",
    "platform_version": "",
}
