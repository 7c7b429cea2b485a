"""Whether the inbox can work in a CRM's three tables: checked before anything is changed.

Each refusal is a sentence that names table and column (or key, or constraint) and what to do.
Nothing is written here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import sqlalchemy.exc
from sqlalchemy import Connection, inspect, text

from server.db.migrations import (
    notes,
    shape,
    table_kinds,
    unique_keys,
)
from server.db.migrations.catalogue import (
    columns_of,
    held_columns,
    indexed_texts,
    narrow_columns,
)
from server.db.schema.names import DOCUMENTED, PREFIX

_WHOLE = {"tinyint", "smallint", "mediumint", "int", "integer", "bigint"}
_TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext"}
_NUMBERS = {
    "social_conversations": ("id", "company_id"),
    "social_messages": ("id", "conversation_id"),
    "integrations": ("id", "company_id"),
}
_TEXT_COLUMNS = {
    "social_conversations": ("external_user_id", "external_user_name"),
    "social_messages": ("content",),
    "integrations": ("page_id", "access_token", "account_id", "base_url"),
}
# what we write into them; other words stay the CRM's
WORDS = {
    ("social_conversations", "platform"): ("chatwoot",),
    ("social_conversations", "status"): ("Open", "Closed"),
    ("social_messages", "sender_type"): ("customer", "agent"),
    ("integrations", "provider"): ("chatwoot",),
    ("integrations", "webhook_mode"): ("live",),
}
# rows as we write them, for the CRM's CHECKs
_SAMPLES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "social_messages": [
        ("a message that is files alone, without text", {"content": "", "sender_type": "customer"}),
        ("a reply", {"content": "x", "sender_type": "agent"}),
        ("a long message", {"content": "x" * 5000, "sender_type": "customer"}),
    ],
    "social_conversations": [
        ("an open conversation", {"status": "Open", "external_user_name": "x"}),
        ("a closed conversation", {"status": "Closed", "external_user_name": ""}),
    ],
    "integrations": [("an integration", {"is_active": 1, "is_webhook_active": 1})],
}
_USUAL: dict[str, Any] = {
    "id": 1_000_000_000,
    "company_id": 1,
    "conversation_id": 1,
    "platform": "chatwoot",
    "provider": "chatwoot",
    "webhook_mode": "live",
    "external_user_id": "chatwoot_11_101",
    "page_id": "12",
    "account_id": "3",
    "base_url": "https://chat.example.com",
    "access_token": "x" * 200,
    "last_message_at": "2026-01-02 03:04:05.678901",
    "created_at": "2026-01-02 03:04:05.678901",
    "updated_at": "2026-01-02 03:04:05.678901",
}


class Fit(msgspec.Struct, frozen=True):
    """Whether the CRM's tables can be used: sentences that forbid it, and sentences to be read."""

    refusals: list[str]
    warnings: list[str]


class _Check(NamedTuple):
    name: str
    clause: str


def check(connection: Connection) -> Fit:
    """What speaks against an upgrade, and what should be known before it. An empty database has
    neither.
    """
    inspector = inspect(connection)
    if views := table_kinds.views(connection, inspector):
        return Fit(views, [])
    present = [table for table in DOCUMENTED if inspector.has_table(table)]
    refusals = list(shape.foreign(connection))
    warnings: list[str] = []
    if connection.dialect.name != "sqlite":
        refusals += _binary_log(connection)
        warnings += similar_names(set(inspector.get_table_names()))
    if refusals:  # the rest would speak of columns that are not there
        return Fit(refusals, warnings)
    for table in present:
        refusals += _uninsertable(connection, table)
        refusals += table_kinds.generated(inspector, table)
        if table == "social_conversations":
            warnings += notes.unowned(inspector)
        if connection.dialect.name == "sqlite":
            continue
        refusals += table_kinds.unchangeable(connection, inspector, table)
        refusals += _types(connection, table)
        refusals += _indexed(connection, table)
        refusals += _checks(connection, table)
        refusals += unique_keys.refusals(connection, table)
        warnings += unique_keys.warnings(connection, table)
        warnings += [held.sentence for held in held_columns(connection, table)]
        warnings += _triggers(connection, table)
        if table != "integrations":
            warnings += notes.unseen_keys(connection, table)
    return Fit(refusals, warnings)


def narrow(connection: Connection) -> list[str]:
    """Columns that cannot hold what we store, but for those that a foreign key holds:
    `social_messages.content (varchar(191))`.
    """
    found = []
    for table in DOCUMENTED:
        held = {one.column for one in held_columns(connection, table)}
        found += [
            f"{table}.{name} ({column.column_type})"
            for name, column in narrow_columns(connection, table)
            if name not in held
        ]
    return found


def similar_names(tables: set[str]) -> list[str]:
    """Return tables that Prisma names after its models (`SocialConversation`) where ours are
    missing.
    """
    plain = {re.sub("[^a-z]", "", table.lower()).rstrip("s"): table for table in tables}
    found = [
        f"{plain[key]} (looked for: {table})"
        for table in DOCUMENTED
        if table not in tables and (key := table.replace("_", "").rstrip("s")) in plain
    ]
    if not found:
        return []
    return [
        f"Nothing of a CRM was found beside {', '.join(found)}: new, empty tables are made. "
        "In Prisma, the model's table is named by @@map and its columns by @map"
    ]


def _binary_log(connection: Connection) -> Iterator[str]:
    row = connection.exec_driver_sql("SELECT @@global.log_bin, @@session.binlog_format").one()
    if row[0] and str(row[1]).upper() == "STATEMENT":
        yield (
            "The server's binlog_format is STATEMENT, with which it refuses writes at READ "
            "COMMITTED (1665), as the inbox "
            "makes them; set binlog_format to ROW or MIXED"
        )


