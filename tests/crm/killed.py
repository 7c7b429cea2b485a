"""An upgrade that dies between two statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


class Interrupted(Exception):
    """Stands for kill -9 between two statements."""


@contextmanager
def killed_after_writes(most: int) -> Iterator[None]:
    """Raise Interrupted right after the statement that is number `most` of those that change
    something.
    """
    count = 0

    def after(_connection: object, cursor: Any, statement: str, *_rest: object) -> None:
        nonlocal count
        count += statement.startswith(("ALTER", "RENAME", "CREATE", "\nCREATE")) or (
            statement.startswith(("INSERT", "UPDATE")) and cursor.rowcount > 0
        )
        if count >= most:
            raise Interrupted

    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", after)
