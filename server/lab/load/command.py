"""What `omni-inbox load` does; its options: server/cli/load_command.py."""

import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from server import log
from server.errors import ConfigurationError
from server.lab.load import comparison, report
from server.lab.load.private_server import private_server
from server.lab.load.run import Run
from server.lab.load.run_result import Result
from server.lab.load.scenario_plan import Plan, read_scenario, with_values
from server.lab.load.view import View, print_result
from server.settings import Settings
from server.settings.setting_checks import JWT_SECRET_MIN_BYTES

_notes = Console(stderr=True)


def load(
    scenario: Path | None,
    start_server: bool,
    short: bool,
    json_path: Path | None,
    html_path: Path | None,
    svg_path: Path | None,
    is_own: bool,
    **given: Any,
) -> None:
    """Run `scenario` with the values of `given` in place of its own, and print and write the
    reports. Exits with status 1 where a verdict is not clean.
    """
    log.configure("ERROR", "console")
    # by unwinding, which removes the companies
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    values = {name: value for name, value in given.items() if value is not None}
    plan = with_values(read_scenario(scenario, is_short=short) if scenario else Plan(), values)
    results = [
        _run_plan(one, start_server=start_server, is_own=is_own)
        for one in (comparison.plans(plan) if plan.compare else [plan])
    ]
    extra = _compare(results, svg_path) if plan.compare else ""
    if json_path:
        json_path.write_bytes(report.as_json(results))
    if html_path:
        html_path.write_text(report.as_html(results, extra), encoding="utf-8")
    if not all(result.verdict.is_clean for result in results):
        sys.exit(1)


def _run_plan(plan: Plan, *, start_server: bool, is_own: bool) -> Result:
    with ExitStack() as stack:
        if start_server:
            server, settings = stack.enter_context(private_server(plan.server))
            plan = with_values(plan, {"url": server.url})
        else:
            if plan.deploy_at or plan.server:
                raise ConfigurationError(
                    "This scenario sets up and restarts its server: say --start-server"
                )
            server, settings = None, Settings.from_environment()
            plan = with_values(plan, {"url": plan.url or settings.base_url})
        plan.check(is_own=is_own)
        if len(settings.jwt_secret.encode()) < JWT_SECRET_MIN_BYTES:
            raise ConfigurationError(
                "JWT_SECRET must be the server's own: the agents' tokens are signed with it"
            )
        if not settings.chatwoot_allow_private and plan.replies_per_minute:
            raise ConfigurationError(
                "The simulated Chatwoot is on this machine: the server, and this command, need "
                "CHATWOOT_ALLOW_PRIVATE=true"
            )
        view = stack.enter_context(View(plan, _notes))
        run = Run(plan, settings, view.show, server=server)
        stack.callback(
            signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, lambda *_: _end_early(run))
        )
        result = run.execute()
    print_result(result, _notes)
    return result


def _end_early(run: Run) -> None:
    """Ctrl-C: judge what was measured so far; once more: leave at once."""
    _notes.print("ending early; once more: without a verdict")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run.end_early()


def _compare(results: list[Result], svg_path: Path | None) -> str:
    """Print the table of the comparison, and return its picture for the page."""
    rows = comparison.rows(results)
    svg = comparison.as_svg(rows)
    click.echo(comparison.as_markdown(rows, results))
    if svg_path:
        svg_path.write_text(svg, encoding="utf-8")
    return svg
