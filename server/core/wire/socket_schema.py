"""What the server says on a socket, typed: the shapes behind docs/protocol.md, from which
`/asyncapi.json` is made.

The hot path writes these as ready bytes; a test holds every frame of real conversations against the
types here.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from server.core.state.entities import Attachment, Contact, DeliveryError
from server.core.state.marks import Team
from server.core.state.message_details import MessageDetails
from server.core.state.previews import Preview

Moment = Annotated[
    str,
    Meta(description="ISO 8601 UTC with milliseconds and Z", examples=["2026-07-18T09:01:05.204Z"]),
]
Cursor = Annotated[
    str, Meta(description="Opaque: how far a client has come", examples=["b4f1c2.812"])
]
Seq = Annotated[int, Meta(ge=1, description="Gapless for each company")]


class UnsentReplyView(Struct, rename="camel"):
    """A reply that did not reach the customer, and after which none did."""

    message_id: int
    at: Moment | None
    code: Annotated[str, Meta(description="As `code` of the message's `deliveryError`")]


class ConversationView(Struct, rename="camel", kw_only=True):
    """A conversation as every agent of its company sees it."""

    id: int
    company_id: int
    platform: str
    external_user_id: str | None
    external_user_name: str | None
    status: Literal["Open", "Closed"]
    last_message_at: Moment | None
    created_at: Moment | None
    updated_at: Moment | None
    integration_id: int | None
    chatwoot_conversation_id: int | None
    chatwoot_status: str | None
    channel: str | None
    contact: Contact | None
    assignee: Annotated[
        dict[str, Any] | None,
        Meta(
            description="`id` and `name` at Chatwoot; `isBot` true of a bot, and absent of a person"
        ),
    ]
    team: Annotated[Team | None, Meta(description="Chatwoot's team that it is assigned to")]
    labels: list[str]
    priority: str | None
    waiting_since: Moment | None
    can_reply: bool | None
    reply_until: Moment | None
    reply_window: Literal["open", "closed"] | None
    reply_closed_reason: Literal["expired", "no_message", "channel", "gone"] | None
    gone_at: Annotated[
        Moment | None,
        Meta(description="When Chatwoot said that it no longer has it: to be read, not answered"),
    ]
    snoozed_until: Annotated[
        Moment | None,
        Meta(description="When a snoozed one wakes; null: not snoozed, or until the next message"),
    ]
    is_blocked: Annotated[bool, Meta(description="The customer is blocked in Chatwoot")]
    is_muted: Annotated[bool, Meta(description="Muted in Chatwoot: blocked and resolved")]
    inbox_name: Annotated[
        str | None,
        Meta(
            description="Of Chatwoot's inbox. Of the conversations with one `integrationId` the "
            "one with the highest `seq` has the present name of all"
        ),
    ]
    mail_subject: str | None
    preview: Annotated[
        Preview | None,
        Meta(
            description="The newest words of a customer, an agent or a bot; what was sent by "
            "itself only where nobody has spoken, what was deleted or not sent only where there "
            "is nothing else"
        ),
    ]
    unsent_reply: Annotated[
        UnsentReplyView | None,
        Meta(
            description="The newest reply that failed, until it is sent anew or deleted, or a "
            "later reply goes out"
        ),
    ]
    inbound_count: Annotated[int, Meta(description="Messages the customer has ever sent here")]
    seq: Annotated[int, Meta(description="Of the event that changed it last")]


class MessageView(Struct, rename="camel", kw_only=True):
    """A message as every agent of its company sees it."""

    id: int
    conversation_id: int
    sender_type: Literal["customer", "agent"]
    content: str
    created_at: Moment | None
    sender_name: str | None
    content_type: str | None
    private: Annotated[bool, Meta(description="A note among agents")]
    deleted: bool
    edited_at: Annotated[
        Moment | None, Meta(description="When the text was last told to be another one than before")
    ]
    attachments: list[Attachment]
    chatwoot_message_id: int | None
    client_id: Annotated[
        str | None, Meta(description="The Idempotency-Key of a reply written here")
    ]
    agent_id: int | None
    delivery_state: Literal["sending", "sent", "delivered", "read", "failed"] | None
    delivery_error: DeliveryError | None
    seq: int
    kind: Annotated[str, Meta(description="What it is; more may come")] = "text"
    is_summary: Annotated[
        bool,
        Meta(description="Nothing was written: `content` is a line of ours that says what it is"),
    ] = False
    sender_kind: Annotated[
        str,
        Meta(
            description="customer, agent, bot, assistant, automation, campaign, automatic or "
            "channelApp (written in the channel's own app)"
        ),
    ] = "customer"
    details: MessageDetails | None = None


class EventData(Struct, rename="camel", kw_only=True, omit_defaults=True):
    """Each object whole, so that applying an event is an upsert by id; an object whose seq is not
    above the one held is older.
    """

    conversation: ConversationView
    message: MessageView | None = None
    agent_id: int | None = None
    read_count: int | None = None
    message_id: int | None = None


class Event(Struct, tag="event", tag_field="type", rename="camel"):
    """One change of the company. Numbers follow each other without a gap; a gap means that
    something was lost: connect again.
    """

    seq: Seq
    kind: Annotated[
        str,
        Meta(description="Unknown kinds are applied like known ones: their objects are upserts"),
    ]
    at: Annotated[str, Meta(description="When Chatwoot says it happened")]
    received_at: Moment
    data: EventData


class WelcomeAgent(Struct):
    """The agent who signed in."""

    id: int
    name: str
    role: str


class Welcome(Struct, tag="welcome", tag_field="type", rename="camel"):
    """The answer to hello. `live`: nothing was missed. `replay`: events follow, then `live`.
    `reset`: fetch a snapshot.
    """

    session: str
    agent: WelcomeAgent
    company_id: int
    mode: Literal["live", "replay", "reset"]
    reason: Literal["epoch", "too_old", "ahead", "new"] | None
    cursor: Cursor
    ping_ms: int
    now: Moment
    expires_at: Moment | None


class Live(Struct, tag="live", tag_field="type"):
    """The replay is complete."""

    cursor: Cursor


class Ping(Struct, tag="ping", tag_field="type"):
    """Proves completeness: everything up to the cursor has been sent on this line. Answered by
    pong.
    """

    id: int
    cursor: Cursor
    now: Moment


class Reset(Struct, tag="reset", tag_field="type"):
    """The log this client followed is gone: fetch a snapshot, and go on from the cursor; events
    after it go on arriving here.
    """

    reason: Literal["epoch", "too_old", "ahead", "access"]
    cursor: Cursor


class AuthRenewed(Struct, tag="auth", tag_field="type", rename="camel"):
    """The answer to auth."""

    expires_at: Moment | None


class Drain(Struct, tag="drain", tag_field="type", rename="camel"):
    """This server stops: connect again after so many milliseconds; each socket is told another
    moment.
    """

    in_ms: Annotated[int, Meta(ge=0)]


class Error(Struct, tag="error", tag_field="type", rename="camel"):
    """Why the close that follows comes. `fatal`: do not come back."""

    code: str
    retry_ms: int | None
    fatal: bool
    message: str = ""


class Colleague(Struct):
    """An agent who is online: the conversation they view, and whether they type there."""

    id: int
    name: str
    viewing: int | None
    typing: bool


class Presence(Struct, tag="presence", tag_field="type"):
    """Who is here; never stored, and the first to be dropped. `whole`: nobody but these."""

    online: int
    agents: list[Colleague]
    gone: list[int]
    whole: bool


class OthersTyping(Struct, tag="typing", tag_field="type", rename="camel", omit_defaults=True):
    """Never stored; let it end by itself after 30 s. `name`: of an agent who writes in Chatwoot's
    own page.
    """

    conversation_id: int
    who: Literal["customer", "agent"]
    on: bool
    name: str | None = None


class Sync(Struct, tag="sync", tag_field="type", rename="camel"):
    """How far a sync is, to administrators alone: about once a second while one walks, and when its
    state changes. Never stored; the same can be asked for over REST.
    """

    integration_id: int
    state: Literal["asked", "running", "stopping", "stopped", "done", "failed"]
    started_at: Moment | None
    updated_at: Moment
    total: int | None
    conversations: int
    messages: int
    created: int
    per_second: float | None
    seconds_left: int | None
    problem: str | None


ServerMessage = (
    Welcome
    | Event
    | Live
    | Ping
    | Reset
    | AuthRenewed
    | Drain
    | Error
    | Presence
    | OthersTyping
    | Sync
)
SERVER_MESSAGES = (
    Welcome,
    Event,
    Live,
    Ping,
    Reset,
    AuthRenewed,
    Drain,
    Error,
    Presence,
    OthersTyping,
    Sync,
)
