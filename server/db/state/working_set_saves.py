"""Saves a working set with its events, in the transaction that holds the streams' locks."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from server.core.state.conversation_changes import with_inbox
from server.core.state.cursors import Stream
from server.core.state.projection import WorkingSet
from server.core.state.row_settling import name_unsent, settle, unsettled
from server.core.state.tracked import PendingEvent, TrackedConversation, TrackedMessage
from server.core.wire.event_frames import EventBatch, encode_event
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList
from server.db.schema import columns
from server.db.state import (
    deciding_messages,
    eventlog,
    external_ids,
    number_reuse,
)
from server.db.state.row_changes import INSERTS, pipeline_changes
from server.db.state.working_set_loads import of_conversations


async def save_working_set(
    connection: Connection, working_set: WorkingSet, streams: dict[int, Stream], now_us: int
) -> list[EventBatch]:
    """Write what the working set holds and append its events. Returns the events by company, to be
    published after the commit.
    """
    if waiting := unsettled(working_set):
        known = {
            entry.row.id: [one.row.id for one in entry.messages if one.row.id]
            for entry in waiting
            if entry.row.id
        }
        settle(working_set, await deciding_messages.read_deciding(connection, known))
    working_set.add_read_events(now_us)
    await external_ids.keep_apart(connection, working_set)
    if working_set.reissued:
        await number_reuse.record_reuse(connection, working_set.reissued, now_us)
    numbered = _number(working_set, streams)
    await _save_conversations(connection, working_set)
    await _save_messages(connection, working_set)
    if named := name_unsent(working_set):
        pipeline_changes(connection, "social_conversations", named, columns.conversation_to_row)
    batches: list[EventBatch] = []
    for company_id, pending_events in numbered.items():
        stream = streams[company_id]
        names = connection.inbox_names
        bodies = tuple(_encode(pending, seq, names) for seq, pending in pending_events)
        received_us = min(pending.received_us for _, pending in pending_events)
        batch = EventBatch(
            company_id, stream.epoch, pending_events[0][0], bodies, received_us, written_us=now_us
        )
        await eventlog.append_events(connection, batch, now_us)
        streams[company_id] = replace(stream, head=batch.last_seq)
        batches.append(batch)
    return batches


def _number(
    working_set: WorkingSet, streams: dict[int, Stream]
) -> dict[int, list[tuple[int, PendingEvent]]]:
    """Give each event its seq, and each row the seq of its last event."""
    numbered: dict[int, list[tuple[int, PendingEvent]]] = defaultdict(list)
    for pending in working_set.pending_events:
        company_id = pending.conversation.company_id
        seq = streams[company_id].head + len(numbered[company_id]) + 1
        numbered[company_id].append((seq, pending))
        if (
            pending.extra is None
        ):  # a read mark belongs to the agent: the conversation stays as it is
            pending.entry.row = replace(pending.entry.row, seq=seq)
            pending.entry.is_dirty = True
        if pending.tracked_message is not None:
            pending.tracked_message.row = replace(pending.tracked_message.row, seq=seq)
            pending.tracked_message.is_dirty = True
    return numbered


def _encode(pending: PendingEvent, seq: int, inbox_names: Mapping[int, str]) -> bytes:
    row = pending.entry.row
    conversation = replace(
        pending.conversation, id=row.id, seq=seq if pending.extra is None else row.seq
    )
    conversation = with_inbox(conversation, inbox_names.get(row.integration_id or 0))
    message = pending.message
    if message is not None and pending.tracked_message is not None:
        message = replace(
            message, id=pending.tracked_message.row.id, conversation_id=row.id, seq=seq
        )
    return encode_event(
        seq, pending.kind, pending.at_us, pending.received_us, conversation, message, pending.extra
    )


async def _save_conversations(connection: Connection, working_set: WorkingSet) -> None:
    new = {key: entry for key, entry in working_set.entries.items() if entry.row.id == 0}
    changed = [
        entry for key, entry in working_set.entries.items() if entry.is_dirty and key not in new
    ]
    pipeline_changes(connection, "social_conversations", changed, columns.conversation_to_row)
    if not new:
        return
    connection.pipeline_many(
        INSERTS["social_conversations"],
        [_conversation_row(connection, entry) for entry in new.values()],
    )
    wanted: dict[int, set[int]] = defaultdict(set)
    for integration_id, display_id in new:
        wanted[integration_id].add(display_id)
    where, keys = of_conversations(wanted)
    rows = await connection.fetch_all(
        "SELECT c.omni_integration_id, c.omni_chatwoot_conversation_id, c.id FROM "
        f"social_conversations c WHERE {where}",
        keys,
    )
    for integration_id, display_id, conversation_id in rows:
        entry = new[integration_id, display_id]
        entry.row = replace(entry.row, id=conversation_id)


def _conversation_row(connection: Connection, entry: TrackedConversation) -> dict[str, Any]:
    return connection.crm.fitted("social_conversations", columns.conversation_to_row(entry.row))


def _message_row(connection: Connection, message: TrackedMessage) -> dict[str, Any]:
    return connection.crm.fitted("social_messages", columns.message_to_row(message.row))


async def _save_messages(connection: Connection, working_set: WorkingSet) -> None:
    touched = [
        (entry, message)
        for entry in working_set.entries.values()
        for message in entry.messages
        if message.is_dirty
    ]
    changed = [message for _, message in touched if message.row.id]
    pipeline_changes(connection, "social_messages", changed, columns.message_to_row)
    numbered: dict[tuple[int, int], TrackedMessage] = {}
    # known by no number of Chatwoot's, or the only new one: an INSERT of its own tells its id
    alone: list[TrackedMessage] = []
    for entry, message in touched:
        if message.row.id:
            continue
        message.row = replace(message.row, conversation_id=entry.row.id)
        if message.row.chatwoot_message_id is None:
            alone.append(message)
        else:
            numbered[entry.row.id, message.row.chatwoot_message_id] = message
    if len(numbered) == 1:
        alone += numbered.values()
    else:
        await _insert_numbered(connection, numbered)
    if alone:
        numbers = await connection.insert_each(
            INSERTS["social_messages"], [_message_row(connection, message) for message in alone]
        )
        for message, number in zip(alone, numbers, strict=True):
            message.row = replace(message.row, id=number)


async def _insert_numbered(
    connection: Connection, numbered: dict[tuple[int, int], TrackedMessage]
) -> None:
    if not numbered:
        return
    connection.pipeline_many(
        INSERTS["social_messages"],
        [_message_row(connection, message) for message in numbered.values()],
    )
    rows = await connection.fetch_all(
        "SELECT conversation_id, omni_chatwoot_message_id, id FROM social_messages "
        "WHERE conversation_id IN (:conversations) AND omni_chatwoot_message_id IN (:numbers)",
        {
            "conversations": IntList({key[0] for key in numbered}),
            "numbers": IntList(key[1] for key in numbered),
        },
    )
    for conversation_id, number, message_id in rows:
        if (message := numbered.get((conversation_id, number))) is not None:
            message.row = replace(message.row, id=message_id)
