"""Statements that insert and change conversations and messages, which other programs write as well.

Rows are read without a lock, so the CRM may change one before it is written: of the columns that it
writes, too, only those are written in which something new was told.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from server.core.state.tracked import TrackedConversation, TrackedMessage
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Dialect
from server.db.schema.columns import CONVERSATION_ROW, MESSAGE_ROW
from server.db.schema.crm_words import IS_CLOSED

_TABLES = {"social_conversations": CONVERSATION_ROW, "social_messages": MESSAGE_ROW}
# columns that another program writes as well, by what they are called in our rows
_SHARED = {
    "social_conversations": {
        "company_id": "company_id",
        "platform": "platform",
        "external_user_id": "external_user_id",
        "external_user_name": "external_user_name",
        "status": "status",
        "last_message_at": "last_message_us",
        "created_at": "created_us",
        "updated_at": "updated_us",
    },
    "social_messages": {
        "conversation_id": "conversation_id",
        "sender_type": "sender_type",
        "content": "content",
        "created_at": "created_us",
    },
}
# the CRM's own word (`Pending`, `Resolved`) stays as long as it is shown as what we would write
_STATUS = (
    f"status = CASE WHEN ({IS_CLOSED}) = COALESCE({IS_CLOSED.format('status')}, FALSE) "
    "THEN status ELSE {} END"
)


def _insert(table: str, names: Sequence[str]) -> str:
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES "
        f"({', '.join(':' + name for name in names)})"
    )


INSERTS = {
    table: _insert(table, [n for n in names if n != "id"]) for table, names in _TABLES.items()
}


def _changed(table: str, entry: TrackedConversation | TrackedMessage) -> tuple[str, ...]:
    """Shared columns in which the row is not as it was read."""
    return tuple(
        column
        for column, name in _SHARED[table].items()
        if getattr(entry.row, name) != getattr(entry.stored, name)
    )


@functools.cache
def _change(dialect: Dialect, table: str, changed: tuple[str, ...]) -> str:
    """An UPDATE of our columns, and of the shared ones that we changed: what another program wrote
    into the others since they were read stays. MySQL runs many updates in one statement only as an
    INSERT of rows that are there.
    """
    new = ":{}" if dialect == "sqlite" else "VALUES({})"
    assignments = []
    for name in _TABLES[table]:
        if name in _SHARED[table] and name not in changed:
            if dialect == "mysql":  # named, so that ON UPDATE CURRENT_TIMESTAMP leaves it alone
                assignments.append(f"{name} = {table}.{name}")
        elif name == "status":
            assignments.append(_STATUS.format(new.format(name), new.format(name)))
        elif name != "id":
            assignments.append(f"{name} = {new.format(name)}")
    if dialect == "sqlite":
        return f"UPDATE {table} SET {', '.join(assignments)} WHERE id = :id"
    return f"{_insert(table, _TABLES[table])} ON DUPLICATE KEY UPDATE {', '.join(assignments)}"


def pipeline_changes(
    connection: Connection,
    table: str,
    entries: Sequence[TrackedConversation | TrackedMessage],
    to_row: Callable[[Any], dict[str, Any]],
) -> None:
    """Pipeline UPDATEs of the columns that changed, rows with the same changed columns in one
    statement.
    """
    by_change: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        row = connection.crm.fitted(table, to_row(entry.row))
        by_change[_changed(table, entry)].append(row)
    for changed, rows in by_change.items():
        connection.pipeline_many(_change(connection.dialect, table, changed), rows)
