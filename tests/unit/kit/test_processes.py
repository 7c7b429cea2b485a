"""Processes that tests start never outlive them, and a failed start tells why."""

import os
import sys
from pathlib import Path

import pytest

from tests.kit.eventually import eventually, eventually_sync
from tests.kit.processes import NotReady, ServerProcess

_WITH_A_CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
time.sleep(60)
"""


def _python(code: str, directory: Path, *, ready: str = "") -> ServerProcess:
    log_path = directory / "log"
    return ServerProcess(
        [sys.executable, "-c", code],
        log_path=log_path,
        is_ready=lambda: ready in log_path.read_text(),
    )


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_children_end_with_their_parent(end: str, tmp_path: Path) -> None:
    """What a server has started goes with it, whichever way it goes."""
    process = _python(_WITH_A_CHILD, tmp_path, ready="\n")
    process.start()
    child = int(process.log)
    assert _is_alive(child)
    getattr(process, end)()
    assert process.returncode == (7 if end == "stop" else -9)
    assert eventually_sync(lambda: not _is_alive(child))


def test_a_failed_start_shows_the_log(tmp_path: Path) -> None:
    """A server that ends at once is told from a slow one, with its last words."""
    process = _python("import sys; print('no such setting'); sys.exit(3)", tmp_path, ready="ready")
    with pytest.raises(NotReady, match=r"ended with 3(.|\n)*no such setting"):
        process.start()


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """`stop` says so and leaves nothing behind."""
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); "
        "time.sleep(60)"
    )
    process = _python(code, tmp_path, ready="on")
    process.start()
    with pytest.raises(TimeoutError, match="did not end"):
        process.stop(limit=0.2)
    assert not process.is_running
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_eventually_returns_the_value() -> None:
    """Checks may be async, may assert, and their value is handed on."""
    calls = iter([None, AssertionError("not yet"), "done"])

    async def check() -> str | None:
        match next(calls):
            case AssertionError() as error:
                raise error
            case value:
                return value

    assert await eventually(check) == "done"


def test_eventually_tells_the_last_failure() -> None:
    """The last failed assertion is the message."""

    def check() -> bool:
        raise AssertionError("three rows, not two")

    with pytest.raises(AssertionError, match="three rows, not two"):
        eventually_sync(check, limit=0.02)
