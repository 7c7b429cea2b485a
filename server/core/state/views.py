"""Conversation and message as clients see them (`docs/protocol.md`): in REST, in events, and in the
list's rows.
"""

import msgspec
from msgspec.structs import replace

from server.core.state.entities import PROGRESS, Contact, Conversation, DeliveryError, Json, Message
from server.core.state.message_details import answer_of, shown_details
from server.core.state.message_kinds import (
    FILE_KINDS,
    KINDS,
    PLAIN_TYPES,
    UNKNOWN,
    is_stand_in,
    kind_of,
    line_of,
)
from server.core.state.previews import (
    Preview,
    comparable,
    shown_preview,
    shown_unsent,
)
from server.core.state.refusals import shown_refusal
from server.core.state.reply_window import ReplyWindow, certain_closing, reply_window
from server.core.times import iso_or_none

PREVIEW_CHARACTERS = 160
ANSWER_CHARACTERS = 80  # of these, at most, for what the customer chose or filled in


def conversation_view(c: Conversation) -> Json:
    """The conversation as every agent of its company sees it."""
    window, marks = _window(c), c.marks
    return {
        "id": c.id,
        "companyId": c.company_id,
        "platform": c.platform,
        "externalUserId": c.external_user_id,
        "externalUserName": c.external_user_name,
        "status": c.status,
        "lastMessageAt": iso_or_none(c.last_message_us),
        "createdAt": iso_or_none(c.created_us),
        "updatedAt": iso_or_none(c.updated_us),
        "integrationId": c.integration_id,
        "chatwootConversationId": c.chatwoot_conversation_id,
        "chatwootStatus": c.chatwoot_status,
        "channel": c.channel,
        "contact": known_contact(c),
        "assignee": c.assignee,
        "team": marks.team,
        "labels": c.labels,
        "priority": c.priority,
        "waitingSince": iso_or_none(c.waiting_since_us),
        "canReply": c.can_reply,
        "replyUntil": iso_or_none(window.until_us),
        "replyWindow": window.state,
        "replyClosedReason": window.reason,
        "goneAt": iso_or_none(c.gone_us),
        "snoozedUntil": iso_or_none(snoozed_until(c)),
        "isBlocked": marks.is_blocked,
        "isMuted": marks.is_blocked and c.chatwoot_status == "resolved",
        "inboxName": marks.inbox_name,
        "mailSubject": marks.mail_subject,
        "preview": shown_preview(c.preview),
        "unsentReply": shown_unsent(c.preview, iso_or_none),
        "inboundCount": c.inbound_count,
        "seq": c.seq,
    }


def known_contact(c: Conversation) -> Contact | None:
    """The customer, with the address that they left in the chat where Chatwoot has none yet."""
    given = c.marks.given_email
    if given is None or (c.contact is not None and c.contact.email):
        return c.contact
    return replace(c.contact or Contact(), email=given)


def snoozed_until(c: Conversation) -> int | None:
    """When it wakes by itself; None: it does not sleep, or until the customer writes."""
    return c.marks.snoozed_until_us if c.chatwoot_status == "snoozed" else None


def _window(c: Conversation) -> ReplyWindow:
    if c.gone_us is not None:
        return ReplyWindow(None, "closed", "gone")
    return reply_window(c.channel, c.last_inbound_us, c.can_reply, _said_us(c))


def _said_us(c: Conversation) -> int:
    """When Chatwoot said whether a reply is possible, or later."""
    return max(c.chatwoot_version, c.marks.open_us) if c.can_reply else c.chatwoot_version


def closed_for(c: Conversation, now_us: int) -> str | None:
    """Why a reply of now cannot reach the customer, where that is certain (`certain_closing`)."""
    return certain_closing(c.channel, c.last_inbound_us, c.can_reply, _said_us(c), now_us)


def agent_view(c: Conversation, read_count: int) -> Json:
    """The conversation with what belongs to one agent alone."""
    view = conversation_view(c)
    view["readCount"] = max(read_count, c.read_count)
    view["unreadCount"] = max(0, c.inbound_count - view["readCount"])
    return view


def message_view(m: Message) -> Json:
    """Return a message as REST and events show it (`MessageView` of docs/protocol.md)."""
    kind = message_kind(m)
    line = summary_of(m, kind)
    return {
        "id": m.id,
        "conversationId": m.conversation_id,
        "senderType": m.sender_type,
        "content": line or m.content,
        "createdAt": iso_or_none(m.created_us),
        "senderName": m.sender_name,
        "contentType": m.content_type,
        "private": m.is_private,
        "deleted": m.is_deleted,
        "editedAt": iso_or_none(m.edited_us),
        "attachments": m.attachments,
        "chatwootMessageId": m.chatwoot_message_id,
        "clientId": m.client_id,
        "agentId": m.agent_id,
        "deliveryState": shown_state(m.delivery_state),
        "deliveryError": shown_error(m.delivery_error),
        "seq": m.seq,
        "kind": kind,
        "isSummary": line is not None,
        "senderKind": (m.details.sender_kind if m.details is not None else None) or m.sender_type,
        "details": shown_details(m.details),
    }


