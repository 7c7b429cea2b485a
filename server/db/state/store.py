"""Current state: reading conversations and messages of one company, and saving a working set with
its events in one transaction.

Every read names the company; a message is reached only through its conversation. That, and nothing
else, keeps companies apart here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.state.delivery import WEB_CHAT
from server.core.state.entities import Conversation, Message
from server.core.state.projection import (
    PendingEvent,
    Source,
    TrackedConversation,
    TrackedMessage,
    WorkingSet,
)
from server.core.state.recovery import Stream
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch, encode_event
from server.db.engine.database import Connection
from server.db.engine.sql_connection import (
    Dialect,
    IntList,
    Parameters,
    Row,
)
from server.db.schema import columns
from server.db.schema.columns import CONVERSATIONS, MESSAGES
from server.db.state import (
    eventlog,
    external_ids,
    number_reuse,
    threads,
)
from server.db.state.eventlog import Select
from server.db.state.row_changes import INSERTS, pipeline_changes
from server.errors import CompanyBusy

_UNIDENTIFIED_MOST = 2_000  # messages without Chatwoot's id looked through for twins, newest first

# of a conversation whose customer was never seen before; what is older was told with the messages
_FIRST_LOOK_US = 24 * 3600 * SECOND


async def read_conversation(
    connection: Connection, company_id: int, conversation_id: int
) -> Conversation | None:
    row = await connection.fetch_one(
        f"SELECT {CONVERSATIONS.select[connection.dialect]} FROM social_conversations c WHERE "
        "c.id = :id AND c.company_id = :company_id",
        {"id": conversation_id, "company_id": company_id},
    )
    return CONVERSATIONS.entity(row) if row else None


async def read_company(connection: Connection, conversation_id: int) -> int | None:
    """Whose conversation it is; for those who ask whether it is their own."""
    row = await connection.fetch_one(
        "SELECT company_id FROM social_conversations WHERE id = :id", {"id": conversation_id}
    )
    return int(row[0]) if row else None


async def find_conversation(
    connection: Connection, integration_id: int, display_id: int
) -> int | None:
    """The id of a Chatwoot conversation."""
    row = await connection.fetch_one(
        "SELECT id FROM social_conversations WHERE omni_integration_id = :integration_id AND "
        "omni_chatwoot_conversation_id = :display_id",
        {"integration_id": integration_id, "display_id": display_id},
    )
    return int(row[0]) if row else None


async def read_message(
    connection: Connection, company_id: int, conversation_id: int, message_id: int
) -> Message | None:
    row = await connection.fetch_one(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m JOIN "
        "social_conversations c ON c.id = m.conversation_id "
        "WHERE m.id = :id AND m.conversation_id = :conversation_id AND c.company_id = :company_id",
        {"id": message_id, "conversation_id": conversation_id, "company_id": company_id},
    )
    return MESSAGES.entity(row) if row else None


async def read_message_with_integration(
    connection: Connection, company_id: int, message_id: int
) -> tuple[Message, int | None] | None:
    """A message of the company, wherever it is, and its conversation's integration."""
    row = await connection.fetch_one(
        f"SELECT {MESSAGES.select[connection.dialect]}, c.omni_integration_id FROM "
        "social_messages m "
        "JOIN social_conversations c ON c.id = m.conversation_id WHERE m.id = :id AND "
        "c.company_id = :company_id",
        {"id": message_id, "company_id": company_id},
    )
    return (MESSAGES.entity(row), MESSAGES.rest(row)[0]) if row else None


async def track_conversation(
    connection: Connection, company_id: int, conversation_id: int
) -> TrackedConversation | None:
    """A conversation for an agent's own act; read again inside the transaction, after the stream is
    locked.
    """
    conversation = await read_conversation(connection, company_id, conversation_id)
    return TrackedConversation(conversation) if conversation else None


