"""`omni-inbox integration`: the same acts as on the integrations' page, for people who run the
server.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from server.cli.integration_connect import (
    ACCESS_TOKEN_STDIN,
    add,
    inboxes,
    read_access_token,
)
from server.core.choices import UNSIGNED_WEBHOOKS, WEBHOOK_MODES

if TYPE_CHECKING:
    from server.composition.application import Application
    from server.core.checks.integration_checks import Finding
    from server.db.access.audit_log import Actor
    from server.db.access.integration_rows import Overview

_MARKS = {
    "ok": "[green]ok     [/]",
    "warning": "[yellow]warning[/]",
    "failed": "[red]failed [/]",
    "unknown": "[yellow]unknown[/]",
}
_BY_ID = click.option("--integration-id", type=click.IntRange(1), required=True)


@click.group()
def integration() -> None:
    """Chatwoot inboxes of companies."""


integration.add_command(add)
integration.add_command(inboxes)


@integration.command("list")
@click.option("--company-id", type=click.IntRange(1))
def list_(company_id: int | None) -> None:
    """List integrations, a JSON line each, without their secrets."""
    from server.cli.environment import run_with_application

    for one in run_with_application(
        lambda application: application.integrations.service.list_all(company_id)
    ):
        click.echo(json.dumps(_line(one)))


@integration.command("check")
@_BY_ID
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
def check(integration_id: int, as_json: bool) -> None:
    """Check whether everything works, from here to Chatwoot and back; says what is wrong and
    what to do. Exit status 1 if so.
    """
    from server.cli.environment import run_with_application
    from server.core.checks.integration_checks import is_well

    async def run(application: "Application") -> "list[Finding]":
        return await application.operation.checkup.check(
            await application.integrations.service.get(integration_id, None)
        )

    findings = run_with_application(run)
    _print_findings(findings, as_json=as_json)
    if not is_well(findings):
        sys.exit(1)


@integration.command("edit")
@_BY_ID
@click.option(
    "--base-url", help="Chatwoot's address, after it has moved; it must be the same Chatwoot."
)
@click.option("--inbox-id", type=click.IntRange(1), help="Another inbox of the same account.")
@click.option("--access-token", help="A new access token, tried together with the rest.")
@ACCESS_TOKEN_STDIN
def edit(
    integration_id: int,
    base_url: str | None,
    inbox_id: int | None,
    access_token: str | None,
    access_token_stdin: bool,
) -> None:
    """Correct an integration's address, inbox or token. All of it is tried before any of it is
    kept.
    """
    values = {"base_url": base_url, "inbox_id": inbox_id}
    values["access_token"] = read_access_token(access_token, from_stdin=access_token_stdin)
    _change(
        integration_id,
        lambda application, actor: application.integrations.service.change(
            actor, integration_id, values
        ),
    )


@integration.command("delete")
@_BY_ID
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(integration_id: int, yes: bool) -> None:
    """Delete an integration. Its conversations stay and can be read and closed, not answered;
    its webhook goes from Chatwoot where no other inbox uses it. Added again, it goes on with
    its conversations.
    """
    from server.cli.environment import run_with_application
    from server.db.access.audit_log import server_actor

    async def count(application: "Application") -> int:
        await application.integrations.service.get(integration_id, None)
        return await application.integrations.service.count_conversations(integration_id)

    number = run_with_application(count)
    if not yes:
        click.confirm(
            f"{number} conversations stay to be read, and cannot be answered any more. Delete it?",
            abort=True,
            err=True,
        )

    async def run(application: "Application") -> None:
        own = (await application.integrations.service.get(integration_id, None)).integration
        await application.integrations.service.delete(server_actor(own.company_id), integration_id)

    run_with_application(run)
    click.echo(json.dumps({"id": integration_id, "conversations": number}))


@integration.command("register")
@_BY_ID
@click.option(
    "--mode",
    type=click.Choice(WEBHOOK_MODES),
    help="Change the mode first: PUBLIC_URL or TUNNEL_URL.",
)
def register(integration_id: int, mode: str | None) -> None:
    """Register the webhook in Chatwoot with the right events, and keep its secret. Can be run
    again.
    """

    async def run(application: "Application", actor: "Actor") -> "Overview":
        if mode is not None:
            await application.integrations.service.change(
                actor, integration_id, {"webhook_mode": mode}
            )
        return await application.integrations.service.register(actor, integration_id)

    _change(integration_id, run)


@integration.command("rotate")
@_BY_ID
@click.option(
    "--access-token", help="The new access token; it is tried before it replaces the old one."
)
@ACCESS_TOKEN_STDIN
@click.option(
    "--webhook-secret",
    help="A secret that was renewed by hand in Chatwoot; the one before is accepted beside it.",
)
@click.option(
    "--new-webhook",
    is_flag=True,
    help="Make a new webhook with a new secret in Chatwoot, then delete the old one.",
)
@click.option(
    "--end-previous",
    is_flag=True,
    help="Refuse the secret before the present one from now on, instead of for a day more.",
)
def rotate(
    integration_id: int,
    access_token: str | None,
    access_token_stdin: bool,
    webhook_secret: str | None,
    new_webhook: bool,
    end_previous: bool,
) -> None:
    """Renew what is secret, without losing a message."""
    from server.errors import ConfigurationError

    access_token = read_access_token(access_token, from_stdin=access_token_stdin)
    values = {"access_token": access_token, "webhook_secret": webhook_secret}
    if not any((access_token, webhook_secret, new_webhook, end_previous)):
        raise ConfigurationError(
            "Say what to renew: --access-token, --webhook-secret, --new-webhook or --end-previous"
        )

    async def run(application: "Application", actor: "Actor") -> "Overview":
        changed = await application.integrations.service.get(integration_id, actor.company_id)
        if access_token or webhook_secret:
            changed = await application.integrations.service.change(actor, integration_id, values)
        if new_webhook:
            changed = await application.integrations.service.rotate_secret(actor, integration_id)
        if end_previous:
            changed = await application.integrations.service.change(
                actor, integration_id, {"end_previous_secret": True}
            )
        return changed

    _change(integration_id, run)


@integration.command("signing")
@_BY_ID
@click.option(
    "--unsigned",
    type=click.Choice(UNSIGNED_WEBHOOKS),
    required=True,
    help="refused: only signed ones are accepted. keyed: for a Chatwoot before 4.12, which "
    "cannot sign; those sent to an address with a "
    "new key are taken, register it next. accepted: also at the plain address, where anybody "
    "can send them.",
)
def signing(integration_id: int, unsigned: str) -> None:
    """Say whether unsigned webhooks are accepted, of an integration that knows no secret."""
    values = {"unsigned_webhooks": unsigned}
    _change(
        integration_id,
        lambda application, actor: application.integrations.service.change(
            actor, integration_id, values
        ),
    )


def add_switch(name: str, text: str, *, is_on: bool) -> None:
    """Add the command `integration NAME`, with `text` as its help."""

    @integration.command(name, help=text)
    @_BY_ID
    @click.option("--webhook-only", is_flag=True, help="Only its webhooks (is_webhook_active).")
    @click.option(
        "--socket-only",
        is_flag=True,
        help="Only listening to the socket of Chatwoot's agents (is_socket_active).",
    )
    def command(integration_id: int, webhook_only: bool, socket_only: bool) -> None:
        if webhook_only or socket_only:
            values = {"is_webhook_active": is_on} if webhook_only else {}
            values |= {"is_socket_active": is_on} if socket_only else {}
        else:
            values = {"is_active": is_on} | ({"is_webhook_active": True} if is_on else {})
        _change(
            integration_id,
            lambda application, actor: application.integrations.service.change(
                actor, integration_id, values
            ),
        )


add_switch("enable", "Switch an integration on, with its webhooks.", is_on=True)
add_switch(
    "disable",
    "Switch an integration off: its webhooks are kept and ignored, replies are refused.",
    is_on=False,
)


def _change(
    integration_id: int, call: "Callable[[Application, Actor], Awaitable[Overview]]"
) -> None:
    from server.cli.environment import run_with_application
    from server.db.access.audit_log import server_actor

    async def run(application: "Application") -> "Overview":
        own = (await application.integrations.service.get(integration_id, None)).integration
        return await call(application, server_actor(own.company_id))

    click.echo(json.dumps(_line(run_with_application(run))))


def _print_findings(findings: "list[Finding]", *, as_json: bool) -> None:
    from server.core.checks.integration_checks import report

    if as_json:
        click.echo(json.dumps(report(findings), ensure_ascii=False))
        return
    from rich.console import Console

    from server.problems import english

    out = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        out.print(f"{_MARKS[finding.state]} {finding.name}: ", end="")
        out.print(english(finding.text), markup=False)
        if finding.remedy:
            out.print(f"        {finding.remedy}", markup=False)


def _line(one: "Overview") -> dict[str, object]:
    from server.core.times import iso_or_none
    from server.db.access.integration_record import GRANDFATHERED
    from server.integrations.rules import previous_end_us
    from server.problems import english_or_none

    own = one.integration
    return {
        "id": own.id,
        "companyId": own.company_id,
        "accountId": own.account_id,
        "inboxId": own.inbox_id,
        "inboxName": own.inbox_name,
        "baseUrl": own.base_url,
        "isActive": own.is_active,
        "isWebhookActive": own.is_webhook_active,
        "isSocketActive": own.is_socket_active,
        "webhookMode": one.webhook_mode,
        "isProved": own.proved_us > GRANDFATHERED,
        "isReceiving": own.is_proved,
        "isSigned": bool(own.secrets),
        "unsignedWebhooks": own.unsigned,
        "previousSecretEndsAt": iso_or_none(previous_end_us(own)),
        "lastWebhookAt": iso_or_none(one.webhook_seen_us),
        "problem": english_or_none(own.problem or own.chatwoot_problem),
    }
