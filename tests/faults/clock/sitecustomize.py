"""Imported by Python itself when this folder is on PYTHONPATH: the wall clock of that process is
off by what stands in a file.
"""

import mmap
import os
import struct
import time
from pathlib import Path

with Path(os.environ["OMNI_TEST_CLOCK"]).open("rb") as file:
    _offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
_time, _time_ns = time.time, time.time_ns


def _seconds() -> float:
    return float(struct.unpack("d", _offset[:8])[0])


time.time = lambda: _time() + _seconds()
time.time_ns = lambda: _time_ns() + int(_seconds() * 1e9)
