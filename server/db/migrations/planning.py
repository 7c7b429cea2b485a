"""What an upgrade would do, in words, and what speaks against it: nothing is changed."""

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, Table, inspect, text

from server.db.access.vault import Vault
from server.db.migrations import (
    clear_tokens,
    crm_column_changes,
    fit,
    own_names,
    shape,
    table_kinds,
)
from server.db.schema import crm_triggers, tables
from server.db.schema.names import DOCUMENTED


class Plan(msgspec.Struct, frozen=True):
    """`steps` are in the order in which they are done; with a refusal none of them is."""

    refusals: list[str]
    warnings: list[str]
    steps: list[str]


def plan_of(connection: Connection, vault: Vault, *, is_filled: bool) -> Plan:
    """`vault`: what tokens are encrypted with. `is_filled`: every revision has run, so the rows
    have our values already.
    """
    found = fit.check(connection)
    # what would be done to a table is nothing to say of them
    if table_kinds.views(connection, inspect(connection)):
        return Plan(found.refusals, found.warnings, [])
    steps = list(_steps(connection))
    if not is_filled:
        steps += _filling(connection)
    if not found.refusals:
        steps += clear_tokens.step(connection, vault)
    return Plan(found.refusals, found.warnings, steps)


def _steps(connection: Connection) -> Iterator[str]:
    pairs = own_names.plain_names(connection)
    yield from (
        f"rename {old} to {new.rpartition('.')[2]} (at once, on tables of any size)"
        for old, new in pairs
    )
    renamed = {new for _, new in pairs}
    inspector = inspect(connection)
    created = []
    for table in tables.metadata.sorted_tables:
        if inspector.has_table(table.name):
            yield from _of_table(connection, table, dict(pairs), renamed)
        elif table.name not in renamed:
            created.append(table.name)
    if created:
        yield f"create tables: {', '.join(created)}"
    yield from _triggers(connection)


def _triggers(connection: Connection) -> Iterator[str]:
    """One step a table; the account may turn out not to have the right, which stops no upgrade."""
    wanted = crm_triggers.missing(connection)
    for table in dict.fromkeys(one.table for one in wanted):
        names = ", ".join(one.name for one in wanted if one.table == table)
        yield f"create triggers on {table}, which note what other programs write: {names}"


def _of_table(
    connection: Connection, table: Table, pairs: dict[str, str], renamed: set[str]
) -> Iterator[str]:
    inspector = inspect(connection)
    is_crm = table in shape.LEGACY and connection.dialect.name != "sqlite"
    options = crm_column_changes.table_options(connection, table) if is_crm else []
    widened = crm_column_changes.widenings(connection, table) if is_crm else {}
    added = [
        column.name
        for column in shape.missing_columns(inspector, table)
        if f"{table.name}.{column.name}" not in renamed
    ]
    size = _size(connection, table) if is_crm else ""
    copied = f"the table is copied{size}, and writes of other programs to it wait for that long"
    if options:
        yield f"alter table {table.name}: {', '.join(options)}; {copied}"
    for one in widened.values():
        verbs = ", ".join(
            sentence.replace("widened", "widen").replace("converted", "convert")
            for sentence in one.sentences
        )
        yield f"{verbs} to {one.definition.partition(' ')[2]}"
    if any(one.copies for one in widened.values()):
        yield f"for these columns of {table.name} {copied}"
    if added:
        yield f"add to {table.name}: {', '.join(added)}"
    new = {
        old.partition(".")[2]: name.partition(".")[2]
        for old, name in pairs.items()
        if old.startswith(f"{table.name}.")
    }
    indexes = [
        f"{index.name} ({', '.join(column.name for column in index.columns)})"
        for index in shape.missing_indexes(inspector, table, new)
    ]
    if indexes:
        yield (
            f"add indexes to {table.name}, while other programs go on writing: {', '.join(indexes)}"
        )


def _size(connection: Connection, table: Table) -> str:
    row = connection.execute(
        text(
            "SELECT table_rows, data_length + index_length FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = :t"
        ),
        {"t": table.name},
    ).one()
    return f" (about {int(row[0] or 0):,} rows, {int(row[1] or 0) / 1e6:,.0f} MB)"


def _filling(connection: Connection) -> Iterator[str]:
    inspector = inspect(connection)
    if not all(inspector.has_table(table) for table in DOCUMENTED):
        return
    counts = {
        table: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one()
        for table in DOCUMENTED
    }
    if counts["social_conversations"]:
        yield (
            f"fill the inbox's own columns of {counts['social_conversations']:,} conversations and "
            f"{counts['social_messages']:,} messages where they are empty, some hundred rows at "
            "a time; "
            "of the CRM's values this writes an empty last_message_at alone"
        )
