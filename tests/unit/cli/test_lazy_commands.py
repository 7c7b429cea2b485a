"""A command loads what it needs when it runs: who asks for help, or uses completion in a shell,
waits for neither the server nor its libraries.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from server.cli.commands import main
from tests.kit.ports import free_port

# what each of them costs is a tenth of a second and more
_HEAVY = (
    "sqlalchemy",
    "starlette",
    "structlog",
    "httpx",
    "rich",
    "server.composition",
    "server.lab",
)
_RUN = """
import json, sys
from server.cli.commands import main
for words in json.loads(sys.argv[1]):
    try:
        main(words, prog_name="omni-inbox")
    except SystemExit as end:
        print("status", end.code)
print(json.dumps(sorted(sys.modules)))
"""


def _run(*commands: list[str], env: dict[str, str] | None = None) -> tuple[list[str], set[str]]:
    """Lines that the commands print in a fresh process, and the modules it has loaded then."""
    settings = {"PATH": os.environ["PATH"], **(env or {})}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(commands)],
        capture_output=True,
        text=True,
        env=settings,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    *lines, modules = done.stdout.splitlines()
    return lines, set(json.loads(modules))


def _loaded(modules: set[str], *names: str) -> set[str]:
    return {
        module
        for module in modules
        if any(module == name or module.startswith(f"{name}.") for name in names)
    }


def _paths(command: click.Command, words: list[str]) -> Iterator[list[str]]:
    yield words
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _paths(inner, [*words, name])


def test_no_help_loads_the_server() -> None:
    """Of the whole, of each group and of each command, one after the other in one process."""
    paths = list(_paths(main, []))
    assert len(paths) > 30
    lines, modules = _run(*([*path, "--help"] for path in paths))
    assert sum(line.startswith("Usage: omni-inbox") for line in lines) == len(paths)
    assert _loaded(modules, *_HEAVY) == set()


def test_a_token_loads_the_database_alone(tmp_path: Path) -> None:
    """It reads one row; no web server, and nothing of the application."""
    env = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'omni-inbox.db'}",
        "JWT_SECRET": "x" * 32,
        "SPOOL_PATH": str(tmp_path / "spool.db"),
    }
    lines, modules = _run(["token", "--company-id", "1", "--agent-id", "1"], env=env)
    assert lines[0].count(".") == 2, lines
    assert (
        _loaded(modules, "starlette", "uvicorn", "httpx", "server.composition", "server.lab")
        == set()
    )


def test_drain_loads_no_load_harness() -> None:
    lines, modules = _run(["drain", "--port", str(free_port())])
    assert lines == ["status 1"]
    assert _loaded(modules, "sqlalchemy", "starlette", "server.composition", "server.lab") == set()
