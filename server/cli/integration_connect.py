"""`omni-inbox integration add` and `inboxes`: connecting a company with a Chatwoot."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from server.core.choices import UNSIGNED_WEBHOOKS, WEBHOOK_MODES

if TYPE_CHECKING:
    from server.composition.application import Application
    from server.db.access.integration_record import Integration
    from server.integrations.service import NewIntegration

ACCESS_TOKEN_STDIN = click.option(
    "--access-token-stdin",
    is_flag=True,
    help="Read the access token from standard input: on the command line it stands in the "
    "process list and the shell's history.",
)


@click.command("add")
@click.option("--company-id", type=click.IntRange(1), required=True)
@click.option(
    "--account-id",
    type=click.IntRange(1),
    required=True,
    help="Account number in Chatwoot's address: /app/accounts/<number>/",
)
@click.option(
    "--inbox-id",
    "inbox_ids",
    type=click.IntRange(1),
    required=True,
    multiple=True,
    help="Inbox number in Chatwoot's address: /settings/inboxes/<number>; may be given "
    "several times. The command inboxes lists them.",
)
@click.option(
    "--access-token",
    help="Access token of a Chatwoot administrator: Profile settings, at the end of the page.",
)
@ACCESS_TOKEN_STDIN
@click.option(
    "--base-url", required=True, help="Chatwoot's address, for example https://app.chatwoot.com"
)
@click.option(
    "--webhook-secret",
    help="Secret that Chatwoot shows for the webhook (4.12 and later); --register fetches it "
    "by itself.",
)
@click.option(
    "--mode",
    type=click.Choice(WEBHOOK_MODES),
    default="live",
    show_default=True,
    help="Address of the webhook: PUBLIC_URL or TUNNEL_URL.",
)
@click.option(
    "--register",
    is_flag=True,
    help="Register the webhook in Chatwoot as well, and fetch its secret.",
)
@click.option(
    "--unsigned",
    type=click.Choice(UNSIGNED_WEBHOOKS),
    default="refused",
    show_default=True,
    help="As of the command signing, which tells more.",
)
@click.option(
    "--unproved",
    is_flag=True,
    help="Keep it although Chatwoot cannot be asked now; nothing is received until it answers.",
)
@click.option(
    "--trusted",
    is_flag=True,
    help="Receive webhooks although this server cannot ask Chatwoot whether the inbox is theirs.",
)
def add(
    company_id: int,
    mode: str,
    inbox_ids: tuple[int, ...],
    access_token_stdin: bool,
    **values: Any,
) -> None:
    """Add Chatwoot inboxes to a company. Chatwoot is asked first; nothing that is wrong is
    kept. Prints JSON: id, webhookUrl, isProved, a line each.
    """
    from server.cli.environment import read_settings, run_with_application
    from server.db import migrations
    from server.integrations.service import NewIntegration

    register, trusted, unproved = (values.pop(name) for name in ("register", "trusted", "unproved"))
    values["access_token"] = _required_access_token(
        values["access_token"], from_stdin=access_token_stdin
    )
    new = NewIntegration(
        **values,
        inbox_id=inbox_ids[0],
        webhook_mode=mode,
        is_trusted=trusted,
        accepts_unproved=unproved,
    )

    added = run_with_application(
        lambda application: _add_inboxes(
            application, company_id, new, inbox_ids, is_registered=register
        )
    )
    # conversations an older CRM kept are linked to the new integration
    migrations.upgrade(read_settings().database_url)
    for integration, webhook_url in added:
        _print_added(integration, webhook_url)


async def _add_inboxes(
    application: "Application",
    company_id: int,
    new: "NewIntegration",
    inbox_ids: tuple[int, ...],
    *,
    is_registered: bool,
) -> "list[tuple[Integration, str]]":
    """Add an integration for each inbox; returns them with the addresses of their webhooks."""
    from server.cli.environment import notes
    from server.db.access.audit_log import server_actor

    actor, service = server_actor(company_id), application.integrations.service
    added = [one.integration for one in await service.add_all(actor, new, inbox_ids)]
    if is_registered:
        added = [(await service.register(actor, one.id)).integration for one in added]
    settings = application.resources.settings
    if not settings.secret_key:
        notes().print("[yellow]SECRET_KEY is not set: the access token is stored as it is.[/]")
    return [(one, settings.webhook_url_of(new.webhook_mode, one.address_key)) for one in added]


def _print_added(added: "Integration", webhook_url: str) -> None:
    from server.cli.environment import notes

    if not added.is_proved:
        notes().print(
            "[yellow]Nothing is received yet: Chatwoot has not shown this inbox to the access "
            "token.[/] "
            f"Why: omni-inbox integration check --integration-id {added.id}"
        )
    click.echo(json.dumps({"id": added.id, "webhookUrl": webhook_url, "isProved": added.is_proved}))


@click.command("inboxes")
@click.option(
    "--account-id",
    type=click.IntRange(0),
    default=0,
    help="Account number in Chatwoot; without it the first one.",
)
@click.option("--access-token", help="Access token of a Chatwoot administrator.")
@ACCESS_TOKEN_STDIN
@click.option(
    "--base-url", required=True, help="Chatwoot's address, for example https://app.chatwoot.com"
)
def inboxes(
    account_id: int, access_token: str | None, access_token_stdin: bool, base_url: str
) -> None:
    """List what an access token sees in a Chatwoot: its accounts and inboxes, as JSON. Keeps
    nothing.
    """
    from server.cli.environment import run_with_application
    from server.db.access.audit_log import server_actor
    from server.integrations.service import NewIntegration

    token = _required_access_token(access_token, from_stdin=access_token_stdin)
    new = NewIntegration(account_id=account_id, inbox_id=0, base_url=base_url, access_token=token)
    place = run_with_application(
        lambda application: application.integrations.service.inspect(server_actor(0), new)
    )
    click.echo(
        json.dumps(
            {
                "owner": place.owner,
                "accountId": place.account_id,
                "accounts": [{"id": number, "name": name} for number, name in place.accounts],
                "inboxes": [
                    {"id": number, "name": name, "channel": channel}
                    for number, name, channel in place.inboxes
                ],
            },
            ensure_ascii=False,
        )
    )


def read_access_token(given: str | None, *, from_stdin: bool) -> str | None:
    """The access token from the command line or from standard input. Raises ConfigurationError."""
    from server.errors import ConfigurationError

    if not from_stdin:
        return given
    if given:
        raise ConfigurationError(
            "Give the access token once: --access-token or --access-token-stdin"
        )
    if not (read := sys.stdin.readline().strip()):
        raise ConfigurationError("There is no access token on standard input")
    return read


def _required_access_token(given: str | None, *, from_stdin: bool) -> str:
    from server.errors import ConfigurationError

    token = read_access_token(given, from_stdin=from_stdin)
    if not token:
        raise ConfigurationError(
            "An access token is needed: --access-token-stdin, or --access-token"
        )
    return token
