"""Rows without the form that is searched: reading them, and filling it in. For the upgrade and for
what runs later.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from server.core.state.search_text import content_form, customer_form
from server.db.engine.database import Connection
from server.db.schema import columns

ROWS = 200  # in one statement: short enough that the CRM's own writes do not notice
# a single form may have as many; a statement of two of them fits into the smallest packet
_CHUNK_BYTES = 262_144

Unfilled = tuple[int, str]  # (id, form)

FORMS = {
    "social_conversations": (
        "SELECT id, external_user_name, omni_contact FROM social_conversations "
        "WHERE id > :after AND omni_search_text IS NULL ORDER BY id LIMIT :limit"
    ),
    "social_messages": (
        "SELECT id, content, omni_is_deleted FROM social_messages WHERE id > :after AND "
        "omni_search_text IS NULL ORDER BY id LIMIT :limit"
    ),
}
_READ = {
    "social_conversations": lambda row: conversation_of(row),
    "social_messages": lambda row: message_of(row),
}


def conversation_of(row: Sequence[Any]) -> Unfilled:
    """Return a conversation's id and the form of its customer that is searched; `row`: id, name,
    contact.
    """
    number, name, contact = row
    return number, customer_form(name, columns.contact_of(contact))


def message_of(row: Sequence[Any]) -> Unfilled:
    """Return a message's id and the form of its text that is searched; empty for a deleted one."""
    number, content, is_deleted = row
    return number, "" if is_deleted else content_form(content or "")


def chunks(rows: Sequence[Unfilled]) -> Iterator[list[Unfilled]]:
    """Rows that one statement fills, by the bytes of their forms."""
    chunk: list[Unfilled] = []
    size = 0
    for row in rows:
        _, form = row
        row_bytes = len(form.encode())
        if chunk and size + row_bytes > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row_bytes
    if chunk:
        yield chunk


def update_of(
    table: str, rows: Sequence[Unfilled], keep: str = ""
) -> tuple[str, dict[str, object]]:
    """One statement for rows that still lack it, with its values. `keep`: assignments that hold
    other columns still.
    """
    cases = " ".join(f"WHEN :i{place} THEN :v{place}" for place in range(len(rows)))
    marks = ", ".join(f":i{place}" for place in range(len(rows)))
    values: dict[str, object] = {}
    for place, (number, form) in enumerate(rows):
        values |= {f"i{place}": number, f"v{place}": form}
    sql = (
        f"UPDATE {table} SET omni_search_text = CASE id {cases} END{keep} WHERE id IN "
        f"({marks}) AND omni_search_text IS NULL"
    )
    return sql, values


async def read_last(connection: Connection, table: str) -> int:
    """The newest id, 0 where there is none."""
    number = await connection.fetch_value(f"SELECT MAX(id) FROM {table}", {})
    return int(number or 0)


async def read_unfilled(connection: Connection, table: str, after: int) -> list[Unfilled]:
    """At most ROWS rows above an id, in order."""
    rows = await connection.fetch_all(FORMS[table], {"after": after, "limit": ROWS})
    return [_READ[table](row) for row in rows]


async def fill(connection: Connection, table: str, rows: Sequence[Unfilled]) -> None:
    """Write these search texts, in statements of bounded size."""
    for chunk in chunks(rows):
        await connection.execute(*update_of(table, chunk))
