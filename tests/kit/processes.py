"""A server process of our own: started, probed, killed, frozen and always cleaned up.

The calls block. In an async test that has clients or a proxy in the same event loop, use `await
asyncio.to_thread(server.kill)`.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.kit.eventually import patient

_PROBE_PAUSE_SECONDS = 0.02
_LOG_TAIL_CHARACTERS = 4000
_live: "weakref.WeakSet[ServerProcess]" = weakref.WeakSet()


class Started(Protocol):
    """A process that was started: what `subprocess.Popen` and `forks.Forked` have in common."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The exit code (negative: by that signal), None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, `timeout` seconds at most; raises subprocess.TimeoutExpired."""

    def terminate(self) -> None:
        """SIGTERM."""


class NotReady(Exception):
    """A server ended or stayed silent instead of becoming ready; the message holds the end of its
    log.
    """


def find_program(*names: str) -> str | None:
    """The path of the first of these programs that is installed, looking in the system directories
    as well.
    """
    path = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"]
    )
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def start_program(argv: Sequence[str], **options: Any) -> Started:
    """A program in a session of its own; `options` are those of `subprocess.Popen`."""
    return subprocess.Popen(argv, start_new_session=True, **options)


class ServerProcess:
    """One server in a session (process group) of its own, with a log file; may be started again
    after its end.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log_path: Path,
        is_ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        start: Callable[..., Started] | None = None,
    ) -> None:
        """`is_ready` is called over and over after the start and must answer quickly; `env` None
        inherits ours. `start` is called as
        `start_program` is, and stands in for it.
        """
        self.argv = list(argv)
        self.log_path = log_path
        self.env = dict(env) if env is not None else None
        self._cwd = cwd
        self._is_ready = is_ready
        self._start = start or start_program
        self._popen: Started | None = None
        # false once the group was ended: its number may belong to a stranger from then on
        self._owns_group = False

    @property
    def pid(self) -> int:
        if self._popen is None:
            raise RuntimeError(f"{self.argv[0]} was never started")
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Once its end is noticed, children it left behind are killed as well."""
        if self._popen is None or not self._owns_group:
            return False
        if self._popen.poll() is None:
            return True
        self._end_group()
        return False

    @property
    def returncode(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs."""
        return None if self._popen is None or self.is_running else self._popen.returncode

    @property
    def log(self) -> str:
        """Everything written so far, over all starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def set_environment(self, **values: str) -> None:
        """From the next start on."""
        self.env = (self.env or {}) | values

    def start(self, limit: float = 30.0) -> None:
        """Start and wait until ready, at most `limit` seconds (scaled). Raises NotReady, with the
        process gone.
        """
        if self.is_running:
            return
        with self.log_path.open("ab") as log:
            self._popen = self._start(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self._cwd,
            )
        self._owns_group = True
        _live.add(self)
        self._await_ready(limit)

    def stop(self, limit: float = 20.0) -> int | None:
        """SIGTERM, then `limit` seconds (scaled) to end by itself; returns the exit code (None:
        never started).

        Raises TimeoutError, with the process killed, when it does not end.
        """
        if self._popen is None or not self.is_running:
            return self.returncode
        self.thaw()
        self._popen.terminate()
        try:
            self._popen.wait(patient(limit))
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"{self.argv[0]} did not end within {limit:g} s of SIGTERM\n{self._log_tail()}"
            ) from None
        finally:
            self._end_group()
        return self._popen.returncode

    def kill(self) -> None:
        """SIGKILL to it and all its children; returns when it is gone."""
        self._end_group()

    def freeze(self) -> None:
        """SIGSTOP: the kernel still accepts connections and bytes for it, nobody answers."""
        self._signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_group(signal.SIGCONT)

    def restart(self, limit: float = 30.0) -> None:
        """Stop if running, then start again with the same arguments (same port, same data)."""
        self.stop()
        self.start(limit)

    def ensure_running(self) -> None:
        """For shared servers: whatever an earlier test did to it, it runs and answers now."""
        self.thaw()
        self.start()

    def _await_ready(self, limit: float) -> None:
        deadline = time.monotonic() + patient(limit)
        while not self._is_ready():
            if not self.is_running:
                raise NotReady(
                    f"{self.argv[0]} ended with {self.returncode} at its start\n{self._log_tail()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise NotReady(
                    f"{self.argv[0]} was not ready within {limit:g} s\n{self._log_tail()}"
                )
            time.sleep(_PROBE_PAUSE_SECONDS)

    def _end_group(self) -> None:
        if self._popen is None or not self._owns_group:
            return
        self._signal_group(signal.SIGKILL)
        self._popen.wait()
        self._owns_group = False

    def _signal_group(self, number: signal.Signals) -> None:
        # the process leads its own group (start_new_session), so this reaches its children and
        # nobody else
        if self._popen is not None and self._owns_group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)

    def _log_tail(self) -> str:
        return self.log[-_LOG_TAIL_CHARACTERS:]


def _kill_all() -> None:
    for process in list(_live):
        process.kill()


atexit.register(_kill_all)
