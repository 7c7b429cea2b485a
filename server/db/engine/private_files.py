"""Files that hold messages and secrets: made for their owner alone, whatever the umask of the
process is.
"""

import contextlib
import os
import stat
from pathlib import Path

_SHARED_BITS = stat.S_IRWXG | stat.S_IRWXO
_SQLITE_COMPANIONS = ("", "-wal", "-shm", "-journal")


def make_private_folder(path: Path) -> None:
    """Create a missing folder, and missing parents, with mode 0700. One that exists stays as it is:
    it may be shared with other programs on purpose. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Create a missing file with mode 0600, and withdraw an existing one from all but its owner.

    SQLite gives the files beside a database the mode of the database, so this comes before it opens
    one. A file of another owner stays as it is; `omni-inbox doctor --security` reports it.
    Raises OSError when the file cannot be created.
    """
    make_private_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for suffix in _SQLITE_COMPANIONS:
        companion = Path(f"{path}{suffix}")
        if is_shared(companion):
            with contextlib.suppress(OSError):
                companion.chmod(0o600)


def is_shared(path: Path) -> bool:
    """Whether others than the owner may read or write an existing file or folder."""
    try:
        return bool(path.stat().st_mode & _SHARED_BITS)
    except OSError:
        return False
