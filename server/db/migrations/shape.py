"""Tables, columns and indexes: what of `tables.py` a database lacks, and adding it. Nothing is ever
dropped.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import Column, Connection, Index, Inspector, MetaData, Table, inspect
from sqlalchemy.schema import CreateColumn

from server.db.migrations import crm_column_changes
from server.db.migrations.progress import report
from server.db.migrations.upgrade_connection import change
from server.db.schema import shared_tables, tables
from server.db.schema.names import DOCUMENTED
from server.errors import ConfigurationError

# made by the CRM, which goes on using them: their rows, columns and indexes are not ours to judge
LEGACY = (
    shared_tables.social_conversations,
    shared_tables.social_messages,
    shared_tables.integrations,
)


def complete(connection: Connection) -> list[str]:
    """Add every missing table, column and index, and widen the CRM's columns to what we store.
    Returns sentences.
    """
    done: list[str] = []
    for sentence in foreign(connection):
        raise ConfigurationError(sentence)
    fitted: MetaData | None = None
    for table in tables.metadata.sorted_tables:
        if not inspect(connection).has_table(table.name):
            fitted = _fitted(inspect(connection)) if fitted is None else fitted
            fitted.tables[table.name].create(connection)
            done.append(f"created table {table.name}")
            continue
        done += _complete_columns(connection, table)
        done += _complete_indexes(connection, table)
    return done


def missing(connection: Connection) -> list[str]:
    """What `complete` would add, as names: `table omni_inbox_events`, `column
    social_messages.omni_seq`, `index ...`.
    """
    inspector = inspect(connection)
    names: list[str] = []
    for table in tables.metadata.sorted_tables:
        if not inspector.has_table(table.name):
            names.append(f"table {table.name}")
            continue
        names += [
            f"column {table.name}.{column.name}" for column in missing_columns(inspector, table)
        ]
        names += [f"index {table.name}.{index.name}" for index in missing_indexes(inspector, table)]
    return names


def uninsertable(connection: Connection, table: str) -> list[str]:
    """Return columns of the CRM's own without NULL and without a default: our inserts do not know
    them and would be refused.
    """
    return [
        f"{table}.{column['name']}"
        for column in inspect(connection).get_columns(table)
        if column["name"] not in tables.metadata.tables[table].c
        and not column["nullable"]
        and column["default"] is None
        and "computed" not in column
        and not hasattr(column["type"], "enums")  # MySQL takes the first word of the list
    ]


def foreign(connection: Connection) -> Iterator[str]:
    """A table of our name but without our key columns is someone else's, or its columns are named
    otherwise.
    """
    inspector = inspect(connection)
    for table in tables.metadata.sorted_tables:
        if not inspector.has_table(table.name):
            continue
        lacking = list(missing_columns(inspector, table))
        if table.name in DOCUMENTED:
            present = {column["name"] for column in inspector.get_columns(table.name)}
            otherwise = [column.name for column in lacking if _camel(column.name) in present]
            if otherwise:
                yield (
                    f"Table {table.name} has {', '.join(map(_camel, otherwise))} where the inbox "
                    "reads and writes "
                    f"{', '.join(otherwise)}; give the columns these names (in Prisma: @map on "
                    "each field)"
                )
                continue
        for column in lacking:
            if not column.nullable and column.server_default is None:
                yield (
                    f"The database has a table {table.name} without a column {column.name}, so "
                    "it is not the one the inbox knows; "
                    "rename that table, or give the inbox a database of its own"
                )
                break


def missing_columns(inspector: Inspector, table: Table) -> Iterator[Column[object]]:
    """Return the columns that a table of ours should have and does not."""
    present = {column["name"] for column in inspector.get_columns(table.name)}
    return (column for column in table.columns if column.name not in present)


def missing_indexes(
    inspector: Inspector, table: Table, renamed: Mapping[str, str] | None = None
) -> Iterator[Index]:
    """Return indexes that no index on the same columns stands in for, whatever its name: one that
    the CRM has already is as good as ours. `renamed`: old names -> new ones.
    """
    new = renamed or {}
    present = [
        ([new.get(str(name), name) for name in index["column_names"]], index["unique"])
        for index in inspector.get_indexes(table.name)
    ]
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        names = [column.name for column in index.columns]
        if not any(
            names == other and (is_unique or not index.unique) for other, is_unique in present
        ):
            yield index


def _complete_columns(connection: Connection, table: Table) -> list[str]:
    """MySQL may have to copy a large table: then once, for everything. Where it need not, nothing
    makes it.
    """
    is_crm = table in LEGACY and connection.dialect.name != "sqlite"
    if is_crm and (options := crm_column_changes.table_options(connection, table)):
        report(f"changing table {table.name}")
        # by itself: what comes after inherits from it, and only then a column whose character set
        # was the table's says which it is
        _alter(connection, table, options)
    widened = crm_column_changes.widenings(connection, table) if is_crm else {}
    added = list(missing_columns(inspect(connection), table))
    modified = [f"MODIFY COLUMN {one.definition}" for one in widened.values()]
    new = [
        f"ADD COLUMN {CreateColumn(column).compile(dialect=connection.dialect)}" for column in added
    ]
    if table in LEGACY and (modified or new):
        report(f"changing table {table.name}")
    if any(one.copies for one in widened.values()):
        _alter(connection, table, modified + new)
    else:
        _alter(connection, table, modified)
        _alter(connection, table, new)
    return [sentence for one in widened.values() for sentence in one.sentences] + [
        f"added column {table.name}.{column.name}" for column in added
    ]


def _alter(connection: Connection, table: Table, parts: list[str]) -> None:
    if not parts:
        return
    # SQLite takes one change a statement; there it costs nothing, and all is one transaction
    statements = parts if connection.dialect.name == "sqlite" else [", ".join(parts)]
    for statement in statements:
        change(
            connection,
            crm_column_changes.driver_text(connection, f"ALTER TABLE {table.name} {statement}"),
        )


def _complete_indexes(connection: Connection, table: Table) -> list[str]:
    taken = {index["name"] for index in inspect(connection).get_indexes(table.name)}
    done = []
    for index in list(missing_indexes(inspect(connection), table)):
        # the CRM has one of this name, for something else
        name = f"{index.name}_2" if index.name in taken else str(index.name)
        unique = "UNIQUE " if index.unique else ""
        names = ", ".join(column.name for column in index.columns)
        report(f"adding index {name}")
        change(connection, f"CREATE {unique}INDEX {name} ON {table.name} ({names})")
        done.append(f"added index {table.name}.{name}")
    return done


def _fitted(inspector: Inspector) -> MetaData:
    """Our tables with foreign keys of the type the CRM gave the ids they point to: MySQL refuses
    INT against BIGINT.
    """
    fitted = MetaData()
    for table in tables.metadata.sorted_tables:
        table.to_metadata(fitted)
    for key in (key for table in fitted.sorted_tables for key in table.foreign_keys):
        if inspector.has_table(key.column.table.name):
            found = {
                column["name"]: column["type"]
                for column in inspector.get_columns(key.column.table.name)
            }
            key.parent.type = found.get(key.column.name, key.parent.type)
    return fitted


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
