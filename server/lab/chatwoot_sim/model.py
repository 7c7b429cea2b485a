"""Records of the simulated Chatwoot: its database tables, reduced to what its API and webhooks
show.

Times are unix seconds as float, with microseconds, as `updated_at.to_f` gives them in Chatwoot.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

JsonObject = dict[str, Any]

# app/models/message.rb and conversation.rb: the enums as stored
INCOMING, OUTGOING, ACTIVITY, TEMPLATE = 0, 1, 2, 3
MESSAGE_TYPE_NAMES = ("incoming", "outgoing", "activity", "template")
CONVERSATION_STATUSES = ("open", "resolved", "pending", "snoozed")

# app/models/webhook.rb ALLOWED_WEBHOOK_EVENTS, in its order
WEBHOOK_EVENTS = (
    "conversation_status_changed",
    "conversation_updated",
    "conversation_created",
    "contact_created",
    "contact_updated",
    "message_created",
    "message_updated",
    "webwidget_triggered",
    "inbox_created",
    "inbox_updated",
    "conversation_typing_on",
    "conversation_typing_off",
)
DEFAULT_SUBSCRIPTIONS = WEBHOOK_EVENTS[:8]  # when `subscriptions` is null

# unread_count never shows more (app/models/conversation.rb `unread_incoming_messages`)
UNREAD_CAP = 10

Role = Literal["administrator", "agent"]
WEB_WIDGET = "Channel::WebWidget"
API_CHANNEL = "Channel::Api"
WINDOW_HOURS = {
    "Channel::FacebookPage": 24,
    "Channel::Instagram": 24,
    "Channel::Whatsapp": 24,
    "Channel::Tiktok": 48,
}


@dataclass(slots=True, eq=False)
class Account:
    """A company's account on the installation."""

    id: int
    name: str
    status: str = "active"
    api_enabled: bool = True
    last_display_id: int = 0


@dataclass(slots=True, eq=False)
class User:
    """A person or (`kind="agent_bot"`) a bot; ids of the two are separate number spaces in
    Chatwoot.
    """

    id: int
    name: str
    email: str
    access_token: str
    available_name: str
    roles: dict[int, Role] = field(default_factory=dict)  # account id -> role
    kind: Literal["user", "agent_bot"] = "user"


@dataclass(slots=True, eq=False)
class Inbox:
    """A channel of an account, with the agents who are members of it."""

    id: int
    account: Account
    name: str
    channel: str = WEB_WIDGET
    member_ids: set[int] = field(default_factory=set)
    lock_to_single_conversation: bool = False
    webhook_url: str | None = None  # of a Channel::Api inbox: the second kind of webhook
    secret: str = ""
    email: str | None = None  # of a Channel::Email inbox
    forward_to_email: str | None = None
    window_hours: int | None = None  # other than its channel's usual ones; 0: none
    clock: Callable[[], float] = time.time

    @property
    def reopens_resolved(self) -> bool:
        """The web widget and locked inboxes go on in the contact's last conversation, others start
        a new one.
        """
        return self.channel == WEB_WIDGET or self.lock_to_single_conversation


@dataclass(slots=True, eq=False)
class Contact:
    """A customer of an account."""

    id: int
    account: Account
    name: str
    created_at: float
    updated_at: float
    email: str | None = None
    phone_number: str | None = None
    identifier: str | None = None
    additional_attributes: JsonObject = field(default_factory=dict)
    custom_attributes: JsonObject = field(default_factory=dict)
    blocked: bool = False
    last_activity_at: float | None = None
    company_id: int | None = None


@dataclass(slots=True, eq=False)
class ContactInbox:
    """A contact's presence in one inbox. `pubsub_token` is a live credential of that contact in
    Chatwoot.
    """

    id: int
    contact: Contact
    inbox: Inbox
    source_id: str
    pubsub_token: str
    created_at: float


@dataclass(slots=True, eq=False)
class Attachment:
    """A file of a message, with its content."""

    id: int
    message_id: int
    account_id: int
    name: str
    key: str  # the signed part of its address
    content: bytes
    content_type: str
    # image | audio | video | file, ig_post and the like; location, contact, fallback have no file
    file_type: str
    width: int | None = None
    height: int | None = None
    external_url: str | None = None  # of a place, a link, or a file that the provider keeps
    coordinates: tuple[float, float] | None = None  # latitude, longitude
    fallback_title: str | None = None
    meta: JsonObject = field(default_factory=dict)
    transcribed_text: str = ""


@dataclass(slots=True, eq=False)
class Message:
    """A message of a conversation, or a line of activity in it."""

    id: int
    conversation: "Conversation"
    message_type: int
    content: str | None
    created_at: float
    updated_at: float
    sender: Contact | User | None = None
    private: bool = False
    status: str = "sent"
    times_sent: int = 1  # handed to its channel
    source_id: str | None = None
    content_type: str = "text"
    content_attributes: JsonObject = field(default_factory=dict)
    additional_attributes: JsonObject = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Conversation:
    """A contact's conversation in one inbox, with its messages in the order of their ids."""

    id: int  # internal, never shown
    account: Account
    display_id: int
    inbox: Inbox
    contact_inbox: ContactInbox
    created_at: float
    updated_at: float
    last_activity_at: float
    waiting_since: float | None = None
    status: str = "open"
    labels: list[str] = field(default_factory=list)
    assignee: User | None = None
    priority: str | None = None
    snoozed_until: float | None = None
    first_reply_created_at: float | None = None
    agent_last_seen_at: float | None = None
    assignee_last_seen_at: float | None = None
    contact_last_seen_at: float | None = None
    muted: bool = False
    team: JsonObject | None = None  # {id, name, icon, icon_color}
    additional_attributes: JsonObject = field(default_factory=dict)
    custom_attributes: JsonObject = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def contact(self) -> Contact:
        """The contact whose presence in the inbox it belongs to."""
        return self.contact_inbox.contact

    @property
    def can_reply(self) -> bool:
        """Whether the channel's window is open
        (app/services/conversations/message_window_service.rb), without the tag for human agents
        where the inbox says nothing else.
        """
        hours = self.inbox.window_hours
        if hours is None:
            hours = WINDOW_HOURS.get(self.inbox.channel)
        last = next((m for m in reversed(self.messages) if m.message_type == INCOMING), None)
        return not hours or (
            last is not None and self.inbox.clock() < last.created_at + hours * 3600
        )

    @property
    def unread_count(self) -> int:
        """How many incoming messages are newer than an agent's mark, at most `UNREAD_CAP`."""
        seen, count = self.agent_last_seen_at or 0.0, 0
        for message in reversed(self.messages):
            if message.created_at <= seen or count == UNREAD_CAP:
                break
            count += message.message_type == INCOMING
        return count

    @property
    def last_public_message(self) -> Message | None:
        """The last message that is neither an activity nor a private note: what payloads show in
        `messages`.
        """
        return next(
            (m for m in reversed(self.messages) if m.message_type != ACTIVITY and not m.private),
            None,
        )


@dataclass(slots=True, eq=False)
class Webhook:
    """An address that an account's events are sent to."""

    id: int
    account: Account
    url: str
    secret: str
    name: str | None = None
    subscriptions: tuple[str, ...] = DEFAULT_SUBSCRIPTIONS
    inbox: Inbox | None = None  # stored, never used as a filter
