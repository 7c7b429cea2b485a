"""A conversation in Chatwoot's JSON, of a webhook or of REST -> ConversationState."""

from server.core.chatwoot.changes import ConversationState, LastMessage
from server.core.chatwoot.message_payloads import AGENT_TYPES, delivery_status
from server.core.chatwoot.payload_fields import (
    MAX_NAME_CHARACTERS,
    Json,
    as_count,
    as_dict,
    as_text,
    first_object,
)
from server.core.identifiers import parse_id
from server.core.state.entities import Assignee, Contact
from server.core.state.marks import Marks, Team
from server.core.state.reply_window import has_window
from server.core.times import DAY_US, parse_time, parse_version
from server.errors import PayloadError
from server.problems import Problem

_STATUSES = ("open", "resolved", "pending", "snoozed")
# 255 characters each, six bytes where they are controls (\u0001), fit a TEXT column
_MAX_LABELS = 42
_MAX_SUBJECT_CHARACTERS = 255


def parse_conversation(c: Json, *, asked_us: int = 0) -> ConversationState:
    """Parse a conversation of a webhook or of REST; they differ in details (`contact_inbox` is
    absent in REST). Raises PayloadError.
    """
    display_id = parse_id(c.get("id"))
    if display_id is None:
        raise PayloadError(Problem.of("payload.no_conversation_id"))
    meta = as_dict(c.get("meta"))
    sender = as_dict(meta.get("sender"))
    contact_id = parse_id(sender.get("id")) or parse_id(
        as_dict(c.get("contact_inbox")).get("contact_id")
    )
    labels = c.get("labels")
    version_us, agents_seen_us = (
        parse_version(c.get("updated_at")) or 0,
        parse_time(c.get("agent_last_seen_at")),
    )
    return ConversationState(
        display_id=display_id,
        version_us=version_us,
        contact=contact_of(sender, contact_id),
        contact_name=name_of(sender),
        status=c.get("status") if c.get("status") in _STATUSES else None,
        channel=_channel(c),
        labels=tuple(str(label)[:MAX_NAME_CHARACTERS] for label in labels[:_MAX_LABELS])
        if isinstance(labels, list)
        else None,
        assignee=_assignee(meta.get("assignee")),
        priority=as_text(c.get("priority"), 16),
        waiting_since_us=parse_time(c.get("waiting_since")),
        can_reply=c["can_reply"] if isinstance(c.get("can_reply"), bool) else None,
        created_us=parse_time(c.get("created_at")),
        contact_seen_us=parse_time(c.get("contact_last_seen_at")),
        unread=as_count(c.get("unread_count")),
        agents_seen_us=agents_seen_us,
        as_of_us=_as_of(c, max(version_us, agents_seen_us or 0)),
        last=_last_message(c.get("messages")),
        marks=_marks(c, meta, sender, asked_us if asked_us > version_us + DAY_US else 0),
        asked_us=asked_us,
    )


def _channel(c: Json) -> str | None:
    return as_text(c.get("channel") or as_dict(c.get("meta")).get("channel"), 64)


def _marks(c: Json, meta: Json, sender: Json, long_after_us: int) -> Marks:
    """`long_after_us`: when it was asked for, if it had not changed for long by then."""
    return Marks(
        snoozed_until_us=parse_time(c.get("snoozed_until")),
        team=_team(meta.get("team")),
        is_blocked=sender.get("blocked") is True,
        inbox_name=inbox_name_of(c),
        mail_subject=as_text(
            as_dict(c.get("additional_attributes")).get("mail_subject"), _MAX_SUBJECT_CHARACTERS
        ),
        open_us=long_after_us if c.get("can_reply") is True and has_window(_channel(c)) else 0,
    )


def inbox_name_of(payload: Json) -> str | None:
    """Return the name of the inbox where the payload has one."""
    return as_text(as_dict(payload.get("inbox")).get("name"), MAX_NAME_CHARACTERS)


def _team(value: object) -> Team | None:
    team = as_dict(value)
    name = as_text(team.get("name"), MAX_NAME_CHARACTERS)
    return Team(parse_id(team.get("id")), name) if name is not None else None


def _as_of(c: Json, newest_us: int) -> int:
    """Return the newest moment in the conversation's JSON: its state was so then, or later."""
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
    m = first_object(messages)
    number, status = parse_id(m.get("id")), delivery_status(m)
    if (
        number is None
        or status is None
        or status == "sent"
        or m.get("message_type") not in AGENT_TYPES
    ):
        return None
    return LastMessage(
        number, status, as_text(as_dict(m.get("content_attributes")).get("external_error"), 500)
    )


def contact_of(sender: Json, contact_id: int | None) -> Contact | None:
    """Return the contact with this id; None where nothing is said of any."""
    if contact_id is None and not sender:
        return None
    return Contact(
        id=contact_id,
        email=as_text(sender.get("email"), MAX_NAME_CHARACTERS),
        phone=as_text(sender.get("phone_number"), 64),
        identifier=as_text(sender.get("identifier"), MAX_NAME_CHARACTERS),
    )


def name_of(sender: Json) -> str | None:
    """Return the name that a contact is shown by, else what identifies them."""
    for key in ("name", "identifier", "email", "phone_number"):
        if (name := as_text(sender.get(key), MAX_NAME_CHARACTERS)) is not None:
            return name
    return None


def _assignee(value: object) -> Assignee | None:
    agent = as_dict(value)
    if not agent:
        return None
    return Assignee(
        parse_id(agent.get("id")),
        as_text(agent.get("name") or agent.get("available_name"), MAX_NAME_CHARACTERS),
        is_bot=agent.get("type") == "agent_bot",
    )
