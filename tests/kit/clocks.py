"""The wall clock of one process, off by as much as a test says. Its monotonic clock runs on as it
is.
"""

import os
from pathlib import Path

_LIBRARY = "faketime/libfaketime.so.1"
_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64")


def has_faketime() -> bool:
    """True if the library is installed (Debian package libfaketime)."""
    return _library() is not None


class Clock:
    """Give `env` to the process at its start; `set` steps its clock within about a second, while it
    runs.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds = 0.0
        self.set(0.0)

    @property
    def env(self) -> dict[str, str]:
        """Empty where the library is not installed: then the clock cannot be moved."""
        library = _library()
        if library is None:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # a step is seen within about a second; without this, every look at any clock reads the
            # file
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # a process that is killed would leave its shared memory behind
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: float) -> None:
        """So many seconds ahead of the machine's clock (negative: behind)."""
        self.seconds = seconds
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        os.replace(new, self._file)  # the process reads the file at any moment: never half of it


def _library() -> Path | None:
    return next((path for folder in _FOLDERS if (path := Path(folder) / _LIBRARY).exists()), None)
