"""`omni-inbox contact`."""

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from server.composition.application import Application


@click.group()
def contact() -> None:
    """Customers, as far as they are kept here."""


@contact.command("erase")
@click.option("--company-id", type=click.IntRange(1), required=True)
@click.option(
    "--conversation-id",
    type=click.IntRange(1),
    required=True,
    help="Any conversation of the contact, by its number here.",
)
def erase(company_id: int, conversation_id: int) -> None:
    """Erase a contact for good: conversations, messages, files, events, bodies of deliveries.
    Prints counts.
    """
    from server.cli.environment import run_with_application
    from server.db.access.audit_log import server_actor

    async def run(application: "Application") -> dict[str, Any]:
        await application.integrations.directory.refresh()
        erased = await application.operation.erasure.erase(
            server_actor(company_id), conversation_id
        )
        return erased.view()

    click.echo(json.dumps(run_with_application(run)))
