"""`doctor`, `health` and `drain`: whether this machine is well, and a stop no agent notices."""

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from server.core.checks.integration_checks import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "unknown": "dim"}
_POLL_INTERVAL_SECONDS = 0.1


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 1_000),
    default=1,
    show_default=True,
    help="Processes that share this database.",
)
@click.option(
    "--security",
    "is_security",
    is_flag=True,
    help="Check keys, encryption, files, signatures and addresses instead.",
)
@click.option("--json", "is_json", is_flag=True, help="A JSON line for each finding.")
def doctor(processes: int, is_security: bool, is_json: bool) -> None:
    """Check database, bus, disks, limits, clocks and keys; say what is wrong and what to do. Exit
    status 1 when something fails.
    """
    from server.core.checks.integration_checks import is_well

    found = _examine(processes, is_security=is_security)
    if is_json:
        for finding in found:
            values = {
                "name": finding.name,
                "state": finding.state,
                "text": str(finding.text),
                "remedy": str(finding.remedy),
            }
            click.echo(json.dumps(values))
    else:
        from rich.console import Console

        Console().print(_table(found))
    if not is_well(found):
        sys.exit(1)


def _examine(processes: int, *, is_security: bool) -> "list[Finding]":
    import asyncio

    from server import log
    from server.core.checks.integration_checks import Finding
    from server.db.engine.database import Database
    from server.operation import doctor as examination
    from server.settings import Settings, sqlite_path

    log.configure("ERROR", "console")
    settings = Settings.from_environment()

    async def run() -> list[Finding]:
        # to open it would be to make it
        if settings.is_sqlite and not sqlite_path(settings.database_url).exists():
            missing = Finding(
                "database",
                "failed",
                f"There is no database at {settings.database_url}",
                "omni-inbox db upgrade",
            )
            return [*examination.look_at_process(settings), missing]
        async with Database.from_settings(settings) as database:
            if is_security:
                return await examination.examine_security(settings, database)
            return await examination.examine(settings, database, processes)

    return asyncio.run(run())


@click.command()
def health() -> None:
    """Does the process of this machine or container live? `serve` is asked at HOST and PORT,
    `worker` shows it by a file beside SPOOL_PATH.

    Exit status 0 when one of them does, 1 when neither does. For the health check of a container.
    """
    from server.operation.liveness_probe import sign_of_life

    click.echo(sign_of_life())


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port the server listens on (PORT).")
@click.option(
    "--limit",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds to wait for its end.",
)
def drain(port: int | None, limit: float) -> None:
    """Stop this machine's server on a port gently: its agents reconnect elsewhere, spread over
    DRAIN_SECONDS; wait for its end.

    The same as SIGTERM, with an answer: exit status 0 when the process is gone, 1 when it still
    runs after the limit.
    """
    import os
    import signal
    import time

    from server.cli.environment import notes
    from server.errors import ConfigurationError
    from server.operation.listeners import listeners
    from server.settings import Settings

    port = port or Settings.from_environment().port
    pids = listeners(port)
    if not pids:
        raise ConfigurationError(f"No process of this user listens on port {port} of this machine")
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + limit
    with notes().status(f"draining port {port} (process {', '.join(map(str, pids))})"):
        while any(_is_alive(pid) for pid in pids) and time.monotonic() < until:
            time.sleep(_POLL_INTERVAL_SECONDS)
    if left := [pid for pid in pids if _is_alive(pid)]:
        raise ConfigurationError(
            f"Still running after {limit:g} s: process {', '.join(map(str, left))}"
        )
    click.echo(f"port {port} is drained and free")


def _table(found: "list[Finding]") -> "Table":
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2))
    for finding in found:
        text = (
            str(finding.text)
            if finding.state == "ok" or not finding.remedy
            else f"{finding.text}\n[bold]→[/] {finding.remedy}"
        )
        table.add_row(f"[{_COLOURS[finding.state]}]{finding.state}[/]", finding.name, text)
    return table


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