async def load_working_set(
    connection: Connection, changes: Sequence[tuple[Source, Change]]
) -> tuple[dict[int, Stream], WorkingSet]:
    """Lock the companies' streams, and read the rows that these changes may touch: one round trip.
    Raises CompanyBusy.
    """
    streams, working_set, _ = await load_free_working_set(connection, changes)
    if busy := {source.company_id for source, _ in changes} - streams.keys():
        raise CompanyBusy(busy)
    return streams, working_set


async def load_free_working_set(
    connection: Connection, changes: Sequence[tuple[Source, Change]], *also: Select
) -> tuple[dict[int, Stream], WorkingSet, list[Sequence[Row]]]:
    """As `load_board`, but for companies that another transaction holds: their streams are not in
    the answer, and nothing of them may be changed. With what the SELECTs `also` find after the
    locks, in the same round trip.
    """
    wanted: dict[int, set[int]] = defaultdict(set)
    for source, change in changes:
        wanted[source.integration_id].add(change.conversation.display_id)
    where, keys = _of_conversations(wanted)
    conversations = (
        (
            f"SELECT {CONVERSATIONS.select[connection.dialect]} FROM social_conversations c WHERE "
            f"{where}"
        ),
        keys,
    )
    messages = _messages_told(connection.dialect, changes, where, keys)
    company_ids = {source.company_id for source, _ in changes}
    streams, found = await eventlog.lock_free_and_read(
        connection, company_ids, *also, conversations, *messages
    )
    others, found = found[: len(also)], found[len(also) :]
    rows = [CONVERSATIONS.entity(row) for row in found[0]]
    entries = {
        (row.integration_id or 0, row.chatwoot_conversation_id or 0): TrackedConversation(row)
        for row in rows
    }
    by_id = {entry.row.id: entry for entry in entries.values()}
    known = {message.id: message for rows in found[1:] for message in map(MESSAGES.entity, rows)}
    if looks := _looks(changes, entries):
        known |= {
            message.id: message for message in await threads.read_looked_at(connection, looks)
        }
    if renamed := _renamed(changes, entries):
        known |= {
            message.id: message for message in await threads.read_of_customers(connection, renamed)
        }
    for message in known.values():
        by_id[message.conversation_id].messages.append(TrackedMessage(message))
    return streams, WorkingSet(entries), others


def _looks(
    changes: Sequence[tuple[Source, Change]], entries: Mapping[tuple[int, int], TrackedConversation]
) -> list[tuple[int, int, int]]:
    """Where customers of the web chat have looked again: (conversation, since, until), in
    microseconds.
    """
    looks = []
    for source, change in changes:
        told, entry = (
            change.conversation,
            entries.get((source.integration_id, change.conversation.display_id)),
        )
        if (
            entry is None
            or told.contact_seen_us is None
            or (told.channel or entry.row.channel) != WEB_CHAT
        ):
            continue
        since_us = entry.row.contact_seen_us or told.contact_seen_us - _FIRST_LOOK_US
        if told.contact_seen_us // SECOND > since_us // SECOND:
            looks.append((entry.row.id, since_us, told.contact_seen_us))
    return looks


def _renamed(
    changes: Sequence[tuple[Source, Change]], entries: Mapping[tuple[int, int], TrackedConversation]
) -> list[int]:
    """Conversations whose contact has another name now: their messages show it, too."""
    found = []
    for source, change in changes:
        entry = entries.get((source.integration_id, change.conversation.display_id))
        name = change.conversation.contact_name
        if (
            change.contact_told is not None
            and entry is not None
            and name not in (None, entry.row.external_user_name)
        ):
            found.append(entry.row.id)
    return found


