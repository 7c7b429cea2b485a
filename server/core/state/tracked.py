"""What a working set holds: conversations and messages with what changed of them, and the events
to be.
"""

from collections.abc import Iterable
from enum import Enum

import msgspec

from server.core.state.entities import Conversation, Json, Message

ConversationKey = tuple[int, int]  # (integration id, Chatwoot display id)


class Result(Enum):
    """What became of a stored row when a change was applied to it."""

    CREATED = "created"
    UPDATED = "updated"
    # a message that says the same in another form, or was updated in what webhooks do not tell; a
    # conversation of which the marks became known
    DRESSED = "dressed"
    SAME = "same"


class TrackedMessage:
    """A message in the working set; `row.id` is 0 until the store has inserted it. `stored`: as it
    was read.
    """

    __slots__ = ("is_dirty", "row", "stored")

    def __init__(self, row: Message) -> None:
        self.row = row
        self.stored = row
        self.is_dirty = False


class TrackedConversation:
    """A conversation in the working set with those of its messages that the batch may touch.
    `stored`: as it was read.
    """

    __slots__ = (
        "external_before",
        "is_dirty",
        "messages",
        "read_before",
        "row",
        "stored",
        "unsettled_from",
    )

    def __init__(self, row: Conversation, messages: Iterable[Message] = ()) -> None:
        self.row = row
        self.stored = row
        self.is_dirty = False
        self.read_before = row.read_count  # as far as clients were told
        self.external_before = row.external_user_id  # as it is stored; of a new one nothing is
        self.messages = [TrackedMessage(message) for message in messages]
        # the first pending event whose row waits for a look at the thread
        self.unsettled_from: int | None = None


class PendingEvent(msgspec.Struct):
    """An event to be: who changed, and as which state. Numbers (ids, seq) are filled in by the
    store.
    """

    kind: str
    entry: TrackedConversation
    conversation: Conversation
    tracked_message: TrackedMessage | None
    message: Message | None
    at_us: int
    received_us: int
    extra: Json | None = None


class Source(msgspec.Struct, frozen=True):
    """Where a change comes from, as the integration directory knows it."""

    integration_id: int
    company_id: int
    inbox_name: str | None = None  # of the integration's one inbox, as Chatwoot had it last
