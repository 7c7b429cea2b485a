"""The wall clock of one process, off by as much as a test says. Its monotonic clock runs on as it
is.
"""

import functools
import hashlib
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_name("wall_clock.c")


def can_step_clocks() -> bool:
    """Whether there is a C compiler (Debian packages gcc and libc6-dev) to build the clock with."""
    return shutil.which("cc") is not None


class Clock:
    """Give `env` to the process at its start; `set` steps its clock at once, while it runs."""

    def __init__(self, file: Path) -> None:
        """`file` is made; it must stay for as long as the process runs."""
        self.seconds = 0.0
        self._path = file
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._offset = mmap.mmap(opened.fileno(), 8)

    @property
    def env(self) -> dict[str, str]:
        """Empty where there is no compiler: then the clock cannot be moved."""
        if not can_step_clocks():
            return {}
        return {"LD_PRELOAD": str(_library()), "WALL_CLOCK_FILE": str(self._path)}

    def set(self, seconds: float) -> None:
        """So many seconds ahead of the machine's clock (negative: behind)."""
        self.seconds = seconds
        self._offset[:] = struct.pack("=q", round(seconds * 1e9))


@functools.cache
def _library() -> Path:
    """Build `wall_clock.c`, once for each of its texts. Blocks. Raises CalledProcessError."""
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"omni-inbox-wall-clock-{os.getuid()}-{digest}.so"
    if not library.exists():
        new = library.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(new), str(_SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        new.replace(library)  # others build it at the same moment
    return library
