"""`omni-inbox deliveries`: what the journal of webhooks holds."""

import json
import re
from typing import TYPE_CHECKING

import click

from server.core.choices import DELIVERY_STATES
from server.core.times import SECOND, wall_now_us
from server.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from server.composition.application import Application
    from server.db.engine.database import Connection

_MAX_DELIVERIES = 10_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.group()
def deliveries() -> None:
    """Webhook deliveries: what came, and what became of it."""


@deliveries.command("list")
@click.option("--state", type=click.Choice(DELIVERY_STATES))
@click.option("--since", default="24h", show_default=True, help="How far back: 30m, 6h, 7d.")
@click.option("--integration-id", type=click.IntRange(1))
@click.option("--limit", type=click.IntRange(1, _MAX_DELIVERIES), default=100, show_default=True)
def list_(state: str | None, since: str, integration_id: int | None, limit: int) -> None:
    """A JSON line for each, newest first, without bodies."""
    from server.cli.environment import run_with_application
    from server.db.journal import ledger_rows
    from server.operation.delivery_ledger import entry_view

    since_us = wall_now_us() - _seconds(since) * SECOND

    async def run(application: "Application") -> list[ledger_rows.Entry]:
        return await application.resources.database.read(
            lambda c: ledger_rows.list_deliveries(
                c, state=state, since_us=since_us, integration_id=integration_id, limit=limit
            )
        )

    for entry in run_with_application(run):
        click.echo(json.dumps(entry_view(entry), ensure_ascii=False))


@deliveries.command("show")
@click.argument("delivery_id", type=click.IntRange(1))
def show(delivery_id: int) -> None:
    """One delivery with its body, credentials stripped."""
    from server.cli.environment import run_with_application

    run_with_application(lambda application: _print_delivery(application, delivery_id))


@deliveries.command("retry")
@click.argument("delivery_ids", type=click.IntRange(1), nargs=-1)
@click.option("--all-dead", is_flag=True, help="Every delivery in state dead.")
def retry(delivery_ids: tuple[int, ...], all_dead: bool) -> None:
    """Put dead or ignored deliveries back in line."""
    from server.db.journal.journal import revive

    _change(delivery_ids, revive, "put back in line", is_all_dead=all_dead)


@deliveries.command("dismiss")
@click.argument("delivery_ids", type=click.IntRange(1), nargs=-1)
@click.option("--all-dead", is_flag=True, help="Every delivery in state dead.")
def dismiss(delivery_ids: tuple[int, ...], all_dead: bool) -> None:
    """Dead deliveries nobody needs: they become ignored, and age."""
    from server.db.journal import journal

    _change(delivery_ids, journal.dismiss, "dismissed", is_all_dead=all_dead)


async def _print_delivery(application: "Application", delivery_id: int) -> None:
    from server.db.journal import ledger_rows
    from server.integrations.directory import DELIVERY_HEADER
    from server.message_observer import CARRIED
    from server.operation.delivery_ledger import entry_view

    found = await application.resources.database.read(
        lambda c: ledger_rows.read_body(c, delivery_id)
    )
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id}")
    uid, headers = await application.resources.database.read(
        lambda c: ledger_rows.read_joins(c, delivery_id)
    )
    joins = {
        "uid": uid,
        "chatwootDelivery": headers.get(DELIVERY_HEADER),
        "traceparent": headers.get(CARRIED),
    }
    view = entry_view(found[0]) | joins | {"body": found[1]}
    click.echo(json.dumps(view, ensure_ascii=False, indent=2))


def _change(
    delivery_ids: tuple[int, ...],
    change: "Callable[[Connection, Iterable[int]], Awaitable[int]]",
    done: str,
    *,
    is_all_dead: bool,
) -> None:
    """Change the named deliveries, or all dead ones, and print how many were changed."""
    from server.cli.environment import run_with_application
    from server.db.journal import ledger_rows

    if bool(delivery_ids) == is_all_dead:
        raise ConfigurationError("Name deliveries by their numbers, or say --all-dead")

    async def write(connection: "Connection") -> int:
        chosen = delivery_ids or await ledger_rows.ids_in_state(connection, "dead", _MAX_DELIVERIES)
        return await change(connection, chosen)

    count = run_with_application(
        lambda application: application.resources.database.transaction(write)
    )
    click.echo(f"{count} {done}")


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise ConfigurationError("--since is a number with a unit: 90s, 30m, 6h or 7d")
    return int(match[1]) * _UNITS[match[2]]
