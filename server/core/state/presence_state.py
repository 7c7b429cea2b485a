"""Who is here, looks at which conversation, and types: what a company's agents see of each other.
Pure.

Never stored, without a seq: whoever missed some of it is told the whole again. Each process tells
the others of its own agents by notes on the bus; a process that is not heard of any more takes its
agents with it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from server.core.wire.client_frames import encode_message

# in a larger company only those are listed who look at a conversation; the others are a number
LISTED_IDLE_MOST = 100
LISTED_MOST = 500
TYPING_SECONDS = 6.0
TYPING_AGAIN_SECONDS = 2.0  # said again sooner than this, it changes nothing
# after this a process that said nothing counts as dead; it says something every 15 s
SILENT_SECONDS = 40.0
_NOTE = "p1 "


class Seen(msgspec.Struct, frozen=True):
    """One agent, whatever number of tabs they have."""

    id: int
    name: str
    viewing: int | None = None
    typing: bool = False


Picture = Mapping[int, Seen]
# (conversation, agent in Chatwoot or None: its customer) -> whether they type
TypingNews = Mapping[tuple[int, str | None], bool]


class Writer(msgspec.Struct, frozen=True):
    """An agent in Chatwoot who types, or has stopped."""

    conversation: int
    name: str
    on: bool


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process to the others, about one company. `is_whole`: nobody but these; `asks`: tell me
    of yours.
    """

    process: str
    seen: tuple[Seen, ...] = ()
    gone: tuple[int, ...] = ()
    is_whole: bool = False
    asks: bool = False
    customers: dict[int, bool] = {}  # conversation -> whether its customer types
    writers: tuple[Writer, ...] = ()
    sync: dict[str, Any] | None = None  # how far one is, for administrators


_decoder = msgspec.json.Decoder(Note)


def encode_note(note: Note) -> str:
    return _NOTE + msgspec.json.encode(note).decode()


def is_note(text: str) -> bool:
    """Whether a bus message is a note, and no batch of events."""
    return text.startswith(_NOTE)


def parse_note(text: str) -> Note:
    """Raises ValueError for what is no note of this version."""
    try:
        return _decoder.decode(text.removeprefix(_NOTE))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


class Elsewhere:
    """The agents of one other process, as it told of them."""

    __slots__ = ("heard_at", "seen")

    def __init__(self) -> None:
        self.seen: dict[int, Seen] = {}
        self.heard_at = 0.0

    def take(self, note: Note, now: float) -> None:
        self.heard_at = now
        if note.is_whole:
            self.seen = {}
        for agent_id in note.gone:
            self.seen.pop(agent_id, None)
        for one in note.seen:
            self.seen[one.id] = one

    def is_silent(self, now: float) -> bool:
        return now - self.heard_at > SILENT_SECONDS


def merge(here: Picture, elsewhere: Iterable[Picture]) -> Picture:
    """All agents once: with tabs in several processes, the one where they do more counts."""
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


def listed(picture: Picture) -> dict[int, Seen]:
    """Those whom clients are told of by name."""
    everyone = picture.values()
    chosen = (
        everyone
        if len(picture) <= LISTED_IDLE_MOST
        else [one for one in everyone if one.viewing is not None]
    )
    if len(chosen) > LISTED_MOST:
        chosen = sorted(chosen, key=lambda one: one.id)[:LISTED_MOST]
    return {one.id: one for one in chosen}


def difference(before: Picture, after: Picture) -> tuple[tuple[Seen, ...], tuple[int, ...]]:
    """(those who are new or have changed, the ids of those who are gone)."""
    changed = tuple(one for agent_id, one in after.items() if before.get(agent_id) != one)
    return changed, tuple(agent_id for agent_id in before if agent_id not in after)


def encode_presence(
    online: int, agents: Iterable[Seen], gone: Iterable[int], *, whole: bool
) -> bytes:
    return encode_message(
        "presence", online=online, agents=list(agents), gone=list(gone), whole=whole
    )


def encode_typing(conversation_id: int, name: str | None, *, on: bool) -> bytes:
    """`name`: of an agent in Chatwoot; None: the customer."""
    if name is None:
        return encode_message("typing", conversationId=conversation_id, who="customer", on=on)
    return encode_message("typing", conversationId=conversation_id, who="agent", name=name, on=on)


def note_of_typing(process: str, typing: TypingNews) -> Note:
    customers = {conversation: on for (conversation, name), on in typing.items() if name is None}
    writers = tuple(
        Writer(conversation, name, on)
        for (conversation, name), on in typing.items()
        if name is not None
    )
    return Note(process, customers=customers, writers=writers)


def typing_of(note: Note) -> TypingNews:
    customers: dict[tuple[int, str | None], bool] = {
        (conversation, None): on for conversation, on in note.customers.items()
    }
    return customers | {(one.conversation, one.name): one.on for one in note.writers}


def encode_sync(run: Mapping[str, Any]) -> bytes:
    return encode_message("sync", **run)
