"""`omni-inbox trace`: the way of a message, step by step."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from server.composition.application import Application


@click.group()
def trace() -> None:
    """Where a message is: its way, step by step."""


@trace.command("message")
@click.argument("message_id", type=click.IntRange(1))
def message(message_id: int) -> None:
    """A message or reply, by its number here: received, stored, published, reached, sent,
    confirmed.
    """
    from server.cli.environment import run_with_application
    from server.operation.delivery_ledger import trace_view

    found = run_with_application(
        lambda application: application.operation.ledger.trace(None, message_id)
    )
    click.echo(json.dumps(trace_view(found), ensure_ascii=False, indent=2))


@trace.command("delivery")
@click.argument("delivery_id", type=click.IntRange(1))
def delivery(delivery_id: int) -> None:
    """A webhook delivery, by its number: its state, and the way of the message it brought."""
    from server.cli.environment import run_with_application

    run_with_application(lambda application: _print_delivery(application, delivery_id))


async def _print_delivery(application: "Application", delivery_id: int) -> None:
    from server.db.journal import ledger_rows
    from server.errors import NotFound
    from server.operation.delivery_ledger import entry_view, trace_view

    found = await application.resources.database.read(
        lambda c: ledger_rows.read_body(c, delivery_id)
    )
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id}")
    entry, body = found
    message_id = await application.operation.ledger.message_of(entry, body)
    way = (
        trace_view(await application.operation.ledger.trace(None, message_id))
        if message_id is not None
        else None
    )
    click.echo(json.dumps(entry_view(entry) | {"way": way}, ensure_ascii=False, indent=2))