def message_kind(m: Message) -> str:
    """Return the code of the message's kind (`message_kinds.py`)."""
    kind = kind_of(m.content_type, [one.type for one in m.attachments], m.content, m.details)
    # an answer to a flow, a template: Chatwoot passes on that it came, and nothing of it
    is_empty = kind == UNKNOWN and m.content_type in PLAIN_TYPES and not m.is_deleted
    return "unsupported" if is_empty and _is_customers(m) else kind


def _is_customers(m: Message) -> bool:
    return m.sender_type == "customer" and m.chatwoot_message_id is not None


def summary_of(m: Message, kind: str) -> str | None:
    """Return the line that stands for a message in which nothing is written; None where there is a
    text, or where its file shows itself.
    """
    if m.is_deleted or m.content.strip() or (m.attachments and kind in FILE_KINDS):
        return None
    if kind == UNKNOWN and m.content_type in PLAIN_TYPES:
        return None  # a row of the CRM's own, or a reply of which nothing is left
    first = m.attachments[0] if m.attachments else None
    title = None
    if first is not None:
        title = ", ".join(one for one in (first.title, first.address) if one) or first.name
    if first is not None and first.contact is not None:
        title = first.contact.name or next(iter(first.contact.phones), None) or title
    return line_of(kind, m.content_type, title, m.details)


def shown_state(delivery_state: str | None) -> str | None:
    """The state as clients see it."""
    return "sending" if delivery_state == PROGRESS else delivery_state


def shown_error(error: DeliveryError | None) -> DeliveryError | None:
    """The error as agents see it: without the channel's own words."""
    if error is None:
        return None
    return DeliveryError(*shown_refusal(error.code, error.message), error.discarded)


def is_same_conversation_view(a: Conversation, b: Conversation) -> bool:
    """Whether clients see no difference; as `conversation_view(a) == conversation_view(b)`, which
    costs ten times as much.
    """
    return a is b or _visible_conversation(a) == _visible_conversation(b)


def is_same_message_view(a: Message, b: Message) -> bool:
    """Whether clients would see no difference between two versions of a message."""
    return a is b or _visible_message(a) == _visible_message(b)


def _visible_conversation(c: Conversation) -> tuple[object, ...]:
    window = _window(c)
    row = replace(
        c,
        chatwoot_version=0,
        last_inbound_us=None,
        last_message_number=None,
        contact_seen_us=None,
        read_count=0,
        read_to_us=0,
        observed_us=0,
        former_number=None,
        last_message_us=_to_milliseconds(c.last_message_us),
        created_us=_to_milliseconds(c.created_us),
        updated_us=_to_milliseconds(c.updated_us),
        waiting_since_us=_to_milliseconds(c.waiting_since_us),
        gone_us=_to_milliseconds(c.gone_us),
        contact=known_contact(c),
        preview=None,
        marks=replace(
            c.marks,
            given_email=None,
            blocked_us=0,
            snoozed_until_us=_to_milliseconds(snoozed_until(c)),
        ),
    )
    until_ms = _to_milliseconds(window.until_us)
    return row, replace(window, until_us=None), until_ms, comparable(c.preview)


def _visible_message(m: Message) -> Message:
    return replace(
        m,
        chatwoot_version=0,
        observed_us=0,
        delivery_state=shown_state(m.delivery_state),
        delivery_error=shown_error(m.delivery_error),
        delivery_attempts=0,
        next_attempt_us=None,
        is_outcome_unknown=False,
        answered_us=None,
        former_number=None,
        request=None,
        edited_us=_to_milliseconds(m.edited_us),
        created_us=_to_milliseconds(m.created_us),
    )


def _to_milliseconds(moment_us: int | None) -> int | None:
    return None if moment_us is None else moment_us // 1000


def preview_of(m: Message) -> Preview:
    """Return the preview of a conversation that is shown by this message."""
    kind = message_kind(m)
    line = summary_of(m, kind)
    content = line or m.content
    if is_stand_in(kind, content):
        content = "" if m.attachments else KINDS[kind]
    answer = "" if m.is_deleted else answer_of(m.details)[:ANSWER_CHARACTERS]
    if content and answer:
        between = ": " if line else " · "
        room = PREVIEW_CHARACTERS - len(answer) - len(between)
        content = f"{content[:room]}{between}{answer}"
    return Preview(
        content[:PREVIEW_CHARACTERS],
        m.sender_type,
        bool(m.attachments),
        msgspec.UNSET if kind == "text" or m.is_deleted else kind,
    )
