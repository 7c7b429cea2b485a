"""A disk that is full when a test says so: a small tmpfs where we may mount one, else a limit on
how far a process may write its files.
"""

import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SIZE_BYTES = 8_000_000
_PIECE = b"\0" * 65_536


class SmallDisk:
    """`path` is a directory on it. `fill` leaves no room, `free` gives it back."""

    def __init__(self, path: Path, *, is_mounted: bool) -> None:
        self.path = path
        self.is_mounted = is_mounted
        self._filler = path / "filler"

    def fill(self, pid: int) -> None:
        """Not one byte more: ENOSPC for everybody, or without a disk of its own EFBIG for this
        process.
        """
        if not self.is_mounted:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            return
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for piece in (_PIECE, b"\0"):
                with contextlib.suppress(_NoSpace):
                    while True:
                        _write(descriptor, piece)
        finally:
            os.close(descriptor)

    def free(self, pid: int) -> None:
        if self.is_mounted:
            self._filler.unlink()
        else:
            resource.prlimit(
                pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )


@contextlib.contextmanager
def small_disk(path: Path, size_bytes: int = _SIZE_BYTES) -> Iterator[SmallDisk]:
    """A disk of that size at this new directory."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path)]
    is_mounted = (
        os.geteuid() == 0
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield SmallDisk(path, is_mounted=is_mounted)
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


class _NoSpace(Exception):
    pass


def _write(descriptor: int, piece: bytes) -> None:
    try:
        os.write(descriptor, piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _NoSpace from None