def _uninsertable(connection: Connection, table: str) -> Iterator[str]:
    for name in shape.uninsertable(connection, table):
        yield (
            f"Column {name} takes no NULL and has no default, so the inbox cannot add rows; "
            f"give it a default (ALTER TABLE {table} ALTER COLUMN {name.partition('.')[2]} SET "
            "DEFAULT ...) or let it be NULL"
        )


def _types(connection: Connection, table: str) -> Iterator[str]:
    columns = columns_of(connection, table)
    for name in _NUMBERS[table]:
        if (column := columns.get(name)) and column.data_type not in _WHOLE:
            yield (
                f"Column {table}.{name} is {column.column_type}; the inbox works with whole "
                "numbers there, not with texts (cuid, uuid)"
            )
    if (
        (column := columns.get("id"))
        and column.data_type in _WHOLE
        and "auto_increment" not in column.extra
    ):
        yield f"Column {table}.id is not numbered by the database; it needs AUTO_INCREMENT"
    for name in _TEXT_COLUMNS[table]:
        if (column := columns.get(name)) and column.data_type not in _TEXTS:
            yield f"Column {table}.{name} is {column.column_type}; the inbox stores text in it"
    for (owner, name), words in WORDS.items():
        if owner == table and (column := columns.get(name)):
            yield from _words(f"{table}.{name}", column, words)


def _words(name: str, column: Any, words: tuple[str, ...]) -> Iterator[str]:
    if column.data_type in _TEXTS:
        if column.length is not None and column.length < max(map(len, words)):
            yield f"Column {name} is {column.column_type}, too short for {' and '.join(words)}"
        return
    if column.data_type != "enum":
        yield f"Column {name} is {column.column_type}; the inbox writes {' and '.join(words)} there"
        return
    has = re.findall(r"'((?:[^']|'')*)'", column.column_type)
    for word in words:
        alike = [one for one in has if one.casefold() == word.casefold() and one != word]
        if word not in has and alike and str(column.collation).endswith(("_bin", "_cs", "_as_cs")):
            yield (
                f"Column {name} has {alike[0]} where the inbox writes {word}, and its collation "
                f"{column.collation} takes them for two; "
                "give the column a collation that does not (utf8mb4_unicode_ci)"
            )


def _indexed(connection: Connection, table: str) -> Iterator[str]:
    for column, index in indexed_texts(connection, table):
        yield (
            f"Column {table}.{column} is too short for what the inbox stores and cannot grow, as "
            f"the whole of it is in index {index}; "
            f"give that index a length ({column}(100)) or drop it"
        )


def _triggers(connection: Connection, table: str) -> Iterator[str]:
    rows = connection.execute(
        text(
            "SELECT trigger_name, action_timing FROM information_schema.triggers WHERE "
            "event_object_schema = DATABASE() "
            "AND event_object_table = :t AND event_manipulation = 'UPDATE' ORDER BY trigger_name"
        ),
        {"t": table},
    )
    for name, timing in rows:
        if str(name).startswith(PREFIX):  # our own
            continue
        yield (
            f"The CRM's trigger {name} ({str(timing).lower()} each update of {table}) runs for "
            "every row that is filled: "
            "what it sets (updated_at, a log) changes, although the inbox changes columns of its "
            "own alone"
        )


def _checks(connection: Connection, table: str) -> Iterator[str]:
    columns = columns_of(connection, table)
    for check in _constraints(connection, table):
        for what, values in _SAMPLES[table]:
            if _is_refused(connection, check.clause, columns, {**_USUAL, **values}):
                yield (
                    f"Constraint {check.name} of {table} ({check.clause}) refuses {what}; "
                    f"loosen it or drop it (ALTER TABLE {table} DROP CONSTRAINT {check.name})"
                )
                break


def _constraints(connection: Connection, table: str) -> list[_Check]:
    if getattr(connection.dialect, "is_mariadb", False):
        sql = (
            "SELECT constraint_name, check_clause FROM information_schema.check_constraints "
            "WHERE constraint_schema = DATABASE() AND table_name = :t ORDER BY constraint_name"
        )
    else:
        sql = (
            "SELECT c.constraint_name, c.check_clause FROM information_schema.check_constraints c "
            "JOIN information_schema.table_constraints t ON t.constraint_schema = "
            "c.constraint_schema "
            "AND t.constraint_name = c.constraint_name WHERE c.constraint_schema = DATABASE() "
            "AND t.table_name = :t "
            "AND t.constraint_type = 'CHECK' ORDER BY c.constraint_name"
        )
    return [
        _Check(str(name), str(clause).replace("\\'", "'"))
        for name, clause in connection.execute(text(sql), {"t": table})
    ]


def _is_refused(
    connection: Connection, clause: str, columns: Mapping[str, Any], values: Mapping[str, Any]
) -> bool:
    """Evaluate the CHECK for one row of ours. A clause that cannot be evaluated outside of its
    table refuses nothing here.
    """
    selected = []
    bound: list[Any] = []
    for name, column in columns.items():
        if name in values:
            bound.append(values[name])
            selected.append(f"%s AS `{name}`")
        elif column.default is None or str(column.default).upper() == "NULL":
            selected.append(f"NULL AS `{name}`")
        else:
            bound.append(str(column.default).strip("'"))
            selected.append(f"%s AS `{name}`")
    escaped = clause.replace("%", "%%")
    try:
        row = connection.exec_driver_sql(
            f"SELECT ({escaped}) FROM (SELECT {', '.join(selected)}) AS sample", tuple(bound)
        ).one()
    except sqlalchemy.exc.DBAPIError:
        return False
    return row[0] is not None and not row[0]
