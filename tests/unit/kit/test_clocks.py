"""The clock of one process is stepped while it runs."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kit.clocks import Clock, has_faketime

pytestmark = pytest.mark.skipif(not has_faketime(), reason="libfaketime is not installed (Debian package libfaketime)")

_PROGRAM = """
import sys, time, datetime
for _ in sys.stdin:
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
"""


def test_a_clock_is_stepped_while_the_process_runs(tmp_path: Path) -> None:
    """An hour ahead, an hour behind, right again: all of the process's wall clock, and never its monotonic clock."""
    clock = Clock(tmp_path / "clock")
    command = [sys.executable, "-c", _PROGRAM]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=clock.env, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        for seconds in (0.0, 3600.0, -3600.0, 0.25, 0.0):
            clock.set(seconds)
            process.stdin.write("\n")
            process.stdin.flush()
            wall, date, monotonic = (float(text) for text in process.stdout.readline().split())
            assert wall - time.time() == pytest.approx(seconds, abs=0.2)
            assert date - time.time() == pytest.approx(seconds, abs=0.2)
            assert monotonic == pytest.approx(time.monotonic(), abs=5)
        process.stdin.close()
