"""Current state: reading conversations and messages of one company, and saving a board with its events in one transaction.

Every read names the company; a message is reached only through its conversation. That, and nothing else, keeps companies apart here.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from server.core.changes import Change, MessageState
from server.core.entities import Conversation, Message
from server.core.events import EventBatch, encode_event
from server.core.projection import Board, ConversationKey, Draft, Entry, MessageEntry, Source
from server.core.recovery import Stream
from server.core.times import SECOND
from server.db import columns, eventlog
from server.db.columns import CONVERSATION_COLUMNS, MESSAGE_COLUMNS, conversation_from_row, message_from_row
from server.db.database import Connection, Row

_CONVERSATION = columns.select_list(CONVERSATION_COLUMNS, "c")
_MESSAGE = columns.select_list(MESSAGE_COLUMNS, "m")
_UNIDENTIFIED_MOST = 2_000  # messages without Chatwoot's id looked through for twins, newest first


def _insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"


def _update(table: str, names: Sequence[str]) -> str:
    return f"UPDATE {table} SET {', '.join(f'{name} = :{name}' for name in names if name != 'id')} WHERE id = :id"


def _upsert(table: str, names: Sequence[str]) -> str:
    """MySQL runs many updates in one statement only in this form."""
    return f"{_insert(table, names)} ON DUPLICATE KEY UPDATE {', '.join(f'{n} = VALUES({n})' for n in names if n != 'id')}"


_TABLES = {"social_conversations": CONVERSATION_COLUMNS, "social_messages": MESSAGE_COLUMNS}
_INSERT = {table: _insert(table, [n for n in names if n != "id"]) for table, names in _TABLES.items()}
_CHANGE = {
    "sqlite": {table: _update(table, names) for table, names in _TABLES.items()},
    "mysql": {table: _upsert(table, names) for table, names in _TABLES.items()},
}


async def read_conversation(connection: Connection, company_id: int, conversation_id: int) -> Conversation | None:
    row = await connection.fetch_one(
        f"SELECT {_CONVERSATION} FROM social_conversations c WHERE c.id = :id AND c.company_id = :company_id",
        {"id": conversation_id, "company_id": company_id},
    )
    return conversation_from_row(row) if row else None


async def read_company(connection: Connection, conversation_id: int) -> int | None:
    """Whose conversation it is; for those who ask whether it is their own."""
    row = await connection.fetch_one("SELECT company_id FROM social_conversations WHERE id = :id", {"id": conversation_id})
    return int(row[0]) if row else None


async def find_conversation(connection: Connection, integration_id: int, display_id: int) -> int | None:
    """The id of a Chatwoot conversation."""
    row = await connection.fetch_one(
        "SELECT id FROM social_conversations WHERE integration_id = :integration_id AND chatwoot_conversation_id = :display_id",
        {"integration_id": integration_id, "display_id": display_id},
    )
    return int(row[0]) if row else None


async def read_messages(
    connection: Connection, company_id: int, conversation_id: int, *, limit: int, before: tuple[str, int] | None = None
) -> list[Message]:
    """The newest `limit` messages before the given place (created_at column, id), oldest first."""
    edge = "" if before is None else "AND (m.created_at < :before_at OR (m.created_at = :before_at AND m.id < :before_id))"
    rows = await connection.fetch_all(
        f"SELECT {_MESSAGE} FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id "
        f"WHERE m.conversation_id = :conversation_id AND c.company_id = :company_id {edge} "
        "ORDER BY m.created_at DESC, m.id DESC LIMIT :limit",
        {"conversation_id": conversation_id, "company_id": company_id, "limit": limit}
        | ({} if before is None else {"before_at": before[0], "before_id": before[1]}),
    )
    return [message_from_row(row) for row in reversed(rows)]


async def read_message(connection: Connection, company_id: int, conversation_id: int, message_id: int) -> Message | None:
    row = await connection.fetch_one(
        f"SELECT {_MESSAGE} FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id "
        "WHERE m.id = :id AND m.conversation_id = :conversation_id AND c.company_id = :company_id",
        {"id": message_id, "conversation_id": conversation_id, "company_id": company_id},
    )
    return message_from_row(row) if row else None


async def read_messages_after(connection: Connection, company_id: int, conversation_id: int, message_id: int, limit: int) -> list[Message]:
    """Public messages that came into our table after the given one: what an agent who saw it last has not seen."""
    rows = await connection.fetch_all(
        f"SELECT {_MESSAGE} FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id "
        "WHERE m.conversation_id = :conversation_id AND c.company_id = :company_id AND m.id > :message_id AND m.is_private = :no "
        "ORDER BY m.id LIMIT :limit",
        {"conversation_id": conversation_id, "company_id": company_id, "message_id": message_id, "no": False, "limit": limit},
    )
    return [message_from_row(row) for row in rows]


async def count_inbound(connection: Connection, message: Message) -> int:
    """How many messages the customer has sent up to this one, in the order they are shown: what came late stands before it."""
    row = await connection.fetch_one(
        "SELECT COUNT(*) FROM social_messages WHERE conversation_id = :conversation_id AND sender_type = 'customer' AND is_private = :no "
        "AND (created_at IS NULL OR created_at < :at OR (created_at = :at AND id <= :id))",
        {"conversation_id": message.conversation_id, "at": columns.time_to_column(message.created_us), "id": message.id, "no": False},
    )
    return int(row[0]) if row else 0


async def entry_by_id(connection: Connection, company_id: int, conversation_id: int) -> Entry | None:
    """A conversation for an agent's own act; read again inside the transaction, after the stream is locked."""
    conversation = await read_conversation(connection, company_id, conversation_id)
    return Entry(conversation) if conversation else None


