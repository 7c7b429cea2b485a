"""A message in Chatwoot's JSON, of a webhook or of REST -> MessageState."""

import json
from collections.abc import Mapping
from typing import Any

from server.core.chatwoot.attachment_payloads import parse_attachments
from server.core.chatwoot.changes import MessageState
from server.core.chatwoot.detail_payloads import is_unsigned_echo, parse_details
from server.core.chatwoot.html_text import text_of_html
from server.core.chatwoot.normal_form import plain_text
from server.core.chatwoot.payload_fields import (
    MAX_NAME_CHARACTERS,
    Json,
    as_dict,
    as_text,
)
from server.core.identifiers import parse_id
from server.core.times import parse_time, rounded
from server.errors import PayloadError
from server.problems import Problem

# our marker in a message's content_attributes; visitors can read it, so it is an opaque id
CLIENT_ID_KEY = "omni_client_id"
_SENDER_TYPES = {0: "customer", "0": "customer", "incoming": "customer"}
AGENT_TYPES = (1, 3, "1", "3", "outgoing", "template")
_STATES = ("progress", "sent", "delivered", "read", "failed")


def parse_message(
    m: Json, *, asked_us: int = 0, version_us: int = 0, is_update: bool = False
) -> MessageState | None:
    """Parse a message of a webhook (text types, ISO times) or of REST (numbers). None for an
    activity line, which is no message.

    Raises PayloadError when it lacks what every message has.
    """
    kind = m.get("message_type")
    if kind in (2, "2", "activity"):
        return None
    sender_type = _sender_type(kind)
    created_us = parse_time(m.get("created_at"))
    if created_us is None:
        raise PayloadError(Problem.of("payload.no_created_at"))
    attributes = as_dict(m.get("content_attributes"))
    sender = as_dict(m.get("sender"))
    content = plain_text(_text_of(m.get("content"))) or _mail_text(m, attributes)
    return MessageState(
        sender_type=sender_type,
        content=content,
        created_us=created_us,
        message_id=parse_id(m.get("id")),
        sender_name=as_text(sender.get("name"), MAX_NAME_CHARACTERS),
        content_type=as_text(m.get("content_type"), 32),
        attachments=parse_attachments(m),
        is_private=m.get("private") is True,
        is_deleted=is_deleted(m),
        is_by_person=_is_by_person(kind, sender, attributes),
        is_update=is_update,
        client_id=as_text(attributes.get(CLIENT_ID_KEY), 64),
        error=as_text(attributes.get("external_error"), 500),
        status=delivery_status(m) if kind in AGENT_TYPES else None,
        version_us=rounded(version_us),
        asked_us=asked_us,
        edited_us=parse_time(attributes.get("edited_at")),
        details=parse_details(m, content),
        has_guessed_sender=is_unsigned_echo(m),
        sender_id=parse_id(sender.get("id")) if sender.get("type") == "user" else None,
    )


def _sender_type(kind: object) -> str:
    if isinstance(kind, (int, str)) and not isinstance(kind, bool):
        if kind in _SENDER_TYPES:
            return _SENDER_TYPES[kind]
        if kind in AGENT_TYPES:
            return "agent"
    raise PayloadError(Problem.of("payload.unknown_type", kind=str(kind)[:40]))


def is_deleted(m: Mapping[str, Any]) -> bool:
    """Whether it was deleted: other words stand for it, and its state stays what it was."""
    return as_dict(m.get("content_attributes")).get("deleted") is True


def _text_of(content: object) -> str:
    """A form's content is an object: its JSON is shown."""
    if isinstance(content, str):
        return content
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _mail_text(m: Json, attributes: Json) -> str:
    """Some mails have no text but that of their HTML."""
    source = as_dict(as_dict(attributes.get("email")).get("html_content")).get("full")
    is_mail = m.get("content_type") == "incoming_email" and not is_deleted(m)
    return text_of_html(source) if is_mail and isinstance(source, str) else ""


def _is_by_person(kind: object, sender: Json, attributes: Json) -> bool:
    is_reply = kind in (1, "1", "outgoing") and sender.get("type") == "user"
    return is_reply and attributes.get("automation_rule_id") is None


def delivery_status(m: Json) -> str | None:
    """Return how far Chatwoot says the message has come; None for a word it does not have."""
    status = m.get("status")
    return status if isinstance(status, str) and status in _STATES else None
