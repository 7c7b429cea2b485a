"""What a delivery, or an object read from Chatwoot's API, means: the input of projection."""

import msgspec

from server.core.state.entities import Assignee, Attachment, Contact
from server.core.state.marks import Marks
from server.core.state.message_details import MessageDetails


class LastMessage(msgspec.Struct, frozen=True):
    """How far the last message of a conversation has come, as a conversation's JSON shows."""

    message_id: int
    status: str
    error: str | None = None


class ConversationState(msgspec.Struct, frozen=True):
    """A conversation as Chatwoot has it. `version_us` is its updated_at (0: not given, as in the
    simple payload).

    `asked_us` is our clock when it was asked for by REST (0: it came by webhook). `as_of_us`: this
    was so then, or later. `unread`, `agents_seen_us`: one number and one moment for all of
    Chatwoot's agents.
    """

    display_id: int
    version_us: int = 0
    contact: Contact | None = None
    contact_name: str | None = None
    status: str | None = None
    channel: str | None = None
    labels: tuple[str, ...] | None = None
    assignee: Assignee | None = None
    priority: str | None = None
    waiting_since_us: int | None = None
    can_reply: bool | None = None
    created_us: int | None = None
    contact_seen_us: int | None = None
    unread: int | None = None
    agents_seen_us: int | None = None
    as_of_us: int = 0
    last: LastMessage | None = None
    marks: Marks | None = None
    asked_us: int = 0
    is_creation: bool = False  # as it was begun, before anything else
    # says nothing of the status, where another source does: a new word does not open it again
    is_silent: bool = False


class MessageState(msgspec.Struct, frozen=True):
    """A message as Chatwoot has it. `asked_us` is our clock when it was asked for by REST (0: it
    came by webhook). `edited_us`: when it was edited, where Chatwoot says so. `has_guessed_sender`:
    `details.sender_kind` is what a message that is told for the first time looks like, and says
    nothing of one that is known.
    """

    sender_type: str
    content: str
    created_us: int
    message_id: int | None = None
    sender_name: str | None = None
    content_type: str | None = None
    attachments: tuple[Attachment, ...] = ()
    is_private: bool = False
    is_deleted: bool = False
    is_by_person: bool = False  # written by one of Chatwoot's agents: no bot, no rule
    is_update: bool = False
    client_id: str | None = None
    error: str | None = None
    status: str | None = None
    version_us: int = 0
    asked_us: int = 0
    edited_us: int | None = None
    details: MessageDetails | None = None
    has_guessed_sender: bool = False
    sender_id: int | None = None  # at Chatwoot, of a person who is its agent


class Change(msgspec.Struct, frozen=True):
    """`at_us` is when Chatwoot says it happened. `typing`: somebody began or stopped to type, and
    nothing else is told; `typist` is the name of an agent in Chatwoot, None the customer.

    `contact_update`: nothing but a contact's present name and numbers; the conversation is one of
    theirs, which ingest looks up.
    """

    account_id: int | None
    inbox_id: int | None
    conversation: ConversationState
    message: MessageState | None
    at_us: int
    typing: bool | None = None
    typist_id: int | None = None  # of an agent, at Chatwoot
    typist: str | None = None
    contact_update: Contact | None = None
