"""Conversation and message as we keep them; what clients see of them is in `views.py`."""

from typing import Any

import msgspec

from server.core.state.marks import NO_MARKS, Marks
from server.core.state.message_details import MessageDetails
from server.core.state.previews import RowPreview

Json = dict[str, Any]
# Chatwoot has it and is still passing it on; clients see `sending`, which in the table is the
# outbox's own
PROGRESS = "progress"


class Contact(msgspec.Struct, frozen=True, omit_defaults=False):
    """The customer as Chatwoot knows them; stored as JSON."""

    id: int | None = None
    email: str | None = None
    phone: str | None = None
    identifier: str | None = None


class Assignee(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The agent of Chatwoot, or the bot, to whom a conversation is assigned. Bots are numbered
    apart from agents.
    """

    id: int | None
    name: str | None
    is_bot: bool = False


class ContactCard(msgspec.Struct, frozen=True):
    """Somebody whose card was sent."""

    name: str | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


class Attachment(msgspec.Struct, frozen=True, rename="camel"):
    """What a message has with it: a file at Chatwoot (`url` and `thumb_url` are Chatwoot's and may
    expire), a place, a contact card, or an outside `link`, which we never fetch.
    """

    id: int | None
    type: str
    url: str | None = None
    thumb_url: str | None = None
    name: str | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    title: str | None = None
    address: str | None = None
    contact: ContactCard | None = None
    transcript: str | None = None
    link: str | None = None
    is_sticker: bool = False
    mime_type: str | None = None


class Discard(msgspec.Struct, frozen=True, rename="camel"):
    """Which agent has discarded a reply that was not sent."""

    agent_id: int
    name: str


class DeliveryError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a message did not reach the customer: a code, and a sentence. As it is stored, a refusal
    by the channel has the channel's own words. `discarded`: an agent wants it sent no more.
    """

    code: str
    message: str
    discarded: Discard | None = None


class ReplyRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent asked for besides the text; stored as JSON. `quoted`: Chatwoot's number of the
    message that is answered. `written`: SHA-256 of the text as it was written, where Chatwoot has
    stored another (it fills in names).
    """

    quoted: int | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    asked: str | None = None  # SHA-256 of what was asked for, as an idempotency key repeats it
    written: str | None = None


class Conversation(msgspec.Struct, frozen=True):
    """A row of `social_conversations`; times in microseconds. `id` is 0 until it is inserted."""

    id: int
    company_id: int
    platform: str
    external_user_id: str | None
    external_user_name: str | None
    status: str
    last_message_us: int | None
    created_us: int | None
    updated_us: int | None
    integration_id: int | None = None
    chatwoot_conversation_id: int | None = None
    chatwoot_status: str | None = None
    chatwoot_version: int = 0
    channel: str | None = None
    contact: Contact | None = None
    assignee: Assignee | None = None
    labels: tuple[str, ...] = ()
    priority: str | None = None
    waiting_since_us: int | None = None
    can_reply: bool | None = None
    preview: RowPreview | None = None
    inbound_count: int = 0
    last_inbound_us: int | None = None
    last_message_number: int | None = None
    contact_seen_us: int | None = None
    gone_us: int | None = None  # when Chatwoot said that it no longer has it
    read_count: int = 0  # of inbound_count: how many are read for everyone, as in Chatwoot
    read_to_us: int = 0  # what the customer wrote until then is read for everyone
    observed_us: int = 0  # when this state reached us, by our clock
    former_number: int | None = None  # Chatwoot's, which it has given to another conversation since
    marks: Marks = NO_MARKS
    seq: int = 0


class Message(msgspec.Struct, frozen=True):
    """A row of `social_messages`; times in microseconds. `id` is 0 until it is inserted."""

    id: int
    conversation_id: int
    sender_type: str
    content: str
    created_us: int | None
    chatwoot_message_id: int | None = None
    chatwoot_version: int = 0
    observed_us: int = 0
    client_id: str | None = None
    agent_id: int | None = None
    sender_name: str | None = None
    content_type: str | None = None
    attachments: tuple[Attachment, ...] = ()
    is_private: bool = False
    is_deleted: bool = False
    edited_us: int | None = None
    delivery_state: str | None = None
    delivery_error: DeliveryError | None = None
    delivery_attempts: int = 0
    next_attempt_us: int | None = None
    is_outcome_unknown: bool = False
    answered_us: int | None = None
    former_number: int | None = None  # Chatwoot's, which it has given to another message since
    request: ReplyRequest | None = None
    seq: int = 0
    details: MessageDetails | None = None
