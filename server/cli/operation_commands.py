"""Commands for those who run the server: the journal and event logs."""

import json
import re
from collections.abc import Awaitable, Callable, Iterable

import click

from server.composition.application import Application
from server.core.times import SECOND, wall_now_us
from server.db.access.audit_log import server_actor
from server.db.engine.database import Connection
from server.db.journal import journal, ledger_rows
from server.db.state import eventlog
from server.errors import ConfigurationError, NotFound
from server.integrations.directory import DELIVERY_HEADER
from server.operation.delivery_ledger import entry_view, way_view
from server.traces import CARRIED

_LIMIT_MOST = 10_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

WithParts = Callable[[Callable[[Application], Awaitable[object]]], object]


def register(main: click.Group, with_parts: WithParts) -> None:
    """Add the commands; `with_parts` runs a call with an open database."""
    main.add_command(_deliveries(with_parts))
    main.add_command(_stream(with_parts))
    main.add_command(_trace(with_parts))
    main.add_command(_contact(with_parts))


def _deliveries(with_parts: WithParts) -> click.Group:
    @click.group()
    def deliveries() -> None:
        """Webhook deliveries: what came, and what became of it."""

    @deliveries.command("list")
    @click.option("--state", type=click.Choice(journal.STATES))
    @click.option("--since", default="24h", show_default=True, help="How far back: 30m, 6h, 7d.")
    @click.option("--integration-id", type=click.IntRange(1))
    @click.option("--limit", type=click.IntRange(1, _LIMIT_MOST), default=100, show_default=True)
    def list_(state: str | None, since: str, integration_id: int | None, limit: int) -> None:
        """A JSON line for each, newest first, without bodies."""
        since_us = wall_now_us() - _seconds(since) * SECOND
        with_parts(lambda parts: _print_list(parts, state, since_us, integration_id, limit))

    @deliveries.command("show")
    @click.argument("delivery_id", type=click.IntRange(1))
    def show(delivery_id: int) -> None:
        """One delivery with its body, credentials stripped."""
        with_parts(lambda parts: _print_one(parts, delivery_id))

    @deliveries.command("retry")
    @click.argument("delivery_ids", type=click.IntRange(1), nargs=-1)
    @click.option("--all-dead", is_flag=True, help="Every delivery in state dead.")
    def retry(delivery_ids: tuple[int, ...], all_dead: bool) -> None:
        """Put dead or ignored deliveries back in line."""
        _check_choice(delivery_ids, all_dead)
        with_parts(lambda parts: _change(parts, delivery_ids, journal.revive, "put back in line"))

    @deliveries.command("dismiss")
    @click.argument("delivery_ids", type=click.IntRange(1), nargs=-1)
    @click.option("--all-dead", is_flag=True, help="Every delivery in state dead.")
    def dismiss(delivery_ids: tuple[int, ...], all_dead: bool) -> None:
        """Dead deliveries nobody needs: they become ignored, and age."""
        _check_choice(delivery_ids, all_dead)
        with_parts(lambda parts: _change(parts, delivery_ids, journal.dismiss, "dismissed"))

    return deliveries


def _check_choice(delivery_ids: tuple[int, ...], all_dead: bool) -> None:
    if bool(delivery_ids) == all_dead:
        raise ConfigurationError("Name deliveries by their numbers, or say --all-dead")


async def _print_list(
    parts: Application, state: str | None, since_us: int, integration_id: int | None, limit: int
) -> None:
    found = await parts.resources.database.read(
        lambda c: ledger_rows.list_deliveries(
            c, state=state, since_us=since_us, integration_id=integration_id, limit=limit
        )
    )
    for entry in found:
        click.echo(json.dumps(entry_view(entry), ensure_ascii=False))


async def _print_one(parts: Application, delivery_id: int) -> None:
    found = await parts.resources.database.read(lambda c: ledger_rows.read_body(c, delivery_id))
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id}")
    uid, headers = await parts.resources.database.read(
        lambda c: ledger_rows.read_joins(c, delivery_id)
    )
    joins = {
        "uid": uid,
        "chatwootDelivery": headers.get(DELIVERY_HEADER),
        "traceparent": headers.get(CARRIED),
    }
    click.echo(
        json.dumps(entry_view(found[0]) | joins | {"body": found[1]}, ensure_ascii=False, indent=2)
    )


async def _change(
    parts: Application,
    delivery_ids: tuple[int, ...],
    change: Callable[[Connection, Iterable[int]], Awaitable[int]],
    done: str,
) -> None:
    """The named ones, or with none all that are dead."""

    async def write(connection: Connection) -> int:
        return await change(
            connection,
            delivery_ids or await ledger_rows.ids_in_state(connection, "dead", _LIMIT_MOST),
        )

    click.echo(f"{await parts.resources.database.transaction(write)} {done}")


def _stream(with_parts: WithParts) -> click.Group:
    @click.group()
    def stream() -> None:
        """Event logs."""

    @stream.command("new-epoch")
    @click.option("--company-id", type=click.IntRange(1), required=True)
    def new_epoch(company_id: int) -> None:
        """After a restored backup: every client of the company takes a snapshot again."""

        async def write(connection: Connection) -> str:
            await eventlog.lock_streams(connection, [company_id])
            return (await eventlog.start_epoch(connection, company_id)).epoch

        epoch = with_parts(lambda parts: parts.resources.database.transaction(write))
        click.echo(f"company {company_id} begins epoch {epoch}")

    return stream


def _trace(with_parts: WithParts) -> click.Group:
    @click.group()
    def trace() -> None:
        """Where a message is: its way, step by step."""

    @trace.command("message")
    @click.argument("message_id", type=click.IntRange(1))
    def message(message_id: int) -> None:
        """A message or reply, by its number here: received, stored, published, reached, sent,
        confirmed.
        """
        with_parts(lambda parts: _print_way(parts, message_id))

    @trace.command("delivery")
    @click.argument("delivery_id", type=click.IntRange(1))
    def delivery(delivery_id: int) -> None:
        """A webhook delivery, by its number: its state, and the way of the message it brought."""
        with_parts(lambda parts: _print_delivery_way(parts, delivery_id))

    return trace


def _contact(with_parts: WithParts) -> click.Group:
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

        async def run(parts: Application) -> None:
            await parts.integrations.directory.refresh()
            erased = await parts.operation.erasure.erase(server_actor(company_id), conversation_id)
            click.echo(json.dumps(erased.view()))

        with_parts(run)

    return contact


async def _print_way(parts: Application, message_id: int) -> None:
    click.echo(
        json.dumps(
            way_view(await parts.operation.ledger.way(None, message_id)),
            ensure_ascii=False,
            indent=2,
        )
    )


async def _print_delivery_way(parts: Application, delivery_id: int) -> None:
    found = await parts.resources.database.read(lambda c: ledger_rows.read_body(c, delivery_id))
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id}")
    entry, body = found
    message_id = await parts.operation.ledger.message_of(entry, body)
    way = (
        way_view(await parts.operation.ledger.way(None, message_id))
        if message_id is not None
        else None
    )
    click.echo(json.dumps(entry_view(entry) | {"way": way}, ensure_ascii=False, indent=2))


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise ConfigurationError("--since is a number with a unit: 90s, 30m, 6h or 7d")
    return int(match[1]) * _UNITS[match[2]]
