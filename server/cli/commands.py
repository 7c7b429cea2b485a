"""The command `omni-inbox`."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import jwt
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from server import log
from server.cli import (
    integration_commands,
    operation_commands,
    people_commands,
    service_commands,
    upgrade_commands,
)
from server.composition.application import Application, build_application
from server.core.subjects import LOCAL_CLAIM
from server.db import migrations
from server.db.access import accounts, integration_rows
from server.db.access.vault import Vault
from server.errors import ConfigurationError, OmniError
from server.incoming.full_sync import Outcome
from server.lab.dev import dev as run_dev
from server.lab.load.command import load
from server.operation.heartbeat import beat_until, heartbeat_path
from server.serve import serve as run_serve
from server.settings import JWT_SECRET_MIN_BYTES, Settings

T = TypeVar("T")
_notes = Console(stderr=True)


class _Command(click.Group):
    """Our own errors as one sentence and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OmniError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Omni Inbox: the realtime inbox between Chatwoot and a company's agents. Settings come from
    the environment.
    """


@main.command()
@click.option("--host", help="Address to listen on (HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (PORT).")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes; more than one needs MySQL and Redis.",
)
def serve(host: str | None, port: int | None, workers: int) -> None:
    """Serve webhooks, REST, sockets and the inbox."""
    settings = _settings(host=host, port=port)
    settings.check_serving(workers)
    if settings.is_sqlite:
        # the embedded database has nobody else to look after it
        migrations.upgrade(settings.database_url)
        _with_parts(settings, _reseal)
        log.configure(settings.log_level, settings.log_format)
    run_serve(settings, workers)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (PORT).")
def dev(port: int | None) -> None:
    """Embedded default with a simulated Chatwoot; prints addresses and a sign-in."""
    run_dev(_settings(port=port, log_format="console", log_level="WARNING"))


@main.command()
def worker() -> None:
    """Background work beside `serve`: takes deliveries that were left, sends replies, without
    listening.
    """
    settings = _settings()
    settings.check_serving(1)
    log.configure(settings.log_level, settings.log_format)

    async def run(parts: Application) -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await beat_until(stopped, heartbeat_path(settings.spool_path))

    asyncio.run(_running(settings, run))
    _notes.print("worker stopped")


@main.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Say what would be done, and what speaks against it; change nothing.",
)
def db_upgrade(only_plan: bool) -> None:
    """Create what is missing, in an empty database or in a CRM's; can be run again."""
    settings = _settings()
    if only_plan:
        upgrade_commands.print_plan(
            settings.database_url, Vault(settings.secret_key, settings.old_secret_keys)
        )
        return
    done = upgrade_commands.run(settings.database_url, _notes)
    if count := _with_parts(settings, _reseal):
        done.append(f"{count} tokens and secrets encrypted with SECRET_KEY")
    for sentence in done or ["nothing to do: the database is up to date"]:
        click.echo(sentence)


@main.command()
@click.option("--company-id", type=click.IntRange(1), required=True)
@click.option("--agent-id", type=click.IntRange(1), required=True)
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=8.0, show_default=True)
def token(company_id: int, agent_id: int, hours: float) -> None:
    """Print a JWT for an agent, as the CRM would issue it."""
    settings = _settings()
    if len(settings.jwt_secret.encode()) < JWT_SECRET_MIN_BYTES:
        raise ConfigurationError(
            f"JWT_SECRET must be set, to at least {JWT_SECRET_MIN_BYTES} bytes: the server's own"
        )

    async def read(parts: Application) -> accounts.Agent | None:
        return await parts.resources.database.read(lambda c: accounts.read_agent(c, agent_id))

    found = _with_parts(settings, read)
    is_known = found is not None and found.company_id == company_id
    now = int(time.time())
    claims = {
        settings.jwt_subject_claim: found.subject if found and is_known else str(agent_id),
        LOCAL_CLAIM: True,
        settings.jwt_company_claim: company_id,
        "name": found.name if found and is_known else f"Agent {agent_id}",
        "role": found.role if found and is_known else "agent",
        "iat": now,
        "exp": now + int(hours * 3600),
    }
    click.echo(jwt.encode(claims, settings.jwt_secret, algorithm="HS256"))


