"""How far an upgrade is: revisions and steps report here, without knowing who reads it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# what is done, rows done, rows in all; 0 of 0: nobody can say
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Discard the report."""


_progress: ContextVar[Progress] = ContextVar("progress", default=silent)


@contextmanager
def telling(progress: Progress) -> Iterator[None]:
    """Within this context, `report` calls `progress`."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)


def report(what: str, done: int = 0, total: int = 0) -> None:
    """Say how far an upgrade is; `total` 0 where it is not known."""
    _progress.get()(what, done, total)
