"""Kinds of tables and columns that no upgrade can change or no row of ours can be written into.

Each refusal is a sentence that names the table or column and what to do. Nothing is written here.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, Inspector, Table

from server.db.migrations import crm_column_changes, shape
from server.db.schema import tables
from server.db.schema.names import DOCUMENTED


def views(connection: Connection, inspector: Inspector) -> list[str]:
    """Views in place of tables. Looked for first: one whose table is gone cannot even be asked for
    its columns.
    """
    if connection.dialect.name == "sqlite":
        found = set(inspector.get_view_names())
    else:
        found = {name for name, kind, _ in _tables(connection) if "VIEW" in kind}
    return [
        f"{table} is a view; the inbox adds columns and rows to a table of that name. "
        f"Give the view another name, and rename the table behind it to {table}"
        for table in DOCUMENTED
        if table in found
    ]


def unchangeable(connection: Connection, inspector: Inspector, table: str) -> Iterator[str]:
    """A table that refuses our columns or keys after others have been changed already (MySQL: 1503,
    1506; MariaDB: 4119).
    """
    kind, options = {name: (kind, options) for name, kind, options in _tables(connection)}.get(
        table, ("", "")
    )
    # versioned after an upgrade, it needs no column any more and is written as any other
    if kind == "SYSTEM VERSIONED" and _is_changed(
        connection, inspector, tables.metadata.tables[table]
    ):
        yield (
            f"Table {table} is system-versioned, and the database changes no columns of such a "
            "table (4119); take that away for "
            f"the upgrade (ALTER TABLE {table} DROP SYSTEM VERSIONING, which deletes its "
            "history: copy that first if it is needed)"
        )
    if "partitioned" in options:
        yield (
            f"Table {table} is partitioned, and then the database takes neither the unique keys "
            "nor the foreign keys of the "
            f"inbox (1503, 1506); make it one table (ALTER TABLE {table} REMOVE PARTITIONING)"
        )


def _is_changed(connection: Connection, inspector: Inspector, table: Table) -> bool:
    return bool(
        list(shape.missing_columns(inspector, table))
        or crm_column_changes.table_options(connection, table)
        or crm_column_changes.widenings(connection, table)
    )


def generated(inspector: Inspector, table: str) -> Iterator[str]:
    """Return documented columns that the database computes: a value for them is refused (MySQL:
    3105; MariaDB: 1906).
    """
    for column in inspector.get_columns(table):
        if column["name"] in DOCUMENTED[table] and "computed" in column:
            yield (
                f"Column {table}.{column['name']} is generated, so that the inbox cannot write "
                "it; make it an ordinary column, "
                "and keep what computes it under another name"
            )


def _tables(connection: Connection) -> list[tuple[str, str, str]]:
    """(name, kind, options) of those of the three that are there, on MySQL and MariaDB."""
    marks = ", ".join(f"'{table}'" for table in DOCUMENTED)
    rows = connection.exec_driver_sql(
        "SELECT table_name, table_type, create_options FROM information_schema.tables "
        f"WHERE table_schema = DATABASE() AND table_name IN ({marks}) ORDER BY table_name"
    )
    return [
        (str(name), str(kind).upper(), str(options or "").lower()) for name, kind, options in rows
    ]
