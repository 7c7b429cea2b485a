"""Renames tables and columns of earlier versions to names with the prefix, before anything else is
read.

A name alone says nothing: a CRM has tables `agents` and columns `priority` of its own. Ours is what
has our comment and our type (MySQL), and in SQLite, which keeps no comments, our type and a place
behind the columns that we added before it. Each table is renamed by one statement, so an
interrupted run is finished by the next one. Renaming changes no row.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, inspect

from server.db.migrations import plain_comments
from server.db.migrations.upgrade_connection import change
from server.db.schema import tables
from server.db.schema.names import DOCUMENTED, PREFIX
from server.errors import ConfigurationError

# revisions whose names had no prefix
_PLAIN = {*(f"{number:04}" for number in range(1, 11)), "0013"}


def plain_names(connection: Connection) -> list[tuple[str, str]]:
    """What `rename` would do: ("agents", "omni_agents"), ("social_messages.seq", ...)."""
    if not _is_older(connection):
        return []
    found = list(_tables(connection))
    for table in _shared(connection):
        found += [
            (f"{table.name}.{old}", f"{table.name}.{new}")
            for old, new in _columns(connection, table)
        ]
    return found


def rename(connection: Connection) -> list[str]:
    """Give our tables and columns of an earlier version their prefix. Returns sentences."""
    if not _is_older(connection):
        return []
    pairs = list(_tables(connection))
    present = set(inspect(connection).get_table_names())
    if doubled := [new for _, new in pairs if new in present]:
        raise ConfigurationError(
            "The database has the inbox's table under two names, "
            f"{doubled[0].removeprefix(PREFIX)} and "
            f"{doubled[0]}; look which one has its rows, and rename or drop the other"
        )
    if pairs and connection.dialect.name == "sqlite":
        for old, new in pairs:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")
    elif pairs:  # one statement: either all have the prefix or none
        moves = ", ".join(f"`{old}` TO `{new}`" for old, new in pairs)
        change(connection, f"RENAME TABLE {moves}")
    done = [f"renamed table {old} to {new}" for old, new in pairs]
    for table in _shared(connection):
        done += _rename_columns(connection, table)
    return done


def _rename_columns(connection: Connection, table: Table) -> list[str]:
    pairs = list(_columns(connection, table))
    parts = [f"RENAME COLUMN `{old}` TO `{new}`" for old, new in pairs]
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in parts if is_sqlite else [", ".join(parts)] if parts else []:
        change(connection, f"ALTER TABLE {table.name} {statement}")
    return [f"renamed column {table.name}.{old} to {new}" for old, new in pairs]


def _is_older(connection: Connection) -> bool:
    """Without a revision: MySQL's comments say whose a table is that an interrupted upgrade
    made.
    """
    revision = None
    if inspect(connection).has_table("omni_inbox_version"):
        row = connection.exec_driver_sql("SELECT MAX(version_num) FROM omni_inbox_version").one()
        revision = row[0]
    if revision is None:
        return connection.dialect.name != "sqlite"
    return str(revision) in _PLAIN


def _shared(connection: Connection) -> Iterator[Table]:
    inspector = inspect(connection)
    return (
        table
        for table in tables.metadata.sorted_tables
        if table.name in DOCUMENTED and inspector.has_table(table.name)
    )


def _tables(connection: Connection) -> Iterator[tuple[str, str]]:
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    for old, comment in plain_comments.TABLES.items():
        table = tables.metadata.tables.get(PREFIX + old)
        if table is None or old not in present:
            continue
        found = {column["name"]: column for column in inspector.get_columns(old)}
        if (
            connection.dialect.name != "sqlite"
            and inspector.get_table_comment(old)["text"] != comment
        ):
            continue
        # columns of a later version may be missing; what is there of ours must be ours
        ours = [column for column in table.columns if column.name in found]
        if _has_key(table, found) and all(
            _is_of_type(connection, one, found[one.name]) for one in ours
        ):
            yield old, table.name


def _has_key(table: Table, found: dict[str, Any]) -> bool:
    return all(
        column.name in found
        for column in table.columns
        if not column.nullable and column.server_default is None
    )


def _columns(connection: Connection, table: Table) -> Iterator[tuple[str, str]]:
    """In the order of the database. A column without a comment counts behind one of ours."""
    present = inspect(connection).get_columns(table.name)
    names = {column["name"] for column in present}
    comments = plain_comments.COLUMNS[table.name]
    is_sqlite = connection.dialect.name == "sqlite"
    is_behind = is_sqlite
    for place, column in enumerate(present):
        old, new = column["name"], PREFIX + column["name"]
        is_behind = is_behind or old.startswith(PREFIX)
        if old not in comments or new in names or new not in table.c:
            continue
        if not _is_of_type(connection, table.c[new], column):
            continue
        if comments[old] and not is_sqlite and column["comment"] not in comments[old]:
            continue
        if not comments[old] and (
            column.get("comment") or not (is_behind or _begins(present[place + 1 :], comments))
        ):
            continue
        is_behind = True
        yield old, new


def _begins(following: list[Any], comments: dict[str, tuple[str, ...]]) -> bool:
    """Whether what we added begins before these: the next one is ours by its comment."""
    return bool(following) and following[0]["comment"] in comments.get(following[0]["name"], ())


def _is_of_type(connection: Connection, column: Column[Any], found: Any) -> bool:
    """The type as we declare it, as far as the database keeps it (MySQL's BOOL is TINYINT(1);
    lengths count).
    """
    declared = _plain_type(column.type.compile(dialect=connection.dialect))
    present = _plain_type(found["type"].compile(dialect=connection.dialect))
    return declared == present


def _plain_type(text: str) -> str:
    kind = text.lower().split(" character set")[0].split(" collate")[0].strip()
    if kind in ("bool", "boolean", "tinyint(1)"):
        return "tinyint"
    name, bracket, rest = kind.partition("(")
    # display widths of numbers say nothing, and newer servers do not print them
    return (
        name
        if name in ("int", "integer", "bigint", "smallint", "tinyint")
        else f"{name}{bracket}{rest}"
    )
