"""The searched form of rows that are older than it, or that another program wrote: some hundred
rows at a time.

Only what is missing is filled, so a run that was interrupted goes on where it stopped. The service
of the same subject, `server/operation/search_text_filler.py`, fills what comes later.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from server.db.migrations import backfill
from server.db.migrations.progress import report
from server.db.state.search_texts import (
    FORMS,
    ROWS,
    Unfilled,
    chunks,
    conversation_of,
    message_of,
    update_of,
)


def fill(connection: Connection) -> list[str]:
    """Fill what is missing. Returns sentences with counts. Blocks; killing it loses nothing."""
    done = []
    for table, what in (("social_conversations", "conversations"), ("social_messages", "messages")):
        keep = backfill.keep_of(connection, table)
        count = seen = 0
        total = int(
            backfill.run(
                connection, f"SELECT COUNT(*) FROM {table} WHERE omni_search_text IS NULL"
            ).scalar_one()
        )
        for page in _pages(connection, table):
            count += sum(_fill(connection, table, chunk, keep) for chunk in chunks(page))
            seen += len(page)
            report(f"making {what} ready for search", min(seen, total), total)
        if count:
            done.append(f"made {count} {what} ready for search")
    return done


def _pages(connection: Connection, table: str) -> Iterator[list[tuple[int, str]]]:
    """(id, form) of rows that lack it."""
    after = -1
    read: Callable[[Any], Unfilled] = (
        conversation_of if table == "social_conversations" else message_of
    )
    while True:
        rows = backfill.run(connection, FORMS[table], {"after": after, "limit": ROWS}).all()
        if not rows:
            return
        yield [read(row) for row in rows]
        after = rows[-1][0]


def _fill(connection: Connection, table: str, chunk: Sequence[Unfilled], keep: str) -> int:
    sql, values = update_of(table, chunk, keep)
    return int(backfill.run(connection, sql, values).rowcount)