async def load_board(connection: Connection, changes: Iterable[tuple[Source, Change]]) -> Board:
    """The rows that these changes may touch. The streams of their companies are locked already."""
    wanted: dict[int, set[int]] = defaultdict(set)
    by_key: dict[ConversationKey, list[Change]] = defaultdict(list)
    for source, change in changes:
        wanted[source.integration_id].add(change.conversation.display_id)
        by_key[source.integration_id, change.conversation.display_id].append(change)
    entries: dict[ConversationKey, Entry] = {}
    for integration_id, display_ids in wanted.items():
        rows = await connection.fetch_all(
            f"SELECT {_CONVERSATION} FROM social_conversations c "
            f"WHERE c.integration_id = :integration_id AND c.chatwoot_conversation_id IN ({columns.ids(display_ids)})",
            {"integration_id": integration_id},
        )
        for conversation in map(conversation_from_row, rows):
            entries[integration_id, conversation.chatwoot_conversation_id or 0] = Entry(conversation)
    await _load_messages(connection, entries, by_key)
    return Board(entries)


async def _load_messages(
    connection: Connection, entries: dict[ConversationKey, Entry], by_key: dict[ConversationKey, list[Change]]
) -> None:
    by_id = {entry.row.id: entry for entry in entries.values()}
    told = [(entries[key], change.message) for key, changes in by_key.items() if key in entries for change in changes if change.message]
    if not told:
        return
    conversation_ids = columns.ids({entry.row.id for entry, _ in told})
    edges = {
        "first": columns.time_to_column(min(message.created_us for _, message in told) - SECOND),
        "last": columns.time_to_column(max(message.created_us for _, message in told) + SECOND),
    }
    rows: list[Row] = []
    if numbers := {message.message_id for _, message in told if message.message_id is not None}:
        rows += await connection.fetch_all(
            f"SELECT {_MESSAGE} FROM social_messages m "
            f"WHERE m.conversation_id IN ({conversation_ids}) AND m.chatwoot_message_id IN ({columns.ids(numbers)})"
        )
    # replies on their way (found by marker, whenever written) and rows without an id that may be twins
    rows += await connection.fetch_all(
        f"SELECT {_MESSAGE} FROM social_messages m WHERE m.conversation_id IN ({conversation_ids}) AND m.chatwoot_message_id IS NULL "
        "AND (m.client_id IS NOT NULL OR m.created_at BETWEEN :first AND :last) ORDER BY m.id DESC LIMIT :limit",
        edges | {"limit": _UNIDENTIFIED_MOST},
    )
    rows += await _twins_without_id(connection, told)
    seen: set[int] = set()
    for message in map(message_from_row, rows):
        if message.id not in seen:
            seen.add(message.id)
            by_id[message.conversation_id].messages.append(MessageEntry(message))


async def _twins_without_id(connection: Connection, told: list[tuple[Entry, MessageState]]) -> list[Row]:
    """The simple payload has no message id: everything of its conversation within the second may be the same message."""
    rows: list[Row] = []
    for entry, message in told:
        if message.message_id is None:
            rows += await connection.fetch_all(
                f"SELECT {_MESSAGE} FROM social_messages m "
                "WHERE m.conversation_id = :id AND m.created_at BETWEEN :first AND :last LIMIT 200",
                {
                    "id": entry.row.id,
                    "first": columns.time_to_column(message.created_us - SECOND),
                    "last": columns.time_to_column(message.created_us + SECOND),
                },
            )
    return rows


