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
from server.db.accounts import GRANDFATHERED, Integration
from server.db.audit import Actor, server_actor
from server.db.database import Connection, Database
from server.db.integrations import Overview
from server.db.vault import Vault
from server.directory import REFRESH_SECONDS, Directory
from server.errors import BadRequest, ChatwootFailed, NotFound, Unprocessable
from server.proofs import Proofs, previous_secret_us
from server.settings import Settings

MODES = ("live", "local")
UNSIGNED = ("refused", "keyed", "accepted")
_QUEUED_US = 300 * SECOND  # what Chatwoot had queued for a deleted webhook has come by then; 153 s were seen
_TOKEN_MOST = 500
_SETTLED_SECONDS = 2 * REFRESH_SECONDS  # by then every process knows a secret that was just stored
_WEBHOOK_NAME = "Omni Inbox"
_SERVER = "server"  # who did what another company's act made necessary

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
    unsigned: str = "refused"
    is_trusted: bool = False  # by whoever runs the server: taken as proved without asking Chatwoot


class Integrations:
    """`company_id` None means: whoever runs the server, for all companies."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        directory: Directory,
        client_of: ClientOf,
        proofs: Proofs,
        settings: Settings,
        settled_seconds: float = _SETTLED_SECONDS,
    ) -> None:
        self._database, self._vault, self._directory, self._proofs = database, vault, directory, proofs
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
        """Chatwoot is asked at once whether the inbox is theirs; added all the same when it does not say so yet.

        Raises BadRequest for what cannot be right, DuplicateRow for an inbox of the company that is there already.
        """
        base_url = check_base_url(new.base_url)
        await check_destination(
            base_url,
            allows_private=self._settings.chatwoot_allow_private,
            private_hosts=self._settings.private_hosts,
        )
        _check_mode(new.webhook_mode)
        _check_unsigned(actor, new.unsigned)
        values = {**msgspec.structs.asdict(new), "base_url": base_url, "company_id": actor.company_id}
        values["access_token"] = _checked_secret(new.access_token, "access token")
        values["webhook_secret"] = _checked_secret(new.webhook_secret, "webhook secret") if new.webhook_secret else None
        values["proved_us"] = _now_us() if new.is_trusted else None
        values["webhook_key"] = _new_key() if new.unsigned == "keyed" else None

        async def write(connection: Connection) -> int:
            integration_id = await accounts.add_integration(connection, self._vault, values, _now_us())
            where = {"baseUrl": base_url, "accountId": new.account_id, "inboxId": new.inbox_id}
            await audit.append_act(connection, actor, "integration.add", f"integration {integration_id}", **where)
            return integration_id

        integration_id = await self._database.transaction(write)
        await self._directory.refresh()
        return await self.prove(integration_id, actor.company_id)

    async def prove(self, integration_id: int, company_id: int | None) -> Overview:
        """Ask Chatwoot, where it has not shown the inbox to the access token yet. Raises NotFound."""
        overview = await self.get(integration_id, company_id)
        if overview.integration.proved_us > GRANDFATHERED:
            return overview
        await self._proofs.prove(overview.integration)
        return await self.get(integration_id, company_id)

    async def register(self, actor: Actor, integration_id: int) -> Overview:
        """Make Chatwoot call us: the webhook with the right address and events, and its secret kept here. May be done again at any time.

        Raises NotFound, ChatwootFailed.
        """
        overview = await self.prove(integration_id, actor.company_id)
        client = self._client_of(overview.integration)
        try:
            hook, replaced = await self._settled_hook(client, overview)
        except ChatwootError as error:
            raise _failure(error) from None
        await self._keep_secret(actor, overview, str(hook.get("secret") or ""), replaced, "integration.register")
        return await self.get(integration_id, actor.company_id)

    async def rotate_secret(self, actor: Actor, integration_id: int) -> Overview:
        """A new webhook with a new secret; the old one goes when every process knows the new one, and its secret soon after.

        Raises NotFound, ChatwootFailed.
        """
        overview = await self.prove(integration_id, actor.company_id)
        webhook_url = self._url_of(overview)
        client = self._client_of(overview.integration)
        try:
            old = [hook for hook in await client.list_webhooks() if checkup.is_ours(hook.get("url"), webhook_url)]
            fresh_url = f"{webhook_url}{'&' if '?' in webhook_url else '?'}v={secrets.token_hex(4)}"  # Chatwoot takes each address once
            hook = await client.create_webhook(fresh_url, list(checkup.EVENTS), name=_WEBHOOK_NAME)
            replaced = _secrets_of(old)
            changed = await self._keep_secret(actor, overview, str(hook.get("secret") or ""), replaced, "integration.rotate-secret")
            await asyncio.sleep(self._settled_seconds)
            for one in old:
                await client.delete_webhook(int(one["id"]))
            await self._end_soon(changed)
        except ChatwootError as error:
            raise _failure(error) from None
        return await self.get(integration_id, actor.company_id)

    async def change(self, actor: Actor, integration_id: int, changes: Json) -> Overview:
        """`is_active`, `is_webhook_active`, `is_socket_active`, `webhook_mode`, `access_token`, `webhook_secret`, `unsigned_webhooks`,
        `end_previous_secret`.

        A new token is tried before it is kept. Raises NotFound, BadRequest, Unprocessable.
        """
        overview = await self.get(integration_id, actor.company_id)
        values = await self._checked_changes(actor, overview, changes)
        if not values:
            raise BadRequest(
                "Say what to change: isActive, isWebhookActive, isSocketActive, webhookMode, accessToken, webhookSecret, "
                "unsignedWebhooks or endPreviousSecret"
            )
        told = {name: value for name, value in values.items() if name.startswith(("is_", "webhook_mode", "unsigned"))}
        renewed = [name for name in ("access_token", "webhook_secret", "webhook_key") if name in values]
        if changes.get("end_previous_secret"):
            told["end_previous_secret"] = True

        async def write(connection: Connection) -> None:
            await integrations.write_integration(connection, self._vault, integration_id, values)
            detail = told | ({"renewed": renewed} if renewed else {})
            await audit.append_act(connection, actor, "integration.change", f"integration {integration_id}", **detail)

        await self._database.transaction(write)
        await self._directory.refresh()
        return await (self.prove if "access_token" in values else self.get)(integration_id, actor.company_id)

    async def _checked_changes(self, actor: Actor, overview: Overview, changes: Json) -> Json:
        values: Json = {}
        for name in ("is_active", "is_webhook_active", "is_socket_active"):
            if changes.get(name) is not None:
                values[name] = bool(changes[name])
        if changes.get("webhook_mode") is not None:
            _check_mode(changes["webhook_mode"])
            values["webhook_mode"] = changes["webhook_mode"]
        if changes.get("webhook_secret"):
            secret = _checked_secret(changes["webhook_secret"], "webhook secret")
            values |= _replaced_secret(overview.integration, secret)
        if changes.get("end_previous_secret"):
            values |= {"previous_webhook_secret": None, "previous_secret_until": None}
        if changes.get("unsigned_webhooks") is not None:
            _check_unsigned(actor, changes["unsigned_webhooks"])
            values["unsigned_webhooks"] = changes["unsigned_webhooks"]
            if changes["unsigned_webhooks"] == "keyed":
                values["webhook_key"] = _new_key()
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

    def _url_of(self, overview: Overview) -> str:
        return self._settings.webhook_url_of(overview.webhook_mode, overview.integration.address_key)

    async def _settled_hook(self, client: ChatwootClient, overview: Overview) -> tuple[Json, set[str]]:
        """Our webhook in Chatwoot, found or made, with exactly the events that are used; and the secrets of those it replaces."""
        webhook_url, hooks = self._url_of(overview), await client.list_webhooks()
        ours = [hook for hook in hooks if checkup.is_ours(hook.get("url"), webhook_url)]
        surplus = [*ours[1:], *[hook for hook in hooks if hook not in ours and self._is_obsolete(hook, overview)]]
        if not ours:
            made = await _with_events(lambda events: client.create_webhook(webhook_url, events, name=_WEBHOOK_NAME))
        elif set(ours[0].get("subscriptions") or ()) == {*checkup.EVENTS, *checkup.TYPING_EVENTS}:
            made = ours[0]
        else:
            made = ours[0] | await _with_events(lambda events: client.update_webhook(int(ours[0]["id"]), subscriptions=events))
        for hook in surplus:
            await client.delete_webhook(int(hook["id"]))
        return made, _secrets_of([*ours, *surplus])

    def _is_obsolete(self, hook: Json, overview: Overview) -> bool:
        """A webhook with the address this integration had before: with its key, or without one while no other company uses that."""
        own = overview.integration
        if own.webhook_key and checkup.is_ours(hook.get("url"), self._settings.webhook_url_of(overview.webhook_mode, own.webhook_key)):
            return True
        is_plain = checkup.is_ours(hook.get("url"), self._settings.webhook_url_of(overview.webhook_mode))
        return is_plain and not any(one.address_key is None and one.id != own.id for one in self._sharing(own))

    def _sharing(self, own: Integration) -> list[Integration]:
        """Those of any company that the account's webhook serves as well."""
        place = (own.base_url, own.account_id)
        return [one for one in self._directory.integrations.values() if (one.base_url, one.account_id) == place]

    async def _keep_secret(
        self, actor: Actor, overview: Overview, secret: str, replaced: set[str], act: str
    ) -> list[Integration]:
        """Inboxes of one account share its webhook, and so its secret: the company's get it, and those of other companies that held one
        of the `replaced`. They are told what their own Chatwoot answered, nothing that this company could make up.

        Returns those whose secret changed, as they were.
        """
        await self._directory.refresh()
        own = overview.integration
        sharing = [one for one in self._sharing(own) if one.address_key == own.address_key]
        siblings = [one for one in sharing if one.company_id == own.company_id]
        others = [one for one in sharing if one.company_id != own.company_id and one.is_proved and own.is_proved]
        others = [one for one in others if one.webhook_secret and one.webhook_secret in replaced]
        changed = [one for one in (*siblings, *others) if secret and one.webhook_secret != secret]

        async def write(connection: Connection) -> None:
            for one in changed:
                await integrations.write_integration(connection, self._vault, one.id, _replaced_secret(one, secret))
            detail = {"isSigned": bool(secret), "integrations": [sibling.id for sibling in siblings]}
            await audit.append_act(connection, actor, act, f"integration {own.id}", **detail)
            for one in others:
                if one in changed:
                    by = server_actor(one.company_id, _SERVER)
                    await audit.append_act(connection, by, "integration.secret-renewed", f"integration {one.id}")

        await self._database.transaction(write)
        await self._directory.refresh()
        return changed

    async def _end_soon(self, changed: list[Integration]) -> None:
        """Their old webhook is deleted: its secret signs nothing more than what Chatwoot had queued."""
        until = _now_us() + _QUEUED_US

        async def write(connection: Connection) -> None:
            for one in changed:
                if one.webhook_secret:
                    await integrations.write_integration(connection, self._vault, one.id, {"previous_secret_until": until})

        await self._database.transaction(write)
        await self._directory.refresh()


def previous_end_us(own: Integration) -> int | None:
    """Until when a replaced secret counts; None where there is none, or it has ended."""
    if not own.previous_webhook_secret or own.previous_webhook_secret not in own.secrets:
        return None
    return own.previous_until_us or None


def _replaced_secret(integration: Integration, secret: str) -> Json:
    """The columns of a new secret; the one before counts for a day."""
    before = integration.webhook_secret
    until = _now_us() + previous_secret_us() if before else None
    return {"webhook_secret": secret, "previous_webhook_secret": before, "previous_secret_until": until}


def _secrets_of(hooks: list[Json]) -> set[str]:
    return {str(hook["secret"]) for hook in hooks if hook.get("secret")}


def _new_key() -> str:
    return secrets.token_urlsafe(24)


def _check_unsigned(actor: Actor, unsigned: object) -> None:
    """At the plain address anybody may send what is not signed, and only numbers say whose it is: for who runs the server to allow."""
    if unsigned not in UNSIGNED or (unsigned == "accepted" and actor.agent_id is not None):
        raise BadRequest("unsignedWebhooks must be refused or keyed")


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
