"""`omni-inbox sync`."""

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from server.composition.application import Application
    from server.db.access.integration_record import Integration
    from server.incoming.sync_outcome import SyncOutcome


@click.command()
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
    from server.cli.environment import run_with_application

    outcomes = run_with_application(
        lambda application: _sync(application, integration_id, writes=not verify)
    )
    click.echo(json.dumps({"integrations": [outcome.view() for outcome in outcomes]}))
    if any(outcome.errors or outcome.comparison.is_incomplete for outcome in outcomes):
        sys.exit(1)


async def _sync(
    application: "Application", integration_id: int | None, *, writes: bool
) -> "list[SyncOutcome]":
    """The outcome of each chosen integration. Raises ConfigurationError where there is none."""
    from server.errors import ConfigurationError

    await application.integrations.directory.refresh()
    chosen = [
        i
        for i in application.integrations.directory.integrations.values()
        if (i.is_active if integration_id is None else i.id == integration_id)
    ]
    if not chosen:
        raise ConfigurationError(
            "There is no such active Chatwoot integration; add one with: omni-inbox integration add"
        )
    application.operation.services.start("bus", application.live.bus.run)
    async with application.operation.services:
        return [await _sync_with_progress(application, one, writes=writes) for one in chosen]


async def _sync_with_progress(
    application: "Application", one: "Integration", *, writes: bool
) -> "SyncOutcome":
    """Ctrl-C stops it: what is done stays done, and the next sync goes on from there."""
    from server.cli.environment import progress_bar

    with progress_bar() as progress:
        line = progress.add_task(f"integration {one.id}", total=None)

        def show(outcome: "SyncOutcome") -> None:
            messages = outcome.messages_created + outcome.messages_skipped
            text = f"integration {one.id}: {messages} messages, conversations"
            progress.update(line, description=text, completed=outcome.walked, total=outcome.total)

        return await application.comparisons.sync.run(one, show, writes=writes)
