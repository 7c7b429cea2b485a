"""Commands for integrations: the same acts as on their page, for whoever runs the server."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from rich.console import Console

from server.composition.application import Application
from server.core.checks.integration_checks import Finding, is_well, report
from server.core.times import iso_or_none
from server.db.access.accounts import GRANDFATHERED, Integration
from server.db.access.audit_log import Actor, server_actor
from server.db.access.integration_rows import Overview
from server.errors import ConfigurationError
from server.integrations.rules import MODES, UNSIGNED, previous_end_us
from server.integrations.service import NewIntegration

_TOKEN_STDIN = click.option(
    "--access-token-stdin",
    is_flag=True,
    help="Read the access token from standard input: on the command line it stands in the "
    "process list and the shell's history.",
)
T = TypeVar("T")
WithParts = Callable[[Callable[[Application], Awaitable[Any]]], Any]

_MARKS = {
    "ok": "[green]ok     [/]",
    "warning": "[yellow]warning[/]",
    "failed": "[red]failed [/]",
    "unknown": "[yellow]unknown[/]",
}
_notes = Console(stderr=True)
_out = Console(soft_wrap=True, highlight=False)
_BY_ID = click.option("--integration-id", type=click.IntRange(1), required=True)


def integration_group(with_parts: WithParts, after_add: Callable[[], object]) -> click.Group:
    """`after_add` links what an older CRM kept to the new integration."""

    @click.group()
    def integration() -> None:
        """Chatwoot inboxes of companies."""

    _add(integration, with_parts, after_add)
    _choose(integration, with_parts)
    _look(integration, with_parts)
    _edit(integration, with_parts)
    _register(integration, with_parts)
    _rotate(integration, with_parts)
    _signing(integration, with_parts)
    _switches(integration, with_parts)
    return integration


def _add(group: click.Group, with_parts: WithParts, after_add: Callable[[], object]) -> None:
    @group.command("add")
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
    @_TOKEN_STDIN
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
        type=click.Choice(MODES),
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
        type=click.Choice(UNSIGNED),
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
        help="Receive webhooks although this server cannot ask Chatwoot whether the inbox is "
        "theirs.",
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
        register, trusted, unproved = (
            values.pop(name) for name in ("register", "trusted", "unproved")
        )
        values["access_token"] = _chosen_token(
            values["access_token"], from_stdin=access_token_stdin
        )
        if not values["access_token"]:
            raise ConfigurationError(
                "An access token is needed: --access-token-stdin, or --access-token"
            )
        new = NewIntegration(
            **values,
            inbox_id=inbox_ids[0],
            webhook_mode=mode,
            is_trusted=trusted,
            accepts_unproved=unproved,
        )

        async def run(parts: Application) -> list[tuple[Integration, str]]:
            actor = server_actor(company_id)
            added = [
                one.integration
                for one in await parts.integrations.service.add_all(actor, new, inbox_ids)
            ]
            if register:
                added = [
                    (await parts.integrations.service.register(actor, one.id)).integration
                    for one in added
                ]
            if not parts.resources.settings.secret_key:
                _notes.print(
                    "[yellow]SECRET_KEY is not set: the access token is stored as it is.[/]"
                )
            return [
                (one, parts.resources.settings.webhook_url_of(mode, one.address_key))
                for one in added
            ]

        found = with_parts(run)
        after_add()
        for added, webhook_url in found:
            _print_added(added, webhook_url)


def _print_added(added: Integration, webhook_url: str) -> None:
    if not added.is_proved:
        _notes.print(
            "[yellow]Nothing is received yet: Chatwoot has not shown this inbox to the access "
            "token.[/] "
            f"Why: omni-inbox integration check --integration-id {added.id}"
        )
    click.echo(json.dumps({"id": added.id, "webhookUrl": webhook_url, "isProved": added.is_proved}))


def _choose(group: click.Group, with_parts: WithParts) -> None:
    @group.command("inboxes")
    @click.option(
        "--account-id",
        type=click.IntRange(0),
        default=0,
        help="Account number in Chatwoot; without it the first one.",
    )
    @click.option("--access-token", help="Access token of a Chatwoot administrator.")
    @_TOKEN_STDIN
    @click.option(
        "--base-url", required=True, help="Chatwoot's address, for example https://app.chatwoot.com"
    )
    def inboxes(
        account_id: int, access_token: str | None, access_token_stdin: bool, base_url: str
    ) -> None:
        """List what an access token sees in a Chatwoot: its accounts and inboxes, as JSON. Keeps
        nothing.
        """
        token = _chosen_token(access_token, from_stdin=access_token_stdin)
        if not token:
            raise ConfigurationError(
                "An access token is needed: --access-token-stdin, or --access-token"
            )
        new = NewIntegration(
            account_id=account_id, inbox_id=0, base_url=base_url, access_token=token
        )
        place = with_parts(lambda parts: parts.integrations.service.look(server_actor(0), new))
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


def _edit(group: click.Group, with_parts: WithParts) -> None:
    @group.command("edit")
    @_BY_ID
    @click.option(
        "--base-url", help="Chatwoot's address, after it has moved; it must be the same Chatwoot."
    )
    @click.option("--inbox-id", type=click.IntRange(1), help="Another inbox of the same account.")
    @click.option("--access-token", help="A new access token, tried together with the rest.")
    @_TOKEN_STDIN
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
        values["access_token"] = _chosen_token(access_token, from_stdin=access_token_stdin)
        _act(
            with_parts,
            integration_id,
            lambda parts, actor: parts.integrations.service.change(actor, integration_id, values),
        )

    @group.command("delete")
    @_BY_ID
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def delete(integration_id: int, yes: bool) -> None:
        """Delete an integration. Its conversations stay and can be read and closed, not answered;
        its webhook goes from Chatwoot where no other inbox uses it. Added again, it goes on with
        its conversations.
        """

        async def count(parts: Application) -> int:
            await parts.integrations.service.get(integration_id, None)
            return await parts.integrations.service.count_conversations(integration_id)

        number = with_parts(count)
        if not yes:
            click.confirm(
                f"{number} conversations stay to be read, and cannot be answered any more. "
                "Delete it?",
                abort=True,
                err=True,
            )

        async def run(parts: Application) -> None:
            own = (await parts.integrations.service.get(integration_id, None)).integration
            await parts.integrations.service.delete(server_actor(own.company_id), integration_id)

        with_parts(run)
        click.echo(json.dumps({"id": integration_id, "conversations": number}))


def _look(group: click.Group, with_parts: WithParts) -> None:
    @group.command("list")
    @click.option("--company-id", type=click.IntRange(1))
    def list_(company_id: int | None) -> None:
        """List integrations, a JSON line each, without their secrets."""
        for one in with_parts(lambda parts: parts.integrations.service.list_all(company_id)):
            click.echo(json.dumps(_line(one)))

    @group.command("check")
    @_BY_ID
    @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
    def check(integration_id: int, as_json: bool) -> None:
        """Look whether everything works, from here to Chatwoot and back; says what is wrong and
        what to do. Exit status 1 if so.
        """

        async def run(parts: Application) -> list[Finding]:
            return await parts.operation.checkup.look(
                await parts.integrations.service.get(integration_id, None)
            )

        findings = with_parts(run)
        _print_findings(findings, as_json=as_json)
        if not is_well(findings):
            sys.exit(1)


def _register(group: click.Group, with_parts: WithParts) -> None:
    @group.command("register")
    @_BY_ID
    @click.option(
        "--mode", type=click.Choice(MODES), help="Change the mode first: PUBLIC_URL or TUNNEL_URL."
    )
    def register(integration_id: int, mode: str | None) -> None:
        """Register the webhook in Chatwoot with the right events, and keep its secret. Can be run
        again.
        """

        async def run(parts: Application, actor: Actor) -> Overview:
            if mode is not None:
                await parts.integrations.service.change(
                    actor, integration_id, {"webhook_mode": mode}
                )
            return await parts.integrations.service.register(actor, integration_id)

        _act(with_parts, integration_id, run)


def _rotate(group: click.Group, with_parts: WithParts) -> None:
    @group.command("rotate")
    @_BY_ID
    @click.option(
        "--access-token", help="The new access token; it is tried before it replaces the old one."
    )
    @_TOKEN_STDIN
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
        access_token = _chosen_token(access_token, from_stdin=access_token_stdin)
        values = {"access_token": access_token, "webhook_secret": webhook_secret}
        if not any((access_token, webhook_secret, new_webhook, end_previous)):
            raise ConfigurationError(
                "Say what to renew: --access-token, --webhook-secret, --new-webhook or "
                "--end-previous"
            )

        async def run(parts: Application, actor: Actor) -> Overview:
            changed = await parts.integrations.service.get(integration_id, actor.company_id)
            if access_token or webhook_secret:
                changed = await parts.integrations.service.change(actor, integration_id, values)
            if new_webhook:
                changed = await parts.integrations.service.rotate_secret(actor, integration_id)
            if end_previous:
                changed = await parts.integrations.service.change(
                    actor, integration_id, {"end_previous_secret": True}
                )
            return changed

        _act(with_parts, integration_id, run)


def _signing(group: click.Group, with_parts: WithParts) -> None:
    @group.command("signing")
    @_BY_ID
    @click.option(
        "--unsigned",
        type=click.Choice(UNSIGNED),
        required=True,
        help="refused: only signed ones are taken. keyed: for a Chatwoot before 4.12, which "
        "cannot sign; those sent to an address with a "
        "new key are taken, register it next. accepted: also at the plain address, where anybody "
        "can send them.",
    )
    def signing(integration_id: int, unsigned: str) -> None:
        """Say whether unsigned webhooks are taken, of an integration that knows no secret."""
        values = {"unsigned_webhooks": unsigned}
        _act(
            with_parts,
            integration_id,
            lambda parts, actor: parts.integrations.service.change(actor, integration_id, values),
        )


def _chosen_token(given: str | None, *, from_stdin: bool) -> str | None:
    """The access token from the command line or from standard input. Raises ConfigurationError."""
    if not from_stdin:
        return given
    if given:
        raise ConfigurationError(
            "Give the access token once: --access-token or --access-token-stdin"
        )
    if not (read := sys.stdin.readline().strip()):
        raise ConfigurationError("There is no access token on standard input")
    return read


def _switches(group: click.Group, with_parts: WithParts) -> None:
    def switch(name: str, text: str, *, is_on: bool) -> None:
        @group.command(name, help=text)
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
            _act(
                with_parts,
                integration_id,
                lambda parts, actor: parts.integrations.service.change(
                    actor, integration_id, values
                ),
            )

    switch("enable", "Switch an integration on, with its webhooks.", is_on=True)
    switch(
        "disable",
        "Switch an integration off: its webhooks are kept and ignored, replies are refused.",
        is_on=False,
    )


def _act(
    with_parts: WithParts,
    integration_id: int,
    call: Callable[[Application, Actor], Awaitable[Overview]],
) -> None:
    async def run(parts: Application) -> Overview:
        own = (await parts.integrations.service.get(integration_id, None)).integration
        return await call(parts, server_actor(own.company_id))

    click.echo(json.dumps(_line(with_parts(run))))


def _print_findings(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report(findings), ensure_ascii=False))
        return
    for finding in findings:
        _out.print(f"{_MARKS[finding.state]} {finding.name}: ", end="")
        _out.print(finding.text, markup=False)
        if finding.remedy:
            _out.print(f"        {finding.remedy}", markup=False)


def _line(one: Overview) -> dict[str, object]:
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
        "problem": own.problem or own.chatwoot_problem,
    }
