"""`omni-inbox` started from a process that has loaded its modules already: a test run starts the
command thousands of times, and loading them again each time was most of its work.

What runs is the command all the same, in a process and session of its own, with its own
environment, folder and files; it can be killed and frozen. What looks at how it is installed or
loaded starts the installed file itself.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.kit.processes import Started

_REQUEST_MOST_BYTES = 200_000
# these are read by the interpreter or the loader before any code of ours: only a new process has
# them
_READ_AT_START = ("LD_", "PYTHON", "COVERAGE_")
_HARMLESS = {"PYTHONUNBUFFERED"}  # what a child writes is written at once
# loaded when they are first used, by nearly every process
_LATE = (
    "aiomysql",
    "aiosqlite",
    "alembic.command",
    "pymysql.cursors",
    "redis.asyncio",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
)
# run by Alembic alone; starts the command; the simulated Chatwoot and what is written with it
_NOT_LOADED = ("server.db.migrations.env", "server.__main__", "server.lab")


def can_fork(env: Mapping[str, str]) -> bool:
    """Whether a command with this environment needs no interpreter of its own."""
    return not any(name.startswith(_READ_AT_START) and name not in _HARMLESS for name in env)


class Forked(Started):
    """A process that was forked for us; as `subprocess.Popen`, of which it has what tests need."""

    def __init__(self, pid: int, ends: int) -> None:
        """`ends`: a pipe that gives the exit code when the process is gone."""
        self.pid = pid
        self.returncode: int | None = None
        self._ends = ends

    def poll(self) -> int | None:
        """The exit code (negative: by that signal), None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """As `subprocess.Popen.wait`; raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._ends], [], [], timeout)[0]:
            told = os.read(self._ends, 16)
            os.close(self._ends)
            self.returncode = int(told or -signal.SIGKILL)  # nothing: all ended together
        return self.returncode


def start(
    argv: Sequence[str],
    *,
    stdin: int | IO[Any],
    stdout: IO[Any],
    stderr: int | IO[Any],
    env: Mapping[str, str],
    cwd: Path,
) -> Forked:
    """Run `omni-inbox` with the arguments behind `argv[0]`. The streams are as `subprocess.Popen`
    takes them.
    """
    request = json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd)}).encode()
    assert len(request) < _REQUEST_MOST_BYTES
    ends, told = os.pipe()
    with open(os.devnull, "rb") as nothing:
        streams = [
            nothing.fileno() if stdin == subprocess.DEVNULL else stdin,
            stdout,
            stdout if stderr == subprocess.STDOUT else stderr,
        ]
        numbers = [one if isinstance(one, int) else one.fileno() for one in streams]
        socket.send_fds(_parent(), [request], [*numbers, told])
    os.close(told)
    return Forked(int(os.read(ends, 16)), ends)


def run(
    argv: Sequence[str], *, input: str, env: Mapping[str, str], cwd: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with captured text. Raises TimeoutExpired, with the process killed."""
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as errors,
    ):
        given.write(input)
        given.seek(0)
        process = start(argv, stdin=given, stdout=out, stderr=errors, env=env, cwd=cwd)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(list(argv), code, out.read(), errors.read())


@functools.cache
def _parent() -> socket.socket:
    """A socket to the process that has everything loaded; it ends with ours."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.forks", str(its.fileno())],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            start_new_session=True,  # Ctrl-C is the tests' to answer: they end it
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# what follows runs in the process that is forked


def _load() -> None:
    import server

    for module in pkgutil.walk_packages(server.__path__, "server."):
        if not module.name.startswith(_NOT_LOADED):
            importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the children share these pages as long as nobody writes to them


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each request and tell each end. Returns None when the tests have ended, and in each
    child what was asked of it.
    """
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    running: dict[int, int] = {}
    while True:
        ready = select.select([control.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends(running)
        if control.fileno() not in ready:
            continue
        request, streams, _, _ = socket.recv_fds(control, _REQUEST_MOST_BYTES, 4)
        if not request:
            return None
        *standard, told = streams
        pid = os.fork()
        if pid == 0:
            asked: dict[str, Any] = json.loads(request)
            return asked | {"streams": standard}
        running[pid] = told
        os.write(told, str(pid).encode())
        for one in standard:
            os.close(one)


def _tell_ends(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        told = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(told)


def _become(asked: dict[str, Any]) -> None:
    """Take the session, streams, folder, environment and arguments of a command of its own."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, stream in enumerate(asked["streams"]):
        os.dup2(stream, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(name))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = map(_stream, range(3))
    sys.argv = asked["argv"]
    # else processes that this one spawns would begin by loading this file
    sys.modules["__main__"] = types.ModuleType("__main__")


def _stream(number: int) -> IO[str]:
    """Read where it is 0, written line by line where it is not."""
    mode = "w" if number else "r"
    return os.fdopen(number, mode, buffering=1, encoding="utf-8", closefd=False)


if __name__ == "__main__":
    _load()
    if asked := _serve(socket.socket(fileno=int(sys.argv[1]))):
        _become(asked)
        from server.cli import main

        main()
