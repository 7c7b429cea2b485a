"""Administering integrations: add, register the webhook, switch, renew what is secret. Every act
leaves a line in the audit log.

Chatwoot makes a webhook's secret by itself and cannot be told one, so the secret is fetched when
the webhook is registered, and renewed by registering a second webhook before the first one goes:
for that moment events come twice, signed with either, and none is lost.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from server import log
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    check_base_url,
    check_destination,
)
from server.core.checks import integration_checks
from server.core.times import SECOND
from server.db.access import audit_log, integration_rows
from server.db.access.audit_log import Actor, server_actor
from server.db.access.integration_record import GRANDFATHERED, Integration
from server.db.access.integration_rows import Overview
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import (
    BadRequest,
    ChatwootAway,
    NotFound,
    Unprocessable,
)
from server.integrations.directory import REFRESH_SECONDS, Directory
from server.integrations.proofs import HELD, Proofs
from server.integrations.rules import (
    check_mode,
    check_token_is_written,
    check_unsigned,
    checked_secret,
    failure,
    new_key,
    replaced_secret,
    secrets_of,
    with_events,
)
from server.integrations.trials import Place, Trial, reason_within
from server.problems import Problem
from server.settings import Settings

# what Chatwoot had queued for a deleted webhook has come by then; 153 s were seen
_QUEUED_US = 300 * SECOND
_SETTLED_SECONDS = 2 * REFRESH_SECONDS  # by then every process knows a secret that was just stored
_WEBHOOK_NAME = "Omni Inbox"
_logger = log.get(__name__)
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
    accepts_unproved: bool = False  # kept where Chatwoot cannot be asked now, by a person's choice


class Integrations:
    """`company_id` None means: whoever runs the server, for all companies."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        directory: Directory,
        client_of: ClientOf,
        proofs: Proofs,
        trial: Trial,
        settings: Settings,
        settled_seconds: float = _SETTLED_SECONDS,
    ) -> None:
        self._database = database
        self._vault = vault
        self._directory = directory
        self._proofs = proofs
        self._client_of = client_of
        self._settings = settings
        self._settled_seconds = settled_seconds
        self._trial = trial

    async def list_all(self, company_id: int | None) -> list[Overview]:
        return await self._database.read(
            lambda c: integration_rows.read_overviews(c, self._vault, company_id)
        )

    async def get(self, integration_id: int, company_id: int | None) -> Overview:
        """Raises NotFound, also for another company's."""
        found = await self._database.read(
            lambda c: integration_rows.read_overview(c, self._vault, integration_id, company_id)
        )
        if found is None:
            raise NotFound(Problem.of("integration.unknown", id=integration_id))
        return found

    async def add(self, actor: Actor, new: NewIntegration) -> Overview:
        """See `add_all`, for one inbox."""
        [added] = await self.add_all(actor, new, [new.inbox_id])
        return added

    async def add_all(
        self, actor: Actor, new: NewIntegration, inbox_ids: Sequence[int]
    ) -> list[Overview]:
        """Several inboxes of one account, all or none: Chatwoot is asked first, and nothing that is
        wrong is kept.

        Raises BadRequest and Unprocessable for what is wrong, ChatwootAway when Chatwoot cannot be
        asked (unless `accepts_unproved`), DuplicateRow for an inbox of the company that is there
        already.
        """
        draft = await self._draft(actor, new)
        names = (
            {}
            if new.is_trusted
            else await self._tried(draft, inbox_ids, accepts_unproved=new.accepts_unproved)
        )
        values = {
            **msgspec.structs.asdict(new),
            "base_url": draft.base_url,
            "company_id": actor.company_id,
        }
        values |= {"access_token": draft.access_token, "webhook_secret": draft.webhook_secret}
        now_us = self._database.clock.now_us()
        values["proved_us"] = now_us if new.is_trusted else None

        async def write(connection: Connection) -> list[int]:
            added = []
            for inbox_id in inbox_ids:
                key = new_key() if new.unsigned == "keyed" else None
                own = values | {
                    "inbox_id": inbox_id,
                    "webhook_key": key,
                    "inbox_name": names.get(inbox_id),
                }
                added.append(
                    await integration_rows.add_integration(connection, self._vault, own, now_us)
                )
                where = {
                    "baseUrl": draft.base_url,
                    "accountId": new.account_id,
                    "inboxId": inbox_id,
                }
                await audit_log.append_act(
                    connection, actor, "integration.add", f"integration {added[-1]}", **where
                )
            return added

        added = await self._database.transaction(write)
        await self._directory.refresh()
        return [await self.prove(integration_id, actor.company_id) for integration_id in added]

    async def look(self, actor: Actor, new: NewIntegration) -> Place:
        """What there is to connect at an address, as its access token sees it; nothing is kept.
        `account_id` 0: the first account.

        Raises BadRequest, Unprocessable, ChatwootAway.
        """
        return await self._trial.look(await self._draft(actor, new), tries_files=True)

    async def _draft(self, actor: Actor, new: NewIntegration) -> Integration:
        """As it would be kept; its number is nobody's."""
        base_url = await self._checked_address(new.base_url)
        check_mode(new.webhook_mode)
        check_unsigned(actor, new.unsigned)
        return Integration(
            id=0,
            company_id=actor.company_id,
            account_id=new.account_id,
            inbox_id=new.inbox_id,
            base_url=base_url,
            access_token=checked_secret(new.access_token, Problem.of("noun.access_token")),
            is_active=True,
            is_webhook_active=True,
            webhook_secret=checked_secret(new.webhook_secret, Problem.of("noun.webhook_secret"))
            if new.webhook_secret
            else None,
            previous_webhook_secret=None,
        )

    async def _checked_address(self, text: str) -> str:
        base_url = check_base_url(text)
        allows_private, hosts = self._settings.chatwoot_allow_private, self._settings.private_hosts
        await check_destination(base_url, allows_private=allows_private, private_hosts=hosts)
        return base_url

    async def _tried(
        self, draft: Integration, inbox_ids: Sequence[int], *, accepts_unproved: bool
    ) -> dict[int, str]:
        """The inboxes' names."""
        try:
            return await self._trial.check(draft, inbox_ids)
        except ChatwootAway as error:
            if not accepts_unproved:
                raise ChatwootAway(Problem.of("trial.not_stored", what=error.problem)) from None
            return {}

    async def prove(self, integration_id: int, company_id: int | None) -> Overview:
        """Ask Chatwoot, where it has not shown the inbox to the access token yet. Raises
        NotFound.
        """
        overview = await self.get(integration_id, company_id)
        if overview.integration.proved_us > GRANDFATHERED:
            return overview
        await self._proofs.prove(overview.integration)
        return await self.get(integration_id, company_id)

    async def register(self, actor: Actor, integration_id: int) -> Overview:
        """Make Chatwoot call us: the webhook with the right address and events, and its secret kept
        here. May be done again at any time.

        Raises NotFound, ChatwootFailed.
        """
        overview = await self.prove(integration_id, actor.company_id)
        client = self._client_of(overview.integration)
        try:
            hook, replaced = await self._settled_hook(client, overview)
        except ChatwootError as error:
            raise failure(error) from None
        await self._keep_secret(
            actor, overview, str(hook.get("secret") or ""), replaced, "integration.register"
        )
        return await self.get(integration_id, actor.company_id)

    async def rotate_secret(self, actor: Actor, integration_id: int) -> Overview:
        """A new webhook with a new secret; the old one goes when every process knows the new one,
        and its secret soon after.

        Raises NotFound, ChatwootFailed.
        """
        overview = await self.prove(integration_id, actor.company_id)
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
        return await self.get(integration_id, actor.company_id)

    async def change(self, actor: Actor, integration_id: int, changes: Json) -> Overview:
        """`is_active`, `is_webhook_active`, `is_socket_active`, `webhook_mode`, `access_token`,
        `webhook_secret`, `unsigned_webhooks`, `end_previous_secret`, `base_url`, `inbox_id`.

        A new token, address or inbox is tried before it is kept. Raises NotFound, BadRequest,
        Unprocessable, ChatwootAway.
        """
        overview = await self.get(integration_id, actor.company_id)
        values = await self._checked_changes(actor, overview, changes)
        if not values:
            raise BadRequest(Problem.of("integration.say_what"))
        shown = ("is_", "webhook_mode", "unsigned", "base_url", "page_id")
        told = {name: value for name, value in values.items() if name.startswith(shown)}
        renewed = [
            name for name in ("access_token", "webhook_secret", "webhook_key") if name in values
        ]
        if changes.get("end_previous_secret"):
            told["end_previous_secret"] = True
        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            if "page_id" in values:
                await integration_rows.check_free(
                    connection, overview.integration, values["page_id"]
                )
            written = values
            if "page_id" in values or "base_url" in values:
                await _lock_place(connection, overview.integration, values)
                written = values | {"proved_at": now_us}
            await integration_rows.write_integration(
                connection, self._vault, integration_id, written
            )
            detail = told | ({"renewed": renewed} if renewed else {})
            await audit_log.append_act(
                connection, actor, "integration.change", f"integration {integration_id}", **detail
            )

        await self._database.transaction(write)
        await self._directory.refresh()
        return await (self.prove if "access_token" in values else self.get)(
            integration_id, actor.company_id
        )

    async def _checked_changes(self, actor: Actor, overview: Overview, changes: Json) -> Json:
        values: Json = {}
        for name in ("is_active", "is_webhook_active", "is_socket_active"):
            if changes.get(name) is not None:
                values[name] = bool(changes[name])
        if changes.get("webhook_mode") is not None:
            check_mode(changes["webhook_mode"])
            values["webhook_mode"] = changes["webhook_mode"]
        if changes.get("webhook_secret"):
            secret = checked_secret(changes["webhook_secret"], Problem.of("noun.webhook_secret"))
            values |= replaced_secret(overview.integration, secret, self._database.clock.now_us())
        if changes.get("end_previous_secret"):
            values |= {"previous_webhook_secret": None, "previous_secret_until": None}
        if changes.get("unsigned_webhooks") is not None:
            check_unsigned(actor, changes["unsigned_webhooks"])
            values["unsigned_webhooks"] = changes["unsigned_webhooks"]
            if changes["unsigned_webhooks"] == "keyed":
                values["webhook_key"] = new_key()
        return values | await self._tried_changes(actor, overview.integration, changes)

    async def _tried_changes(self, actor: Actor, own: Integration, changes: Json) -> Json:
        """The token, the address and the inbox: together they must work, or none of them is kept.
        Raises Unprocessable, ChatwootAway.
        """
        values: Json = {}
        if changes.get("access_token"):
            values["access_token"] = checked_secret(
                changes["access_token"], Problem.of("noun.access_token")
            )
        if changes.get("base_url"):
            values["base_url"] = await self._checked_address(changes["base_url"])
        if changes.get("inbox_id"):
            values["inbox_id"] = int(changes["inbox_id"])
        if not values:
            return {}
        check_token_is_written(actor, own, values)
        changed = msgspec.structs.replace(own, **values)
        if "base_url" in values:
            await self._check_moved(changed)
        inbox_ids = [] if changed.inbox_id is None else [changed.inbox_id]
        try:
            names = await self._trial.check(changed, inbox_ids)
        except Unprocessable as error:
            if changes.get("access_token") and len(values) == 1:
                raise Unprocessable(
                    Problem.of("token.not_kept", why=reason_within(error.problem))
                ) from None
            raise
        if changed.inbox_id is not None and changed.inbox_id in names:
            values["inbox_name"] = names[changed.inbox_id]
        if "inbox_id" in values:
            values["page_id"] = str(values.pop("inbox_id"))
        return values

    async def _check_moved(self, changed: Integration) -> None:
        """Another installation has numbers of its own, so that its conversations would be taken for
        ours. Raises Unprocessable, ChatwootAway.
        """
        known = await self._database.read(
            lambda c: integration_rows.read_known_conversation(c, changed.id)
        )
        if known is not None and not await self._trial.has_conversation(changed, *known):
            what = Problem.of("chatwoot.another", address=changed.base_url)
            remedy = Problem.of("integration.add_own")
            raise Unprocessable(Problem.of("trial.not_stored_remedy", what=what, remedy=remedy))

    async def count_conversations(self, integration_id: int) -> int:
        return await self._database.read(
            lambda c: integration_rows.count_conversations(c, integration_id)
        )

    async def delete(self, actor: Actor, integration_id: int) -> None:
        """Its conversations stay and can be read and closed, but not be answered; its token and
        secrets are forgotten; its webhook goes, where no other inbox uses it. Connected again it
        goes on with its conversations. Raises NotFound.
        """
        overview = await self.get(integration_id, actor.company_id)
        await self._directory.refresh()
        await self._remove_hook(overview)

        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            await integration_rows.write_integration(
                connection,
                self._vault,
                integration_id,
                integration_rows.DELETED | {"deleted_at": now_us},
            )
            await audit_log.append_act(
                connection, actor, "integration.delete", f"integration {integration_id}"
            )

        await self._database.transaction(write)
        await self._directory.refresh()

    async def _remove_hook(self, overview: Overview) -> None:
        """As far as Chatwoot lets us: what cannot be removed calls us in vain, and is ignored."""
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
        sharing = [one for one in self._sharing(own) if one.address_key == own.address_key]
        siblings = [one for one in sharing if one.company_id == own.company_id]
        others = [
            one
            for one in sharing
            if one.company_id != own.company_id and one.is_proved and own.is_proved
        ]
        others = [one for one in others if one.webhook_secret and one.webhook_secret in replaced]
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


async def _lock_place(connection: Connection, own: Integration, values: Json) -> None:
    """What was proved, or trusted, was proved of another place: at the new one it is proved now,
    after whoever is there already.

    Raises Unprocessable where another company has that inbox.
    """
    inbox_id = int(values["page_id"]) if "page_id" in values else own.inbox_id
    moved = msgspec.structs.replace(
        own, base_url=values.get("base_url", own.base_url), inbox_id=inbox_id
    )
    holders = await integration_rows.lock_same_inbox(connection, moved)
    if any(company != own.company_id and at > GRANDFATHERED for _, company, at in holders):
        raise Unprocessable(Problem.of("trial.not_stored", what=HELD))
