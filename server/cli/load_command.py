"""`omni-inbox load`."""

from pathlib import Path
from typing import Any

import click


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
@click.option("--processes", type=click.IntRange(1, 64), help="Processes that simulate agents.")
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
def load(scenario: Path | None, **options: Any) -> None:
    """Simulate agents, pollers and a Chatwoot against a server, and judge the outcome.

    SCENARIO is a TOML file; options replace what it says. Exit status 0 only when nothing was lost,
    doubled, disordered or seen by others. The companies it plays in are made in the server's
    database (so its settings must be in the environment) and removed afterwards.
    """
    from server.lab.load.command import load as run

    run(scenario, **options)
