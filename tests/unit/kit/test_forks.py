"""A forked command is the command: its own session, environment, streams and end."""

import functools
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.kit import forks
from tests.kit.eventually import eventually_sync
from tests.kit.omni import Omni, running


def test_output_input_and_exit_code_are_the_commands_own(tmp_path: Path) -> None:
    """As of a process that was started by itself."""
    server = Omni(tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}")
    server.prepare()
    assert server.add_agent(password="correct horse battery staple")["id"] == 1  # from its input
    refused = server.cli("agent", "add", "--no-such-option")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "No such option" in refused.stderr
    server.env["DATABASE_URL"] = "nonsense://"
    wrong = server.cli("db", "upgrade")
    assert wrong.returncode == 1
    assert "DATABASE_URL" in wrong.stderr


def test_it_has_the_given_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the tests' own reaches it, nor of the process that it is forked from."""
    monkeypatch.setenv("DATABASE_URL", "nonsense://")
    monkeypatch.setattr(forks, "_parent", functools.cache(forks._parent.__wrapped__))
    env = {"JWT_SECRET": "s" * 32, "DATABASE_URL": f"sqlite:///{tmp_path / 'omni.db'}"}
    argv = ["omni-inbox", "db", "upgrade"]
    without = {"JWT_SECRET": "s" * 32}  # and the database is where it is by default
    for given in (env, without):
        done = forks.run(argv, input="", env=given, cwd=tmp_path, timeout=60.0)
        assert done.returncode == 0, done.stderr


def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    """And the tests are told."""
    server = Omni(tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}")
    server.prepare()
    with pytest.raises(subprocess.TimeoutExpired):
        forks.run(["omni-inbox", "worker"], input="", env=server.env, cwd=tmp_path, timeout=1.5)


def test_a_server_leads_a_session_and_ends_by_its_signal(tmp_path: Path) -> None:
    """Killing its group kills it and nobody else."""
    with running(tmp_path) as server:
        pid = server.process.pid
        assert os.getsid(pid) == os.getpgid(pid) == pid
        assert Path(f"/proc/{pid}/cwd").readlink() == tmp_path
        server.kill9()
        assert server.process.returncode == -9
        assert eventually_sync(lambda: not Path(f"/proc/{pid}").exists())
        server.start()
        assert server.terminate() == -signal.SIGTERM  # as uvicorn ends


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONWARNINGS", "COVERAGE_PROCESS_START"])
def test_what_an_interpreter_reads_at_its_start_gets_one(name: str) -> None:
    """Such a command is started as a program."""
    assert forks.can_fork({"DATABASE_URL": "sqlite://"})
    assert not forks.can_fork({name: "x"})
