"""Our webhook at Chatwoot, and its secret.

Chatwoot makes a webhook's secret by itself and cannot be told one, so the secret is fetched when
the webhook is registered, and renewed by registering a second webhook before the first one goes:
for that moment events come twice, signed with either, and none is lost.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from server import log
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
)
from server.core.checks import integration_checks
from server.core.times import SECOND
from server.db.access import audit_log, integration_rows
from server.db.access.audit_log import Actor, server_actor
from server.db.access.integration_record import Integration
from server.db.access.integration_rows import Overview
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.integrations.directory import Directory
from server.integrations.rules import (
    failure,
    replaced_secret,
    secrets_of,
    with_events,
)
from server.settings import Settings

# what Chatwoot had queued for a deleted webhook has come by then; 153 s were seen
_QUEUED_US = 300 * SECOND
_WEBHOOK_NAME = "Omni Inbox"
_logger = log.get(__name__)
_SERVER = "server"  # who did what another company's act made necessary

ClientOf = Callable[[Integration], ChatwootClient]
Json = dict[str, Any]


class WebhookRegistration:
    """Registers webhooks at Chatwoot, renews their secrets, and removes them."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        directory: Directory,
        client_of: ClientOf,
        settings: Settings,
        settled_seconds: float,
    ) -> None:
        """`settled_seconds`: by then every process knows a secret that was just stored."""
        self._database = database
        self._vault = vault
        self._directory = directory
        self._client_of = client_of
        self._settings = settings
        self._settled_seconds = settled_seconds

    async def register(self, actor: Actor, overview: Overview) -> None:
        """Make Chatwoot call us: the webhook with the right address and events, and its secret kept
        here. May be done again at any time.

        Raises ChatwootFailed.
        """
        client = self._client_of(overview.integration)
        try:
            hook, replaced = await self._settled_hook(client, overview)
        except ChatwootError as error:
            raise failure(error) from None
        await self._keep_secret(
            actor, overview, str(hook.get("secret") or ""), replaced, "integration.register"
        )

    async def rotate_secret(self, actor: Actor, overview: Overview) -> None:
        """A new webhook with a new secret; the old one goes when every process knows the new one,
        and its secret soon after.

        Raises ChatwootFailed.
        """
        webhook_url = self._url_of(overview)
        client = self._client_of(overview.integration)
        try:
            old = [
                hook
                for hook in await client.list_webhooks()
                if integration_checks.is_ours(hook.get("url"), webhook_url)
            ]
            # Chatwoot takes each address once
            fresh_url = f"{webhook_url}{'&' if '?' in webhook_url else '?'}v={secrets.token_hex(4)}"
            hook = await with_events(
                lambda events: client.create_webhook(fresh_url, events, name=_WEBHOOK_NAME)
            )
            replaced = secrets_of(old)
            changed = await self._keep_secret(
                actor,
                overview,
                str(hook.get("secret") or ""),
                replaced,
                "integration.rotate-secret",
            )
            await asyncio.sleep(self._settled_seconds)
            for one in old:
                await client.delete_webhook(int(one["id"]))
            await self._end_soon(changed)
        except ChatwootError as error:
            raise failure(error) from None

    async def remove(self, overview: Overview) -> None:
        """Delete it, as far as Chatwoot lets us. One that stays is ignored when it calls."""
        own = overview.integration
        if not own.is_proved or own.problem or any(one.id != own.id for one in self._sharing(own)):
            return
        client, webhook_url = self._client_of(own), self._url_of(overview)
        try:
            for hook in await client.list_webhooks():
                if integration_checks.is_ours(hook.get("url"), webhook_url):
                    await client.delete_webhook(int(hook["id"]))
        except ChatwootError as error:
            _logger.info("webhook not removed", integration_id=own.id, reason=error.message)

    def _url_of(self, overview: Overview) -> str:
        return self._settings.webhook_url_of(
            overview.webhook_mode, overview.integration.address_key
        )

    async def _settled_hook(
        self, client: ChatwootClient, overview: Overview
    ) -> tuple[Json, set[str]]:
        """Our webhook in Chatwoot, found or made, with exactly the events that are used; and the
        secrets of those it replaces.
        """
        webhook_url, hooks = self._url_of(overview), await client.list_webhooks()
        ours = [hook for hook in hooks if integration_checks.is_ours(hook.get("url"), webhook_url)]
        surplus = [
            *ours[1:],
            *[hook for hook in hooks if hook not in ours and self._is_obsolete(hook, overview)],
        ]
        if not ours:
            made = await with_events(
                lambda events: client.create_webhook(webhook_url, events, name=_WEBHOOK_NAME)
            )
        elif set(ours[0].get("subscriptions") or ()) == {
            *integration_checks.EVENTS,
            *integration_checks.TYPING_EVENTS,
        }:
            made = ours[0]
        else:
            made = ours[0] | await with_events(
                lambda events: client.update_webhook(int(ours[0]["id"]), subscriptions=events)
            )
        for hook in surplus:
            await client.delete_webhook(int(hook["id"]))
        return made, secrets_of([*ours, *surplus])

    def _is_obsolete(self, hook: Json, overview: Overview) -> bool:
        """A webhook with the address this integration had before: with its key, or without one
        while no other company uses that.
        """
        own = overview.integration
        if own.webhook_key and integration_checks.is_ours(
            hook.get("url"), self._settings.webhook_url_of(overview.webhook_mode, own.webhook_key)
        ):
            return True
        is_plain = integration_checks.is_ours(
            hook.get("url"), self._settings.webhook_url_of(overview.webhook_mode)
        )
        return is_plain and not any(
            one.address_key is None and one.id != own.id for one in self._sharing(own)
        )

    def _sharing(self, own: Integration) -> list[Integration]:
        """Those of any company that the account's webhook serves as well."""
        place = (own.base_url, own.account_id)
        return [
            one
            for one in self._directory.integrations.values()
            if (one.base_url, one.account_id) == place
        ]

    async def _keep_secret(
        self, actor: Actor, overview: Overview, secret: str, replaced: set[str], act: str
    ) -> list[Integration]:
        """Inboxes of one account share its webhook, and so its secret: the company's get it, and
        those of other companies that held one of the `replaced`. They are told what their own
        Chatwoot answered, nothing that this company could make up.

        Returns those whose secret changed, as they were.
        """
        await self._directory.refresh()
        own = overview.integration
        siblings, others = self._holders(own, replaced)
        changed = [one for one in (*siblings, *others) if secret and one.webhook_secret != secret]
        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            for one in changed:
                await integration_rows.write_integration(
                    connection, self._vault, one.id, replaced_secret(one, secret, now_us)
                )
            for one in siblings:
                await integration_rows.write_integration(
                    connection, self._vault, one.id, {"chatwoot_problem": None}
                )
            detail = {
                "isSigned": bool(secret),
                "integrations": [sibling.id for sibling in siblings],
            }
            await audit_log.append_act(connection, actor, act, f"integration {own.id}", **detail)
            for one in others:
                if one in changed:
                    by = server_actor(one.company_id, _SERVER)
                    await audit_log.append_act(
                        connection, by, "integration.secret-renewed", f"integration {one.id}"
                    )

        await self._database.transaction(write)
        await self._directory.refresh()
        return changed

    def _holders(
        self, own: Integration, replaced: set[str]
    ) -> tuple[list[Integration], list[Integration]]:
        """The company's integrations that the webhook serves, and those of other companies that
        hold one of the `replaced` secrets.
        """
        sharing = [one for one in self._sharing(own) if one.address_key == own.address_key]
        siblings = [one for one in sharing if one.company_id == own.company_id]
        others = [
            one
            for one in sharing
            if one.company_id != own.company_id
            and one.is_proved
            and own.is_proved
            and one.webhook_secret
            and one.webhook_secret in replaced
        ]
        return siblings, others

    async def _end_soon(self, changed: list[Integration]) -> None:
        """Their old webhook is deleted: its secret signs nothing more than what Chatwoot had
        queued.
        """
        until = self._database.clock.now_us() + _QUEUED_US

        async def write(connection: Connection) -> None:
            for one in changed:
                if one.webhook_secret:
                    await integration_rows.write_integration(
                        connection, self._vault, one.id, {"previous_secret_until": until}
                    )

        await self._database.transaction(write)
        await self._directory.refresh()
