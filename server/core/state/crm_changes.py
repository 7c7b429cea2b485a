"""What other programs write into the shared tables: which rows, and what becomes of a
conversation's own columns. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

import msgspec
from msgspec.structs import replace

from server.core.state.entities import Conversation, Message
from server.core.state.list_rows import is_unsent, rank_of, settled
from server.core.state.previews import SPOKEN, UNKNOWN, comparable
from server.core.times import SECOND

# subjects
CONVERSATION, MESSAGE, INTEGRATION, COMPARE, POLLED, PROVED, COMPARED = 1, 2, 3, 4, 5, 6, 7
INSERTED, UPDATED, DELETED, MOVED = "I", "U", "D", "A"  # acts
QUIET = "Q"  # of an order to compare: only where something differs is anybody told
INTEGRATIONS, SERVER, NOBODY = -1, -2, -3  # in place of a company
# a message that is later than this from now does not lift its conversation in the list
_AHEAD_US = 60 * SECOND


class RowChange(msgspec.Struct, frozen=True):
    """A row change: a row of `omni_crm_changes`."""

    id: int
    subject: int
    act: str
    row_id: int
    conversation_id: int


class Inbound(msgspec.Struct, frozen=True):
    """What the customer wrote in a conversation, in all."""

    count: int = 0
    last_us: int | None = None


class Event(msgspec.Struct):
    """An event to be; rows are filled with their seq by `numbered`."""

    kind: str
    conversation: Conversation
    message: Message | None
    at_us: int


def decides_alone(row: Conversation, newest: Message | None, touched: Iterable[Message]) -> bool:
    """Whether the newest public message says all of the conversation's row in the list, when these
    messages were touched: no other has to be looked at.
    """
    if newest is None:
        return True
    shown = row.preview
    is_settled = shown is None or (shown.rank != UNKNOWN and shown.unsent is None)
    return is_settled and rank_of(newest) == SPOKEN and not any(map(is_unsent, touched))


def with_messages(
    row: Conversation,
    newest: Message | None,
    deciding: Iterable[Message],
    inbound: Inbound,
    now_us: int,
) -> Conversation:
    """The conversation once its messages were counted anew. The list's time goes forward only, and
    never far ahead of the clock. `deciding`: what its row in the list is made of.
    """
    at_us = None if newest is None else newest.created_us
    last_us = row.last_message_us
    if at_us is not None and at_us <= now_us + _AHEAD_US and at_us > (last_us or 0):
        last_us = at_us
    return replace(
        row,
        preview=settled(deciding, row.preview),
        last_message_us=last_us,
        last_message_number=None if newest is None else newest.chatwoot_message_id,
        inbound_count=inbound.count,
        last_inbound_us=inbound.last_us,
    )


def draft_events(
    before: Sequence[Conversation],
    after: Mapping[int, Conversation],
    messages: Iterable[Message],
    changes: Iterable[RowChange],
    head: int,
    now_us: int,
) -> list[Event]:
    """Return the events of one company: one for each message, oldest first, and one for each
    conversation without an event of a message.

    `before`, `after`: conversations as they are in the table, and as they were counted anew. Every
    event carries the rows as they are now, with its own number. A new row that has a number already
    was told of by whoever gave it that.
    """
    acts: dict[tuple[int, int], set[str]] = defaultdict(set)
    for change in changes:
        acts[change.subject, change.row_id].add(change.act)
    own: dict[int, list[Message]] = defaultdict(list)
    for message in sorted(messages, key=lambda one: (one.created_us or 0, one.id)):
        if _is_news(acts[MESSAGE, message.id], message.seq):
            own[message.conversation_id].append(message)
    events: list[Event] = []
    for known in sorted(before, key=lambda one: one.id):
        row = after[known.id]
        did = acts[CONVERSATION, row.id]
        theirs = own[row.id]
        if INSERTED in did and row.seq == 0:
            events.append(Event("conversation.created", row, None, _moment(row.created_us, now_us)))
        elif not theirs and (_is_news(did, row.seq) or _differs(row, known)):
            events.append(Event("conversation.updated", row, None, now_us))
        events += [
            _draft_message_event(row, message, acts[MESSAGE, message.id], now_us)
            for message in theirs
        ]
    for seq, event in enumerate(events, head + 1):
        event.conversation = replace(event.conversation, seq=seq)
        event.message = None if event.message is None else replace(event.message, seq=seq)
    return events


def _differs(row: Conversation, known: Conversation) -> bool:
    """A preview that a version before its rank stored is no difference."""
    if comparable(row.preview) != comparable(known.preview):
        return True
    return replace(row, preview=None) != replace(known, preview=None)


def _draft_message_event(row: Conversation, message: Message, acts: Set[str], now_us: int) -> Event:
    is_first = INSERTED in acts and message.seq == 0
    kind = "message.created" if is_first else "message.updated"
    return Event(kind, row, message, _moment(message.created_us if is_first else None, now_us))


def _is_news(acts: Set[str], seq: int) -> bool:
    return bool(acts) and (acts != {INSERTED} or seq == 0)


def _moment(at_us: int | None, now_us: int) -> int:
    """When it happened, as far as it says so and that can be."""
    return at_us if at_us is not None and 0 < at_us <= now_us else now_us
