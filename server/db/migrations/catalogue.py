"""What information_schema says of the CRM's columns, keys and foreign keys, on MySQL and
MariaDB.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from server.db.schema import tables
from server.db.schema.names import DOCUMENTED


class CatalogueColumn(NamedTuple):
    """A column as `information_schema.columns` describes it."""

    data_type: str
    column_type: str
    is_nullable: bool
    default: Any
    extra: str
    collation: str | None
    length: int | None


class Held(NamedTuple):
    """A column that a foreign key holds: it is not widened."""

    table: str
    column: str
    key: str
    column_type: str

    @property
    def sentence(self) -> str:
        """The warning about a column that a foreign key keeps from being widened."""
        return (
            f"Column {self.table}.{self.column} is left as it is ({self.column_type}): the "
            f"foreign key {self.key} holds it. "
            "What is longer does not fit in"
        )


class UniqueKey(NamedTuple):
    """A unique key of a table, other than its primary key."""

    name: str
    columns: tuple[str, ...]

    @property
    def text(self) -> str:
        """The key's name with its columns in parentheses."""
        return f"{self.name} ({', '.join(self.columns)})"


# characters that must fit; for a type of text without a length see `_texts`
_NEEDED = {
    table: {
        name: length
        for name in names
        if (length := getattr(tables.metadata.tables[table].c[name].type, "length", None))
        and not hasattr(tables.metadata.tables[table].c[name].type, "enums")
    }
    for table, names in DOCUMENTED.items()
}
_LONG = {
    "social_messages.content": {"mediumtext", "longtext"},
    "integrations.access_token": {"text", "mediumtext", "longtext"},
}


def columns_of(connection: Connection, table: str) -> dict[str, CatalogueColumn]:
    """Read a table's columns from the server's catalogue, in their order."""
    rows = connection.execute(
        text(
            "SELECT column_name, data_type, column_type, is_nullable, column_default, extra, "
            "collation_name, "
            "character_maximum_length FROM information_schema.columns WHERE table_schema = "
            "DATABASE() AND table_name = :t "
            "ORDER BY ordinal_position"
        ),
        {"t": table},
    )
    return {
        str(name): CatalogueColumn(
            _plain(kind).lower(),
            _plain(whole),
            nullable == "YES",
            _default(default),
            str(extra).lower(),
            collation,
            length,
        )
        for name, kind, whole, nullable, default, extra, collation, length in rows
    }


def is_too_narrow(table: str, name: str, column: CatalogueColumn) -> bool:
    """Whether it cannot hold what we store."""
    if wide := _LONG.get(f"{table}.{name}"):
        return column.data_type not in wide
    needed = _NEEDED[table].get(name)
    return bool(needed and column.length is not None and column.length < needed)


def narrow_columns(connection: Connection, table: str) -> list[tuple[str, CatalogueColumn]]:
    """Return the columns of a shared table that hold less than docs/database.md promises."""
    return [
        (name, column)
        for name, column in columns_of(connection, table).items()
        if name in DOCUMENTED[table] and is_too_narrow(table, name, column)
    ]


def held_columns(connection: Connection, table: str) -> list[Held]:
    """Columns we would widen, but for a foreign key of the CRM's that uses them (MySQL: 1833)."""
    rows = connection.execute(
        text(
            "SELECT column_name, constraint_name FROM information_schema.key_column_usage WHERE "
            "table_schema = DATABASE() "
            "AND table_name = :t AND referenced_table_name IS NOT NULL UNION "
            "SELECT referenced_column_name, constraint_name FROM "
            "information_schema.key_column_usage "
            "WHERE referenced_table_schema = DATABASE() AND referenced_table_name = :t"
        ),
        {"t": table},
    )
    keys = {str(column): str(key) for column, key in rows}
    return [
        Held(table, name, keys[name], column.column_type)
        for name, column in narrow_columns(connection, table)
        if name in keys
    ]


def indexed_texts(connection: Connection, table: str) -> Iterator[tuple[str, str]]:
    """(column, index) where a column that has to become a long text is in an index as a whole."""
    rows = connection.execute(
        text(
            "SELECT column_name, index_name FROM information_schema.statistics WHERE "
            "table_schema = DATABASE() "
            "AND table_name = :t AND sub_part IS NULL AND index_type <> 'FULLTEXT'"
        ),
        {"t": table},
    ).all()
    narrow = {name for name, _ in narrow_columns(connection, table) if f"{table}.{name}" in _LONG}
    return ((str(column), str(index)) for column, index in rows if str(column) in narrow)


def unique_keys(connection: Connection, table: str) -> list[UniqueKey]:
    """Read a table's unique keys, without the primary key."""
    rows = connection.execute(
        text(
            "SELECT index_name, column_name FROM information_schema.statistics WHERE "
            "table_schema = DATABASE() "
            "AND table_name = :t AND non_unique = 0 AND index_name <> 'PRIMARY' ORDER BY "
            "index_name, seq_in_index"
        ),
        {"t": table},
    )
    found: dict[str, list[str]] = defaultdict(list)
    for index, column in rows:
        found[str(index)].append(str(column))
    return [UniqueKey(name, tuple(columns)) for name, columns in found.items()]


def _plain(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _default(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
