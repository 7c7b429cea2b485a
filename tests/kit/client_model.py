"""What a client holds: a snapshot from REST with the events after it applied, by the rules of
docs/protocol.md alone.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
# REST adds these for the asking agent; events never carry them, so they are kept (or derived) apart
_PERSONAL_FIELDS = ("readCount", "unreadCount")


@dataclass(frozen=True)
class Event:
    """One `event` frame, or one entry of `GET /api/events`."""

    seq: int
    kind: str
    at: str
    received_at: str
    data: Json

    @classmethod
    def parse(cls, frame: Mapping[str, Any]) -> "Event":
        return cls(frame["seq"], frame["kind"], frame["at"], frame["receivedAt"], frame["data"])


@dataclass
class ClientModel:
    """Two models are equal when two clients show the same. `agent_id` is whose `readCount` is
    followed (None: nobody's).
    """

    agent_id: int | None = None
    conversations: dict[int, Json] = field(default_factory=dict)
    messages: dict[int, Json] = field(default_factory=dict)
    read_counts: dict[int, int] = field(default_factory=dict)

    def load(self, conversations: Iterable[Json], messages: Iterable[Json] = ()) -> None:
        """Take a snapshot in, or part of one: `GET /api/conversations`, and the `messages` of any
        conversation.
        """
        for conversation in conversations:
            if "readCount" in conversation:
                self._read(conversation["id"], conversation["readCount"])
            shared = {
                name: value
                for name, value in conversation.items()
                if name not in (*_PERSONAL_FIELDS, "messages")
            }
            _upsert(self.conversations, shared)
            messages = (*messages, *conversation.get("messages", ()))
        for message in messages:
            _upsert(self.messages, message)

    def apply(self, event: Event) -> None:
        """Upsert each object the event holds; an object that is not newer than ours is left
        alone.
        """
        data = event.data
        _upsert(self.conversations, data["conversation"])
        if "message" in data:
            _upsert(self.messages, data["message"])
        if event.kind == "conversation.read" and data["agentId"] in (None, self.agent_id):
            self._read(data["conversation"]["id"], data["readCount"])

    def unread_count(self, conversation_id: int) -> int:
        held = self.conversations[conversation_id]
        return max(0, (held.get("inboundCount") or 0) - self.read_counts.get(conversation_id, 0))

    def messages_of(self, conversation_id: int) -> list[Json]:
        """Oldest first, as the page shows them."""
        own = (
            message
            for message in self.messages.values()
            if message["conversationId"] == conversation_id
        )
        return sorted(own, key=_place)

    def _read(self, conversation_id: int, count: int) -> None:
        # nothing read and never heard of it are the same
        highest = max(count, self.read_counts.get(conversation_id, 0))
        if self.agent_id is not None and highest > 0:
            self.read_counts[conversation_id] = highest


def _place(message: Json) -> tuple[str, float, int]:
    number = message["chatwootMessageId"]
    return (message["createdAt"] or "")[:19], math.inf if number is None else number, message["id"]


def _upsert(held: dict[int, Json], new: Json) -> None:
    old = held.get(new["id"])
    if old is None or new["seq"] > old["seq"]:
        held[new["id"]] = new
