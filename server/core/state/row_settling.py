"""Settles rows of the list by their threads, where what is known of them does not decide: once for
all changes of a transaction, before it is saved.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from server.core.state.entities import Message
from server.core.state.list_rows import settled, with_id
from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation


def unsettled(working_set: WorkingSet) -> list[TrackedConversation]:
    """Return the conversations whose rows wait for a look at their threads."""
    return [one for one in working_set.entries.values() if one.unsettled_from is not None]


def settle(working_set: WorkingSet, stored: Mapping[int, Sequence[Message]]) -> None:
    """Have the rows that wait say what their threads say. `stored`: by conversation, what matters
    of the messages that are not in the working set.
    """
    for entry in unsettled(working_set):
        own = [one.row for one in entry.messages]
        preview = settled([*stored.get(entry.row.id, ()), *own], entry.row.preview)
        entry.row = replace(entry.row, preview=preview)
        for pending in working_set.pending_events[entry.unsettled_from :]:
            if pending.entry is entry:
                pending.conversation = replace(pending.conversation, preview=preview)
        entry.unsettled_from = None


def name_unsent(working_set: WorkingSet) -> list[TrackedConversation]:
    """Once new messages have ids: say them in the rows of which a reply failed before it was
    stored. Returns these.
    """
    named = []
    for entry in working_set.entries.values():
        unsent = entry.row.preview.unsent if entry.row.preview is not None else None
        if unsent is None or unsent.message_id:
            continue
        own = [one.row for one in entry.messages]
        entry.row = replace(entry.row, preview=with_id(entry.row.preview, own))
        for pending in working_set.pending_events:
            if pending.entry is entry:
                shown = with_id(pending.conversation.preview, own)
                pending.conversation = replace(pending.conversation, preview=shown)
        named.append(entry)
    return named