async def save_board(connection: Connection, board: Board, streams: dict[int, Stream], now_us: int) -> list[EventBatch]:
    """Write what the board holds and append its events. Returns the events by company, to be published after the commit."""
    numbered = _number(board, streams)
    await _save_conversations(connection, board)
    await _save_messages(connection, board)
    batches: list[EventBatch] = []
    for company_id, drafts in numbered.items():
        stream = streams[company_id]
        bodies = tuple(_encode(draft, seq) for seq, draft in drafts)
        received_us = min(draft.received_us for _, draft in drafts)
        batch = EventBatch(company_id, stream.epoch, drafts[0][0], bodies, received_us)
        await eventlog.append_events(connection, batch, now_us)
        streams[company_id] = replace(stream, head=batch.last_seq)
        batches.append(batch)
    return batches


def _number(board: Board, streams: dict[int, Stream]) -> dict[int, list[tuple[int, Draft]]]:
    """Give each draft its seq, and each row the seq of its last event."""
    numbered: dict[int, list[tuple[int, Draft]]] = defaultdict(list)
    for draft in board.drafts:
        company_id = draft.conversation.company_id
        seq = streams[company_id].head + len(numbered[company_id]) + 1
        numbered[company_id].append((seq, draft))
        if draft.extra is None:  # a read mark belongs to the agent: the conversation stays as it is
            draft.entry.row = replace(draft.entry.row, seq=seq)
            draft.entry.is_dirty = True
        if draft.message_entry is not None:
            draft.message_entry.row = replace(draft.message_entry.row, seq=seq)
            draft.message_entry.is_dirty = True
    return numbered


def _encode(draft: Draft, seq: int) -> bytes:
    row = draft.entry.row
    conversation = replace(draft.conversation, id=row.id, seq=seq if draft.extra is None else row.seq)
    message = draft.message
    if message is not None and draft.message_entry is not None:
        message = replace(message, id=draft.message_entry.row.id, conversation_id=row.id, seq=seq)
    return encode_event(seq, draft.kind, draft.at_us, draft.received_us, conversation, message, draft.extra)


async def _save_conversations(connection: Connection, board: Board) -> None:
    new = {key: entry for key, entry in board.entries.items() if entry.row.id == 0}
    await connection.execute_many(_INSERT["social_conversations"], [columns.conversation_to_row(entry.row) for entry in new.values()])
    by_integration: dict[int, list[int]] = defaultdict(list)
    for integration_id, display_id in new:
        by_integration[integration_id].append(display_id)
    for integration_id, display_ids in by_integration.items():
        rows = await connection.fetch_all(
            "SELECT chatwoot_conversation_id, id FROM social_conversations "
            f"WHERE integration_id = :integration_id AND chatwoot_conversation_id IN ({columns.ids(display_ids)})",
            {"integration_id": integration_id},
        )
        for display_id, conversation_id in rows:
            entry = new[integration_id, display_id]
            entry.row = replace(entry.row, id=conversation_id)
    changed = [entry for key, entry in board.entries.items() if entry.is_dirty and key not in new]
    rows_changed = [columns.conversation_to_row(entry.row) for entry in changed]
    await connection.execute_many(_CHANGE[connection.dialect]["social_conversations"], rows_changed)


async def _save_messages(connection: Connection, board: Board) -> None:
    touched = [(entry, message) for entry in board.entries.values() for message in entry.messages if message.is_dirty]
    changed = [message for _, message in touched if message.row.id]
    await connection.execute_many(
        _CHANGE[connection.dialect]["social_messages"], [columns.message_to_row(message.row) for message in changed]
    )
    numbered: dict[tuple[int, int], MessageEntry] = {}
    for entry, message in touched:
        if message.row.id:
            continue
        message.row = replace(message.row, conversation_id=entry.row.id)
        if message.row.chatwoot_message_id is None:
            new_id = await connection.insert(_INSERT["social_messages"], columns.message_to_row(message.row))
            message.row = replace(message.row, id=new_id)
        else:
            numbered[entry.row.id, message.row.chatwoot_message_id] = message
    await _insert_numbered(connection, numbered)


async def _insert_numbered(connection: Connection, numbered: dict[tuple[int, int], MessageEntry]) -> None:
    if not numbered:
        return
    await connection.execute_many(_INSERT["social_messages"], [columns.message_to_row(message.row) for message in numbered.values()])
    rows = await connection.fetch_all(
        "SELECT conversation_id, chatwoot_message_id, id FROM social_messages "
        f"WHERE conversation_id IN ({columns.ids({key[0] for key in numbered})}) "
        f"AND chatwoot_message_id IN ({columns.ids(key[1] for key in numbered)})"
    )
    for conversation_id, number, message_id in rows:
        if (message := numbered.get((conversation_id, number))) is not None:
            message.row = replace(message.row, id=message_id)


def new_epoch() -> str:
    return secrets.token_hex(6)
