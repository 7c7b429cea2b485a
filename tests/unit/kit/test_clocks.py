"""The clock of one process is stepped while it runs."""

import functools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kit.clocks import Clock, has_faketime
from tests.kit.eventually import eventually_sync

pytestmark = pytest.mark.skipif(
    not has_faketime(), reason="libfaketime is not installed (Debian package libfaketime)"
)

_PROGRAM = """
import sys, time, datetime
for _ in sys.stdin:
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
"""


def test_a_clock_is_stepped_while_the_process_runs(tmp_path: Path) -> None:
    """An hour ahead, an hour behind, right again: all of the process's wall clock, and never its
    monotonic clock.
    """
    clock = Clock(tmp_path / "clock")
    command = [sys.executable, "-c", _PROGRAM]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=clock.env, text=True, stdin=pipe, stdout=pipe) as process:
        requests, answers = process.stdin, process.stdout
        assert requests
        assert answers

        def read() -> tuple[float, float, float]:
            requests.write("\n")
            requests.flush()
            wall, date, monotonic = (float(text) for text in answers.readline().split())
            return wall - time.time(), date - time.time(), monotonic - time.monotonic()

        for seconds in (0.0, 3600.0, -3600.0, 30.0, 0.0):
            clock.set(seconds)
            expected = pytest.approx((seconds, seconds, 0.0), abs=10)
            eventually_sync(
                functools.partial(lambda expected: read() == expected, expected), limit=20
            )
        requests.close()
