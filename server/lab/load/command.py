"""The command `omni-inbox load`."""

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
from server.lab.load.run import Result, Run
from server.lab.load.scenario_plan import Plan, read_scenario, with_values
from server.lab.load.view import View, print_result
from server.settings import JWT_SECRET_MIN_BYTES, Settings

_notes = Console(stderr=True)


@click.command()
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option(
    "--url",
    help="The server, for example http://127.0.0.1:8000. Without it: PUBLIC_URL, or HOST and PORT.",
)
@click.option(
    "--start-server",
    is_flag=True,
    help="Start a server for this run alone, on SQLite unless DATABASE_URL is set.",
)
@click.option("--short", is_flag=True, help="The scenario's short form, which takes seconds.")
@click.option("--agents", type=click.IntRange(0), help="Agents on sockets.")
@click.option(
    "--pollers", type=click.IntRange(0), help="Legacy clients: list every 10 s, thread every 5 s."
)
@click.option(
    "--webhooks-per-second", type=click.FloatRange(0), help="Customers' messages, each a webhook."
)
@click.option(
    "--replies-per-minute", type=click.FloatRange(0), help="Replies of all agents together."
)
@click.option(
    "--companies", type=click.IntRange(1), help="Agents and pollers are dealt out to them in turn."
)
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds of full load.")
@click.option(
    "--ramp", type=click.FloatRange(0), help="Seconds over which agents connect; traffic has begun."
)
@click.option(
    "--slow-share",
    type=click.FloatRange(0, 1),
    help="Share of agents who do not read for 12 s, again and again.",
)
@click.option(
    "--drop-every",
    type=click.FloatRange(0),
    help="Each agent's line breaks after so many seconds on average; 0: never.",
)
@click.option(
    "--deploy-at",
    type=click.FloatRange(0),
    help="Stop and start the private server so many seconds into the full load.",
)
@click.option("--processes", type=click.IntRange(1, 64), help="Processes that play agents.")
@click.option(
    "--seed", type=int, help="The same seed writes the same messages to the same customers."
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report as JSON.",
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report as one HTML page.",
)
@click.option(
    "--svg",
    "svg_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a comparison's picture.",
)
@click.option(
    "--i-own-this-server",
    "is_own",
    is_flag=True,
    help="Allow an address that is not of this machine.",
)
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
    """Play agents, pollers and a Chatwoot against a server, and judge what came of it.

    SCENARIO is a TOML file; options replace what it says. Exit status 0 only when nothing was lost,
    doubled, disordered or seen by others. The companies it plays in are made in the server's
    database (so its settings must be in the environment) and removed afterwards.
    """
    log.configure("ERROR", "console")
    # by unwinding, which clears the ground
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    values = {name: value for name, value in given.items() if value is not None}
    plan = with_values(read_scenario(scenario, is_short=short) if scenario else Plan(), values)
    results = [
        _play(one, start_server=start_server, is_own=is_own)
        for one in (comparison.plans(plan) if plan.compare else [plan])
    ]
    extra = _compare(results, svg_path) if plan.compare else ""
    if json_path:
        json_path.write_bytes(report.as_json(results))
    if html_path:
        html_path.write_text(report.as_html(results, extra), encoding="utf-8")
    if not all(result.verdict.is_clean for result in results):
        sys.exit(1)


def _play(plan: Plan, *, start_server: bool, is_own: bool) -> Result:
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
        result = run.play()
    print_result(result, _notes)
    return result


def _end_early(run: Run) -> None:
    """Ctrl-C: judge what was played so far; once more: leave at once."""
    _notes.print("ending early; once more: without a verdict")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run.end_early()


def _compare(results: list[Result], svg_path: Path | None) -> str:
    """Prints the table; gives the picture for the page."""
    rows = comparison.rows(results)
    svg = comparison.as_svg(rows)
    click.echo(comparison.as_markdown(rows, results))
    if svg_path:
        svg_path.write_text(svg, encoding="utf-8")
    return svg
