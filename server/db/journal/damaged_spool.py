"""A damaged spool file: put aside under a name that says when, and read as far as it can be read.
Blocking: call it in a thread.
"""

import contextlib
import fcntl
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MARK, _READ_MARK = ".damaged-", ".read"
_MAX_GAP_ROWS = 100_000  # rows between two damaged places that are tried one by one


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file's content is wrong, and not only that it cannot be had just
    now.
    """
    return (
        isinstance(error, sqlite3.DatabaseError)
        and getattr(error, "sqlite_errorcode", 0) & 0xFF in _CODES
    )


def identity(path: Path) -> int:
    """The file's number on its disk; 0: there is none. Another one under the same name is another
    file.
    """
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def set_aside(path: Path, expected: int) -> Path | None:
    """Rename the file with its log. None: another process has done it already, and this name is a
    new file's. Raises OSError.
    """
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if identity(path) != expected:
            return None
        aside = _free_name(path)
        # the log first: beside a new file it would be taken for that one's
        for end in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(f"{aside}{end}")
        return aside


def found_aside(path: Path) -> list[Path]:
    """Return the damaged files beside this one, whichever process put them there, and whenever."""
    names = sorted(path.parent.glob(f"{path.name}{_MARK}*")) if path.parent.exists() else []
    return [name for name in names if not name.name.endswith(("-wal", "-shm"))]


def is_read(aside: Path) -> bool:
    """Whether all that can be read of the file is in the journal."""
    return aside.name.endswith(_READ_MARK)


def mark_read(aside: Path) -> Path:
    """Rename a damaged spool that was put aside, with its WAL, so that it is not read again; return
    its new path.
    """
    for end in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{aside}{end}").rename(f"{aside}{_READ_MARK}{end}")
    return aside.rename(f"{aside}{_READ_MARK}")


def read_rows(aside: Path, chunk_bytes: int) -> Iterator[list[str]]:
    """What can still be read, oldest first, in pieces of about that size; also what had been
    refused by the journal.
    """
    with contextlib.closing(
        sqlite3.connect(aside, timeout=10, check_same_thread=False)
    ) as connection:
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        for table in ("refused_deliveries", "spooled_deliveries"):
            chunk, size = [], 0
            for text in _readable(connection, table):
                chunk.append(text)
                size += sys.getsizeof(text)
                if size >= chunk_bytes:
                    yield chunk
                    chunk, size = [], 0
            if chunk:
                yield chunk


def _readable(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    """Forwards to the first damaged place, then what lies between it and the last one, then the
    rest.
    """
    last = 0
    with contextlib.suppress(sqlite3.Error):
        for number, text in connection.execute(f"SELECT id, delivery FROM {table} ORDER BY id"):
            last = number
            yield text
        return
    first_behind = _lowest_from_behind(connection, table, last)
    for number in range(last + 1, min(first_behind, last + _MAX_GAP_ROWS)):
        with contextlib.suppress(sqlite3.Error):
            for (text,) in connection.execute(
                f"SELECT delivery FROM {table} WHERE id = ?", (number,)
            ):
                yield text
    with contextlib.suppress(sqlite3.Error):
        for (text,) in connection.execute(
            f"SELECT delivery FROM {table} WHERE id >= ? ORDER BY id", (first_behind,)
        ):
            yield text


def _lowest_from_behind(connection: sqlite3.Connection, table: str, last: int) -> int:
    lowest = last + 1
    with contextlib.suppress(sqlite3.Error):
        for (number,) in connection.execute(
            f"SELECT id FROM {table} WHERE id > ? ORDER BY id DESC", (last,)
        ):
            lowest = number
    return int(lowest)


def _free_name(path: Path) -> Path:
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (path.with_name(f"{path.name}{_MARK}{when}{f'-{n}' if n else ''}") for n in range(1000))
    return next(
        name
        for name in names
        if not os.path.lexists(name) and not os.path.lexists(f"{name}{_READ_MARK}")
    )
