"""The clock of one process is stepped while it runs."""

import functools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kit.clocks import Clock, can_step_clocks
from tests.kit.eventually import eventually_sync

pytestmark = pytest.mark.skipif(
    not can_step_clocks(), reason="no C compiler (Debian packages gcc and libc6-dev)"
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


_WAITS = """
import threading, time, socket
here, there = socket.socketpair()

def talk():
    for _ in range(3000):
        here.send(b"x")
        there.recv(1)

thread = threading.Thread(target=talk)
thread.start()
never = threading.Event()
while thread.is_alive():
    never.wait(0.0001)
    time.sleep(0.0001)
print("done")
"""


def test_a_process_with_a_stepped_clock_waits_as_others_do(tmp_path: Path) -> None:
    """Its locks and sleeps go by the monotonic clock: a library that takes part in them makes
    `time.sleep` fail, and threads that wait for one another spin.
    """
    clock = Clock(tmp_path / "clock")
    clock.set(-3600.0)
    command = [sys.executable, "-c", _WAITS]
    ended = subprocess.run(command, env=clock.env, check=True, capture_output=True, text=True)
    assert ended.stdout == "done\n"
