"""What is erased is erased from every table there is: the tables are walked, so that a new one
cannot be forgotten.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Column, LargeBinary, Table

from server.db.access import erase
from server.db.engine.database import Connection, Database
from server.db.migrations import upgrade
from server.db.schema.names import PREFIX
from server.db.schema.tables import metadata
from server.db.state import contacts

_OURS, _OTHERS = 71, 72  # companies; whatever belongs to one carries its number
# what ties a row to a company, to a conversation of it, or to what came through an integration
_OF_COMPANY = {
    "company_id",
    "integration_id",
    "conversation_id",
    "message_id",
    "agent_id",
    "upload",
}
_OF_CONVERSATION = {"conversation_id", "message_id", "upload"}
_OF_INTEGRATION = _OF_CONVERSATION | {"integration_id"}
# others say their numbers
_NUMBERED = {"social_conversations", "social_messages", "integrations", "omni_agents"}


def _tied(columns: set[str]) -> set[str]:
    return {
        name
        for name, table in metadata.tables.items()
        if columns & {_plain(c.name) for c in table.columns}
    }


def _plain(column: str) -> str:
    return column.removeprefix(PREFIX)


def _is_number(table: Table, column: Column[Any]) -> bool:
    return _plain(column.name) in _OF_COMPANY or (column.name == "id" and table.name in _NUMBERED)


def _value(table: Table, column: Column[Any], company: int) -> object:
    if _is_number(table, column):
        return f"{company}" if column.name == "upload" else company
    if isinstance(column.type, LargeBinary):
        return b"x"
    if hasattr(column.type, "enums"):
        return column.type.enums[0]
    if column.type.python_type is not str:
        return 1
    # the company is at its end
    return f"{table.name}-{company}"[-(getattr(column.type, "length", None) or 255) :]


async def _fill(c: Connection, company: int) -> None:
    """A row in each table."""
    for table in metadata.sorted_tables:
        wanted = [
            column
            for column in table.columns
            if _is_number(table, column)
            or not (
                column.nullable
                or column.server_default is not None
                or (column.primary_key and column.name == "id")
            )
        ]
        names = [column.name for column in wanted]
        sql = (
            f"INSERT INTO {table.name} ({', '.join(names)}) VALUES "
            f"({', '.join(f':{name}' for name in names)})"
        )
        await c.execute(sql, {column.name: _value(table, column, company) for column in wanted})


async def _rows(c: Connection, table: str) -> int:
    # SQLite's triggers note what is written here, too: of whose conversations
    if table == "omni_crm_changes":
        return int(
            (
                await c.fetch_all(
                    "SELECT COUNT(DISTINCT conversation_id) FROM omni_crm_changes WHERE "
                    "conversation_id <> 0"
                )
            )[0][0]
        )
    return int((await c.fetch_all(f"SELECT COUNT(*) FROM {table}"))[0][0])


async def _all_companies(c: Connection) -> None:
    while await erase.erase_companies(c, _OURS, _OURS, 10):
        pass


async def _the_integration(c: Connection) -> None:
    await erase.erase_integration(c, _OURS)


async def _the_conversation(c: Connection) -> None:
    assert await contacts.erase_conversations(c, _OURS, [_OURS]) == 1


_CASES: dict[str, tuple[Callable[[Connection], Awaitable[None]], set[str]]] = {
    "companies": (_all_companies, _tied(_OF_COMPANY)),
    "an integration": (
        _the_integration,
        _tied(_OF_INTEGRATION) | {"integrations", "omni_inbox_events"},
    ),
    "a contact": (
        _the_conversation,
        _tied(_OF_CONVERSATION) | {"social_conversations", "omni_inbox_events"},
    ),
}


@pytest.mark.parametrize("what", _CASES)
async def test_no_table_is_forgotten(database_url: str, what: str) -> None:
    """Every table with a column that ties it to what is erased has lost its row, and nobody
    else's.
    """
    upgrade(database_url)
    act, emptied = _CASES[what]

    async def work(c: Connection) -> dict[str, int]:
        for company in (_OURS, _OTHERS):
            await _fill(c, company)
        await act(c)
        return {table: await _rows(c, table) for table in metadata.tables}

    async with Database(database_url, wait_seconds=30) as database:
        left = await database.transaction(work)
    assert left == {table: 1 if table in emptied else 2 for table in metadata.tables}
