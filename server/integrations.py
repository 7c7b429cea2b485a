"""Administering integrations: add, register the webhook, switch, renew what is secret. Every act leaves a line in the audit log.

Chatwoot makes a webhook's secret by itself and cannot be told one, so the secret is fetched when the webhook is registered, and renewed by
registering a second webhook before the first one goes: for that moment events come twice, signed with either, and none is lost.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused, check_base_url, check_destination
from server.core import checkup
from server.core.times import SECOND
from server.db import accounts, audit, integrations
from server.db.accounts import Integration
from server.db.audit import Actor
from server.db.database import Connection, Database
from server.db.integrations import Overview
from server.db.vault import Vault
from server.directory import REFRESH_SECONDS, Directory
from server.errors import BadRequest, ChatwootFailed, NotFound, Unprocessable
from server.settings import Settings

MODES = ("live", "local")
_TOKEN_MOST = 500
_SETTLED_SECONDS = 2 * REFRESH_SECONDS  # by then every process knows a secret that was just stored
_WEBHOOK_NAME = "Omni Inbox"

ClientOf = Callable[[Integration], ChatwootClient]
Json = dict[str, Any]


class NewIntegration(msgspec.Struct, frozen=True):
    """What is asked of who adds one."""

    account_id: int
    inbox_id: int
    base_url: str
    access_token: str
    webhook_secret: str | None = None
    webhook_mode: str = "live"


class Integrations:
    """`company_id` None means: whoever runs the server, for all companies."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        directory: Directory,
        client_of: ClientOf,
        settings: Settings,
        settled_seconds: float = _SETTLED_SECONDS,
    ) -> None:
        self._database, self._vault, self._directory = database, vault, directory
        self._client_of, self._settings, self._settled_seconds = client_of, settings, settled_seconds

    async def list_all(self, company_id: int | None) -> list[Overview]:
        return await self._database.read(lambda c: integrations.read_overviews(c, self._vault, company_id))

    async def get(self, integration_id: int, company_id: int | None) -> Overview:
        """Raises NotFound, also for another company's."""
        found = await self._database.read(lambda c: integrations.read_overview(c, self._vault, integration_id, company_id))
        if found is None:
            raise NotFound(f"There is no Chatwoot integration {integration_id}")
        return found

    async def add(self, actor: Actor, new: NewIntegration) -> Overview:
        """Raises BadRequest for what cannot be right, DuplicateRow for an inbox that is there already."""
        base_url = check_base_url(new.base_url)
        await check_destination(base_url, allows_private=self._settings.chatwoot_allow_private)
        _check_mode(new.webhook_mode)
        values = {**msgspec.structs.asdict(new), "base_url": base_url, "company_id": actor.company_id}
        values["access_token"] = _checked_secret(new.access_token, "access token")
        values["webhook_secret"] = _checked_secret(new.webhook_secret, "webhook secret") if new.webhook_secret else None

        async def write(connection: Connection) -> int:
            integration_id = await accounts.add_integration(connection, self._vault, values, _now_us())
            where = {"baseUrl": base_url, "accountId": new.account_id, "inboxId": new.inbox_id}
            await audit.append_act(connection, actor, "integration.add", f"integration {integration_id}", **where)
            return integration_id

        integration_id = await self._database.transaction(write)
        await self._directory.refresh()
        return await self.get(integration_id, actor.company_id)

    async def register(self, actor: Actor, integration_id: int) -> Overview:
        """Make Chatwoot call us: the webhook with the right address and events, and its secret kept here. May be done again at any time.

        Raises NotFound, ChatwootFailed.
        """
        overview = await self.get(integration_id, actor.company_id)
        webhook_url = self._settings.webhook_url_of(overview.webhook_mode)
        client = self._client_of(overview.integration)
        try:
            hook = await self._settled_hook(client, webhook_url)
        except ChatwootError as error:
            raise _failure(error) from None
        await self._keep_secret(actor, overview, str(hook.get("secret") or ""), "integration.register")
        return await self.get(integration_id, actor.company_id)

    async def rotate_secret(self, actor: Actor, integration_id: int) -> Overview:
        """A new webhook with a new secret; the old one goes when every process knows the new one. Raises NotFound, ChatwootFailed."""
        overview = await self.get(integration_id, actor.company_id)
        webhook_url = self._settings.webhook_url_of(overview.webhook_mode)
        client = self._client_of(overview.integration)
        try:
            old = [hook for hook in await client.list_webhooks() if checkup.is_ours(hook.get("url"), webhook_url)]
            fresh_url = f"{webhook_url}?v={secrets.token_hex(4)}"  # Chatwoot takes each address once
            hook = await client.create_webhook(fresh_url, list(checkup.EVENTS), name=_WEBHOOK_NAME)
            await self._keep_secret(actor, overview, str(hook.get("secret") or ""), "integration.rotate-secret")
            await asyncio.sleep(self._settled_seconds)
            for one in old:
                await client.delete_webhook(int(one["id"]))
        except ChatwootError as error:
            raise _failure(error) from None
        return await self.get(integration_id, actor.company_id)

    async def change(self, actor: Actor, integration_id: int, changes: Json) -> Overview:
        """`is_active`, `is_webhook_active`, `webhook_mode`, `access_token`, `webhook_secret`. A new token is tried before it is kept.

        Raises NotFound, BadRequest, Unprocessable.
        """
        overview = await self.get(integration_id, actor.company_id)
        values = await self._checked_changes(overview, changes)
        if not values:
            raise BadRequest("Say what to change: isActive, isWebhookActive, webhookMode, accessToken or webhookSecret")
        told = {name: value for name, value in values.items() if name.startswith(("is_", "webhook_mode"))}
        renewed = [name for name in ("access_token", "webhook_secret") if name in values]

        async def write(connection: Connection) -> None:
            await integrations.write_integration(connection, self._vault, integration_id, values)
            detail = told | ({"renewed": renewed} if renewed else {})
            await audit.append_act(connection, actor, "integration.change", f"integration {integration_id}", **detail)

        await self._database.transaction(write)
        await self._directory.refresh()
        return await self.get(integration_id, actor.company_id)

    async def _checked_changes(self, overview: Overview, changes: Json) -> Json:
        values: Json = {}
        for name in ("is_active", "is_webhook_active"):
            if changes.get(name) is not None:
                values[name] = bool(changes[name])
        if changes.get("webhook_mode") is not None:
            _check_mode(changes["webhook_mode"])
            values["webhook_mode"] = changes["webhook_mode"]
        if changes.get("webhook_secret"):
            secret = _checked_secret(changes["webhook_secret"], "webhook secret")
            values |= {"webhook_secret": secret, "previous_webhook_secret": overview.integration.webhook_secret}
        if changes.get("access_token"):
            values["access_token"] = _checked_secret(changes["access_token"], "access token")
            await self._try_token(msgspec.structs.replace(overview.integration, access_token=values["access_token"]))
        return values

    async def _try_token(self, integration: Integration) -> None:
        """A token that does not work must not replace one that may. Raises Unprocessable."""
        try:
            profile = await self._client_of(integration).profile()
        except ChatwootError as error:
            raise Unprocessable(f"The new access token was not kept: {error.message}") from None
        failed = [finding for finding in checkup.judge_account(profile, integration.account_id or 0) if finding.state == "failed"]
        if failed and failed[0].name == "account":
            raise Unprocessable(f"The new access token was not kept: {failed[0].text}")

    async def _settled_hook(self, client: ChatwootClient, webhook_url: str) -> Json:
        """Our webhook in Chatwoot, found or made, with exactly the events that are used."""
        ours = [hook for hook in await client.list_webhooks() if checkup.is_ours(hook.get("url"), webhook_url)]
        if not ours:
            return await _with_events(lambda events: client.create_webhook(webhook_url, events, name=_WEBHOOK_NAME))
        for surplus in ours[1:]:
            await client.delete_webhook(int(surplus["id"]))
        if set(ours[0].get("subscriptions") or ()) == {*checkup.EVENTS, *checkup.TYPING_EVENTS}:
            return ours[0]
        return ours[0] | await _with_events(lambda events: client.update_webhook(int(ours[0]["id"]), subscriptions=events))

    async def _keep_secret(self, actor: Actor, overview: Overview, secret: str, act: str) -> None:
        """Inboxes of one account share its webhook, and so its secret: all of the company's are told."""
        own = overview.integration
        siblings = [
            one.integration
            for one in await self.list_all(own.company_id)
            if (one.integration.base_url, one.integration.account_id) == (own.base_url, own.account_id)
        ]

        async def write(connection: Connection) -> None:
            for sibling in siblings:
                if secret and sibling.webhook_secret != secret:
                    values = {"webhook_secret": secret, "previous_webhook_secret": sibling.webhook_secret}
                    await integrations.write_integration(connection, self._vault, sibling.id, values)
            detail = {"isSigned": bool(secret), "integrations": [sibling.id for sibling in siblings]}
            await audit.append_act(connection, actor, act, f"integration {own.id}", **detail)

        await self._database.transaction(write)
        await self._directory.refresh()


def _check_mode(mode: object) -> None:
    if mode not in MODES:
        raise BadRequest("webhookMode must be live or local")


def _checked_secret(text: str, what: str) -> str:
    """It goes into a header or a digest. Raises BadRequest without quoting it."""
    stripped = text.strip()
    if not 0 < len(stripped) <= _TOKEN_MOST or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise BadRequest(f"The {what} must be one word of letters, digits and signs, as Chatwoot shows it")
    return stripped


def _failure(error: ChatwootError) -> ChatwootFailed:
    return ChatwootFailed(f"Chatwoot did not carry it out: {error.message}")


def _now_us() -> int:
    return int(time.time() * SECOND)


async def _with_events(write: Callable[[list[str]], Awaitable[Json]]) -> Json:
    """With a customer's typing as well; a Chatwoot older than that refuses it, and gets the rest."""
    try:
        return await write([*checkup.EVENTS, *checkup.TYPING_EVENTS])
    except ChatwootRefused as error:
        if error.chatwoot_status != 422:
            raise
        return await write(list(checkup.EVENTS))