@main.command()
@click.option(
    "--integration-id",
    type=click.IntRange(1),
    help="Only this one; otherwise all active integrations.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Only compare: write nothing, and end with status 1 where something is missing here.",
)
def sync(integration_id: int | None, verify: bool) -> None:
    """Fetch all conversations and messages from Chatwoot. Prints the counts as JSON; can be run
    again.
    """
    settings = _settings()

    async def walk(parts: Application) -> list[Outcome]:
        await parts.integrations.directory.refresh()
        chosen = [
            i
            for i in parts.integrations.directory.integrations.values()
            if (i.is_active if integration_id is None else i.id == integration_id)
        ]
        if not chosen:
            raise ConfigurationError(
                "There is no such active Chatwoot integration; add one with: omni-inbox "
                "integration add"
            )
        parts.operation.services.start("bus", parts.live.bus.run)
        async with parts.operation.services:
            return [await _walk_with_progress(parts, one, writes=not verify) for one in chosen]

    outcomes = _with_parts(settings, walk)
    click.echo(json.dumps({"integrations": [outcome.view() for outcome in outcomes]}))
    if any(outcome.errors or outcome.comparison.is_incomplete for outcome in outcomes):
        sys.exit(1)


async def _walk_with_progress(
    parts: Application, one: accounts.Integration, *, writes: bool
) -> Outcome:
    """Ctrl-C stops it: what is done stays done, and the next sync goes on from there."""
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *times,
    )
    with Progress(*columns, console=_notes, transient=True) as progress:
        line = progress.add_task(f"integration {one.id}", total=None)

        def show(outcome: Outcome) -> None:
            messages = outcome.messages_created + outcome.messages_skipped
            text = f"integration {one.id}: {messages} messages, conversations"
            progress.update(line, description=text, completed=outcome.walked, total=outcome.total)

        return await parts.comparisons.sync.walk(one, show, writes=writes)


main.add_command(
    integration_commands.integration_group(
        lambda call: _with_parts(_settings(), call),
        # conversations an older CRM kept find their integration
        lambda: migrations.upgrade(_settings().database_url),
    ),
    "integration",
)
main.add_command(load)
main.add_command(service_commands.doctor)
main.add_command(service_commands.drain)
main.add_command(service_commands.health)
operation_commands.register(main, lambda call: _with_parts(_settings(), call))
main.add_command(people_commands.agent_group(lambda call: _with_parts(_settings(), call)), "agent")


async def _reseal(parts: Application) -> int:
    """Tokens stored in the clear, or with a key before SECRET_KEY, are encrypted with
    SECRET_KEY.
    """
    return await parts.resources.database.transaction(
        lambda c: integration_rows.reseal(c, parts.resources.vault)
    )


def _settings(**given: Any) -> Settings:
    settings = Settings.from_environment(
        overrides={name: value for name, value in given.items() if value is not None}
    )
    log.configure(settings.log_level, settings.log_format)
    return settings


def _with_parts(settings: Settings, call: Callable[[Application], Awaitable[T]]) -> T:
    """Run `call` with an open database; the tables must be there."""
    log.configure("ERROR", "console")  # a command speaks for itself
    problem = migrations.schema_problem(settings.database_url)
    if problem and settings.is_sqlite:
        migrations.upgrade(settings.database_url)
    elif problem:
        raise ConfigurationError(problem)

    async def run() -> T:
        async with build_application(settings).opened() as parts:
            return await call(parts)

    return asyncio.run(run())


async def _running(settings: Settings, call: Callable[[Application], Awaitable[None]]) -> None:
    async with build_application(settings).running() as parts:
        await call(parts)