def _of_conversations(wanted: dict[int, set[int]]) -> tuple[str, Parameters]:
    """The condition that finds these conversations: Chatwoot's numbers by integration."""
    where: list[str] = []
    keys: dict[str, object] = {}
    for n, (integration_id, display_ids) in enumerate(wanted.items()):
        where.append(
            f"(c.omni_integration_id = :i{n} AND c.omni_chatwoot_conversation_id IN (:d{n}))"
        )
        keys |= {f"i{n}": integration_id, f"d{n}": IntList(display_ids)}
    return f"({' OR '.join(where)})", keys


def _messages_told(
    dialect: Dialect, changes: Sequence[tuple[Source, Change]], where: str, keys: Parameters
) -> list[Select]:
    """SELECTs of the stored messages that these may be: by Chatwoot's id; by marker (replies on
    their way, whenever written); as twins.

    A message of the simple payload has no id: everything of its conversation within the second may
    be the same one.
    """
    told = [
        (source, change.conversation.display_id, change.message)
        for source, change in changes
        if change.message is not None
    ]
    last = {
        change.conversation.last.message_id
        for _, change in changes
        if change.conversation.last is not None
    }
    if not told and not last:
        return []
    select = (
        f"SELECT {MESSAGES.select[dialect]} FROM social_conversations c JOIN social_messages m "
        "ON m.conversation_id = c.id WHERE"
    )
    moments = [message.created_us for _, _, message in told]
    numbers = IntList(
        last | {message.message_id for _, _, message in told if message.message_id is not None}
    )
    if not told:
        return [
            (
                f"{select} {where} AND m.omni_chatwoot_message_id IN (:numbers)",
                {**keys, "numbers": numbers},
            )
        ]
    selects: list[Select] = [
        (
            f"{select} {where} AND (m.omni_chatwoot_message_id IN (:numbers) OR "
            "(m.omni_chatwoot_message_id IS NULL AND "
            "(m.omni_client_id IS NOT NULL OR m.created_at BETWEEN :first AND :last))) "
            "ORDER BY m.omni_chatwoot_message_id IS NULL, m.id DESC LIMIT :limit",
            {
                **keys,
                **_within(min(moments), max(moments)),
                "numbers": numbers,
                "limit": len(numbers) + _UNIDENTIFIED_MOST,
            },
        )
    ]
    for source, display_id, message in told:
        if message.message_id is None:
            one, key = _of_conversations({source.integration_id: {display_id}})
            twins = f"{select} {one} AND m.created_at BETWEEN :first AND :last LIMIT 200"
            selects.append((twins, {**key, **_within(message.created_us, message.created_us)}))
        # of a reply that has a number already, this may be a further message
        elif message.client_id is not None:
            one, key = _of_conversations({source.integration_id: {display_id}})
            selects.append(
                (
                    f"{select} {one} AND m.omni_client_id = :marker",
                    {**key, "marker": message.client_id},
                )
            )
    return selects


def _within(first_us: int, last_us: int) -> dict[str, str | None]:
    return {
        "first": columns.time_to_column(first_us - SECOND),
        "last": columns.time_to_column(last_us + SECOND),
    }


async def save_working_set(
    connection: Connection, working_set: WorkingSet, streams: dict[int, Stream], now_us: int
) -> list[EventBatch]:
    """Write what the working set holds and append its events. Returns the events by company, to be
    published after the commit.
    """
    working_set.add_read_events(now_us)
    await external_ids.keep_apart(connection, working_set)
    if working_set.reissued:
        await number_reuse.note(connection, working_set.reissued, now_us)
    numbered = _number(working_set, streams)
    await _save_conversations(connection, working_set)
    await _save_messages(connection, working_set)
    batches: list[EventBatch] = []
    for company_id, pending_events in numbered.items():
        stream = streams[company_id]
        bodies = tuple(_encode(pending, seq) for seq, pending in pending_events)
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


def _encode(pending: PendingEvent, seq: int) -> bytes:
    row = pending.entry.row
    conversation = replace(
        pending.conversation, id=row.id, seq=seq if pending.extra is None else row.seq
    )
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
    where, keys = _of_conversations(wanted)
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
