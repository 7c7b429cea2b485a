"""Which agents of a company are online, view which conversation, and type: what they see of each
other.

Never stored, without a seq: a client that missed some of it gets the whole again. Each process
tells the others of its own agents by messages on the bus; the agents of a process that is not heard
of any more are gone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from server.core.wire.client_frames import encode_message

# in a larger company only agents who look at a conversation are listed; the others are a number
MAX_LISTED_IDLE = 100
MAX_LISTED = 500
TYPING_SECONDS = 6.0
TYPING_AGAIN_SECONDS = 2.0  # repeated sooner than this, it changes nothing
# after this a process that said nothing counts as dead; it says something every 15 s
SILENT_SECONDS = 40.0
_PREFIX = "p1 "


class AgentPresence(msgspec.Struct, frozen=True):
    """One agent, whatever number of tabs they have."""

    id: int
    name: str
    viewing: int | None = None
    typing: bool = False


PresenceMap = Mapping[int, AgentPresence]
# (conversation, agent in Chatwoot or None: its customer) -> whether they type
TypingNews = Mapping[tuple[int, str | None], bool]


class Writer(msgspec.Struct, frozen=True):
    """An agent in Chatwoot who types, or has stopped."""

    conversation: int
    name: str
    on: bool


class PresenceMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process to the others, about one company. `is_whole`: it has no agents but these;
    `asks`: the others are to tell of theirs.
    """

    process: str
    seen: tuple[AgentPresence, ...] = ()
    gone: tuple[int, ...] = ()
    is_whole: bool = False
    asks: bool = False
    customers: dict[int, bool] = {}  # conversation -> whether its customer types
    writers: tuple[Writer, ...] = ()
    sync: dict[str, Any] | None = None  # how far one is, for administrators


_decoder = msgspec.json.Decoder(PresenceMessage)


def encode_presence_message(message: PresenceMessage) -> str:
    """Encode a message of one process to the others, with the version of its form in front."""
    return _PREFIX + msgspec.json.encode(message).decode()


def is_presence_message(text: str) -> bool:
    """Whether a bus message is of this kind, and no batch of events."""
    return text.startswith(_PREFIX)


def parse_presence_message(text: str) -> PresenceMessage:
    """Raises ValueError for what is no such message of this version."""
    try:
        return _decoder.decode(text.removeprefix(_PREFIX))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


class RemoteProcess:
    """The agents of one other process, by its messages."""

    __slots__ = ("agents", "heard_at")

    def __init__(self) -> None:
        self.agents: dict[int, AgentPresence] = {}
        self.heard_at = 0.0

    def accept(self, message: PresenceMessage, now: float) -> None:
        """Apply a message of this process, received at `now` (monotonic seconds)."""
        self.heard_at = now
        if message.is_whole:
            self.agents = {}
        for agent_id in message.gone:
            self.agents.pop(agent_id, None)
        for agent in message.seen:
            self.agents[agent.id] = agent

    def is_silent(self, now: float) -> bool:
        """Whether nothing was received for so long that its agents count as gone."""
        return now - self.heard_at > SILENT_SECONDS


def merge(here: PresenceMap, elsewhere: Iterable[PresenceMap]) -> PresenceMap:
    """All agents once: of an agent with tabs in several processes, the one where they do more
    counts.
    """
    others = [picture for picture in elsewhere if picture]
    if not others:
        return here
    merged = dict(here)
    for picture in others:
        for agent_id, one in picture.items():
            known = merged.get(agent_id)
            if known is None or (one.typing, one.viewing is not None) > (
                known.typing,
                known.viewing is not None,
            ):
                merged[agent_id] = one
    return merged


def listed(picture: PresenceMap) -> dict[int, AgentPresence]:
    """The agents that clients get by name."""
    everyone = picture.values()
    chosen = (
        everyone
        if len(picture) <= MAX_LISTED_IDLE
        else [one for one in everyone if one.viewing is not None]
    )
    if len(chosen) > MAX_LISTED:
        chosen = sorted(chosen, key=lambda one: one.id)[:MAX_LISTED]
    return {one.id: one for one in chosen}


def difference(
    before: PresenceMap, after: PresenceMap
) -> tuple[tuple[AgentPresence, ...], tuple[int, ...]]:
    """(those who are new or have changed, the ids of those who are gone)."""
    changed = tuple(one for agent_id, one in after.items() if before.get(agent_id) != one)
    return changed, tuple(agent_id for agent_id in before if agent_id not in after)


def encode_presence(
    online: int, agents: Iterable[AgentPresence], gone: Iterable[int], *, whole: bool
) -> bytes:
    """Encode the frame `presence`: agents to add or replace, and ids to remove. `whole`: nobody
    else is here.
    """
    return encode_message(
        "presence", online=online, agents=list(agents), gone=list(gone), whole=whole
    )


def encode_typing(conversation_id: int, name: str | None, *, on: bool) -> bytes:
    """`name`: of an agent in Chatwoot; None: the customer."""
    if name is None:
        return encode_message("typing", conversationId=conversation_id, who="customer", on=on)
    return encode_message("typing", conversationId=conversation_id, who="agent", name=name, on=on)


def message_of_typing(process: str, typing: TypingNews) -> PresenceMessage:
    """Return the message for other processes on who began or stopped typing; customers have no
    name.
    """
    customers = {conversation: on for (conversation, name), on in typing.items() if name is None}
    writers = tuple(
        Writer(conversation, name, on)
        for (conversation, name), on in typing.items()
        if name is not None
    )
    return PresenceMessage(process, customers=customers, writers=writers)


def typing_of(message: PresenceMessage) -> TypingNews:
    """Return who began or stopped typing by (conversation, name), as another process says."""
    customers: dict[tuple[int, str | None], bool] = {
        (conversation, None): on for conversation, on in message.customers.items()
    }
    return customers | {(one.conversation, one.name): one.on for one in message.writers}


def encode_sync(run: Mapping[str, Any]) -> bytes:
    """Encode the frame `sync`: the progress of a full sync, for its company's administrators."""
    return encode_message("sync", **run)
