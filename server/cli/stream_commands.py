"""`omni-inbox stream`."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from server.db.engine.database import Connection


@click.group()
def stream() -> None:
    """Event logs."""


@stream.command("new-epoch")
@click.option("--company-id", type=click.IntRange(1), required=True)
def new_epoch(company_id: int) -> None:
    """After a restored backup: every client of the company takes a snapshot again."""
    from server.cli.environment import run_with_application
    from server.db.state import eventlog

    async def write(connection: "Connection") -> str:
        await eventlog.lock_streams(connection, [company_id])
        return (await eventlog.start_epoch(connection, company_id)).epoch

    epoch = run_with_application(
        lambda application: application.resources.database.transaction(write)
    )
    click.echo(f"company {company_id} begins epoch {epoch}")
