"""What the REST calls accept and return, typed: the shapes behind docs/protocol.md, from which
`/openapi.json` is made.

Bodies are decoded into these (server/http/bodies.py); answers are built by hand, and a test holds
every one against the types here.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from server.core.identifiers import MAX_ID, MAX_SAFE_INTEGER
from server.core.state.canned_reply_rules import MAX_CONTENT_CHARACTERS, MAX_SHORTCUT_CHARACTERS
from server.core.wire.socket_schema import (
    ConversationView,
    Cursor,
    MessageView,
    Moment,
)

# a row's number here; one that names nothing is answered as not found
RowId = Annotated[int, Meta(ge=1, le=MAX_ID)]
# Chatwoot's number of an account or an inbox
Number = Annotated[int, Meta(ge=1, le=MAX_SAFE_INTEGER)]
Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Secret = Annotated[str, Meta(min_length=1, max_length=500, pattern="^[!-~]+$")]
Role = Literal["agent", "admin"]


_ADDRESSES = {"refusal": "field.addresses"}


class Problem(Struct):
    """RFC 9457. `code` is for programs and does not change; `message` is a sentence for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    message: str
    reply_closed_reason: Annotated[
        Literal["expired", "no_message", "channel"] | UnsetType,
        Meta(description="Of `window_closed`: why, as in the conversation"),
    ] = UNSET


class OwnConversation(ConversationView, kw_only=True):
    """With how far the asking agent has read."""

    read_count: int
    unread_count: int


class Thread(OwnConversation, kw_only=True):
    """Messages oldest first."""

    messages: list[MessageView]


class Unread(Struct):
    """Conversations in which there is something that the agent has not read, by their status, and
    those with a reply that was not sent.
    """

    Open: int
    Closed: int
    unsent: int


class StatusChange(Struct):
    """An agent's act: closes a conversation, or opens it again."""

    status: Literal["Open", "Closed"]


class NewReply(Struct, rename="camel", omit_defaults=True):
    """A reply to the customer, or a note among agents (`private`)."""

    content: Annotated[
        str,
        Meta(min_length=1, max_length=150_000, extra={"refusal": "field.reply_text"}),
    ]
    # who does not say it writes to the customer, as the polling page does
    private: Annotated[
        bool,
        Meta(extra={"refusal": "field.private"}),
    ] = False
    last_seen_message_id: RowId | None = None
    # the message that is answered, which the customer sees above the reply where the channel can
    in_reply_to: RowId | None = None
    # people in copy, of a reply by e-mail
    cc: Annotated[tuple[str, ...], Meta(max_length=50, extra=_ADDRESSES)] = ()
    bcc: Annotated[tuple[str, ...], Meta(max_length=50, extra=_ADDRESSES)] = ()


class ReadMark(Struct, rename="camel"):
    """How far the agent has read: up to this message of the conversation."""

    message_id: Annotated[
        RowId,
        Meta(extra={"refusal": "field.message_id"}),
    ]


class SyncWish(Struct, rename="camel", omit_defaults=True):
    """Which integration is to be synced; without a number, all of the company."""

    integration_id: RowId | None = None


class SyncAnswer(Struct):
    """What the sync of each integration found."""

    integrations: list[dict[str, Any]]


class EventsAnswer(Struct, omit_defaults=True):
    """Events in order, and the cursor after the last; `reset`: the log is another one, take a
    snapshot.
    """

    cursor: Cursor
    events: list[dict[str, Any]]
    reset: str | None = None


class SignIn(Struct):
    """An agent's e-mail address and password."""

    email: Text
    password: Text


class Me(Struct, rename="camel"):
    """The agent who asks."""

    id: int
    company_id: int
    name: str
    email: str | None
    role: Role


class MeChange(Struct):
    """Settings of the agent's own pages; what is left out stays as it is."""

    preferences: dict[str, Any]


class Colleague(Struct, rename="camel"):
    """An agent of the company."""

    id: int
    name: str
    is_online: bool


class NewCannedReply(Struct):
    """A ready text of the company, which agents insert by its shortcut."""

    shortcut: Annotated[str, Meta(min_length=1, max_length=MAX_SHORTCUT_CHARACTERS)]
    content: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_CONTENT_CHARACTERS,
            extra={"refusal": "field.reply_text"},
        ),
    ]


class CannedReplyView(NewCannedReply, kw_only=True):
    """A canned reply with its number."""

    id: int


class PasswordChange(Struct, rename="camel"):
    """A new password, and the present one as proof."""

    present_password: Text
    new_password: Annotated[str, Meta(min_length=10, max_length=1_000)]


class SessionView(Struct, rename="camel"):
    """One sign-in of one's own."""

    id: str
    created_at: Moment
    expires_at: Moment
    address: str | None
    client: str | None
    is_this: bool


class EndedSessions(Struct):
    """How many sessions were ended."""

    ended: int


class SecondFactorView(Struct, rename="camel"):
    """The agent's second factor; `is_required`: by the company."""

    is_on: bool
    is_required: bool
    recovery_codes_left: int


class NewOwnToken(Struct, rename="camel"):
    """An agent's own access token of Chatwoot, from their profile settings there. It is never shown
    again.
    """

    access_token: Secret


class SenderView(Struct):
    """Under which name replies go out: the agent's own (`own`), the integration's, or, as Chatwoot
    refuses the own token, none (`refused`) or the integration's all the same (`fallback`); none
    where Chatwoot refuses the integration's (`stopped`).
    """

    state: Literal["own", "integration", "refused", "fallback", "stopped"]
    name: str


class OwnTokenView(Struct, rename="camel"):
    """An integration, and the agent's own token for it. `name` and `email` are those of its owner
    in Chatwoot; `refusal`: why it is not used. `sender` is for the agent who asks alone.
    """

    integration_id: int
    inbox_name: str | None
    base_url: str
    account_id: int | None
    is_connected: bool
    name: str | None
    email: str | None
    connected_at: Moment | None
    checked_at: Moment | None
    refused_at: Moment | None
    refusal: str | None
    sender: SenderView | UnsetType = UNSET


class PasswordAgain(Struct):
    """The present password, as proof that it is the agent who asks."""

    password: Text


class NewSecondFactor(Struct):
    """`uri` is what an authenticator app reads, `secret` the same to type by hand."""

    ticket: str
    uri: str
    secret: str


class Code(Struct):
    """A code of the authenticator or a recovery code, with the ticket it belongs to."""

    ticket: Text
    code: Text


class RecoveryCodes(Struct, rename="camel"):
    """Codes that stand in for the authenticator, once each; they are shown this once."""

    recovery_codes: list[str]


class Ready(Struct):
    """Whether the process takes requests, and what is wrong with it."""

    status: Literal["ready", "degraded", "unavailable", "draining"]
    problems: list[str]
