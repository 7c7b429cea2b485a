"""Empty SQLite databases with our tables: made once, then copied, because making one takes longer
than most tests.
"""

import atexit
import functools
import shutil
import sqlite3
import tempfile
from pathlib import Path

from server.db.migrations import upgrade


def fresh_sqlite(path: Path) -> str:
    """A new database under this path; returns its URL. Blocks for a moment."""
    for leftover in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        leftover.unlink(missing_ok=True)
    shutil.copyfile(_template(), path)
    return f"sqlite:///{path}"


@functools.cache
def _template() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="omni-template-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "template.db"
    upgrade(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path
