"""Administering integrations: add, register the webhook, switch, renew what is secret. Every act
leaves a line in the audit log.

Webhooks at Chatwoot are registered in `webhook_registration.py`, changes judged in
`change_checks.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from server.chatwoot import (
    ChatwootClient,
)
from server.db.access import audit_log, integration_rows, own_token_rows
from server.db.access.audit_log import Actor
from server.db.access.integration_record import GRANDFATHERED, Integration
from server.db.access.integration_rows import Overview
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import (
    BadRequest,
    ChatwootAway,
    NotFound,
)
from server.integrations.change_checks import ChangeChecks, lock_place
from server.integrations.directory import REFRESH_SECONDS, Directory
from server.integrations.proofs import Proofs
from server.integrations.rules import (
    check_mode,
    check_unsigned,
    checked_secret,
    new_key,
)
from server.integrations.trials import Place, Trial
from server.integrations.webhook_registration import WebhookRegistration
from server.problems import Problem
from server.settings import Settings

_SETTLED_SECONDS = 2 * REFRESH_SECONDS  # by then every process knows a secret that was just stored

ClientOf = Callable[[Integration], ChatwootClient]
Json = dict[str, Any]


class NewIntegration(msgspec.Struct, frozen=True):
    """The fields of an integration to be added."""

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
    """Administers integrations. `company_id` None means: an operator of the server, for all
    companies.
    """

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
        self._webhooks = WebhookRegistration(
            database, vault, directory, client_of, settings, settled_seconds
        )
        self._changes = ChangeChecks(database, trial, settings)
        self._trial = trial

    async def list_all(self, company_id: int | None) -> list[Overview]:
        """The company's integrations, or all of them."""
        return await self._database.read(
            lambda c: integration_rows.read_overviews(c, self._vault, company_id)
        )

    async def get(self, integration_id: int, company_id: int | None) -> Overview:
        """The integration. Raises NotFound, also for another company's."""
        found = await self._database.read(
            lambda c: integration_rows.read_overview(c, self._vault, integration_id, company_id)
        )
        if found is None:
            raise NotFound(Problem.of("integration.unknown", id=integration_id))
        return found

    async def add(self, actor: Actor, new: NewIntegration) -> Overview:
        """As `add_all`, for one inbox."""
        [added] = await self.add_all(actor, new, [new.inbox_id])
        return added

    async def add_all(
        self, actor: Actor, new: NewIntegration, inbox_ids: Sequence[int]
    ) -> list[Overview]:
        """Adds several inboxes of one account, all or none: Chatwoot is asked first, and nothing
        that is wrong is kept.

        Raises BadRequest and Unprocessable for what is wrong, ChatwootAway when Chatwoot cannot be
        asked (unless `accepts_unproved`), DuplicateRow for an inbox of the company that is there
        already.
        """
        draft = await self._draft(actor, new)
        names: dict[int, str] = {}
        if not new.is_trusted:
            names = await self._tried(draft, inbox_ids, accepts_unproved=new.accepts_unproved)
        now_us = self._database.clock.now_us()
        values = {
            **msgspec.structs.asdict(new),
            "base_url": draft.base_url,
            "company_id": actor.company_id,
            "access_token": draft.access_token,
            "webhook_secret": draft.webhook_secret,
            "proved_us": now_us if new.is_trusted else None,
        }

        async def write(connection: Connection) -> list[int]:
            return [
                await self._insert(
                    connection,
                    actor,
                    values | {"inbox_id": inbox_id, "inbox_name": names.get(inbox_id)},
                    now_us,
                )
                for inbox_id in inbox_ids
            ]

        added = await self._database.transaction(write)
        await self._directory.refresh()
        return [await self.prove(integration_id, actor.company_id) for integration_id in added]

    async def _insert(self, connection: Connection, actor: Actor, values: Json, now_us: int) -> int:
        """Adds one row, with its line in the audit log. Returns its number."""
        values["webhook_key"] = new_key() if values["unsigned"] == "keyed" else None
        added = await integration_rows.add_integration(connection, self._vault, values, now_us)
        where = {
            "baseUrl": values["base_url"],
            "accountId": values["account_id"],
            "inboxId": values["inbox_id"],
        }
        await audit_log.append_act(
            connection, actor, "integration.add", f"integration {added}", **where
        )
        return added

    async def inspect(self, actor: Actor, new: NewIntegration) -> Place:
        """Lists what there is to connect at an address, as its access token sees it; nothing is
        kept. `account_id` 0: the first account.

        Raises BadRequest, Unprocessable, ChatwootAway.
        """
        return await self._trial.inspect(await self._draft(actor, new), tries_files=True)

    async def _draft(self, actor: Actor, new: NewIntegration) -> Integration:
        """As it would be kept; its number is nobody's."""
        base_url = await self._changes.check_address(new.base_url)
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
        """Asks Chatwoot, where it has not shown the inbox to the access token yet. Raises
        NotFound.
        """
        overview = await self.get(integration_id, company_id)
        if overview.integration.proved_us > GRANDFATHERED:
            return overview
        await self._proofs.prove(overview.integration)
        return await self.get(integration_id, company_id)

    async def register(self, actor: Actor, integration_id: int) -> Overview:
        """Makes Chatwoot call us: the webhook with the right address and events, and its secret
        kept here. May be done again at any time.

        Raises NotFound, ChatwootFailed.
        """
        overview = await self.prove(integration_id, actor.company_id)
        await self._webhooks.register(actor, overview)
        return await self.get(integration_id, actor.company_id)

    async def rotate_secret(self, actor: Actor, integration_id: int) -> Overview:
        """Makes a new webhook with a new secret; the old one goes when every process knows the new
        one, and its secret soon after.

        Raises NotFound, ChatwootFailed.
        """
        overview = await self.prove(integration_id, actor.company_id)
        await self._webhooks.rotate_secret(actor, overview)
        return await self.get(integration_id, actor.company_id)

    async def change(self, actor: Actor, integration_id: int, changes: Json) -> Overview:
        """Changes `is_active`, `is_webhook_active`, `is_socket_active`, `webhook_mode`,
        `access_token`, `webhook_secret`, `unsigned_webhooks`, `end_previous_secret`,
        `refused_own_tokens`, `base_url`, `inbox_id`.

        A new token, address or inbox is tried before it is kept. Raises NotFound, BadRequest,
        Unprocessable, ChatwootAway.
        """
        overview = await self.get(integration_id, actor.company_id)
        values = await self._changes.check(actor, overview, changes)
        if not values:
            raise BadRequest(Problem.of("integration.say_what"))
        detail = _audited(changes, values)
        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            if "page_id" in values:
                await integration_rows.check_free(
                    connection, overview.integration, values["page_id"]
                )
            written = values
            if "page_id" in values or "base_url" in values:
                await lock_place(connection, overview.integration, values)
                written = values | {"proved_at": now_us}
            await integration_rows.write_integration(
                connection, self._vault, integration_id, written
            )
            await audit_log.append_act(
                connection, actor, "integration.change", f"integration {integration_id}", **detail
            )

        await self._database.transaction(write)
        await self._directory.refresh()
        return await (self.prove if "access_token" in values else self.get)(
            integration_id, actor.company_id
        )

    async def count_conversations(self, integration_id: int) -> int:
        """How many conversations came through an integration."""
        return await self._database.read(
            lambda c: integration_rows.count_conversations(c, integration_id)
        )

    async def delete(self, actor: Actor, integration_id: int) -> None:
        """Disconnects it. Its conversations stay and can be read and closed, but not be answered;
        its token and secrets are forgotten, and its agents' own tokens; its webhook goes, where no
        other inbox uses it. Connected again it goes on with its conversations. Raises NotFound.
        """
        overview = await self.get(integration_id, actor.company_id)
        await self._directory.refresh()
        await self._webhooks.remove(overview)

        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            await integration_rows.write_integration(
                connection,
                self._vault,
                integration_id,
                integration_rows.DELETED | {"deleted_at": now_us},
            )
            await own_token_rows.delete_tokens_of(connection, integration_id)
            await audit_log.append_act(
                connection, actor, "integration.delete", f"integration {integration_id}"
            )

        await self._database.transaction(write)
        await self._directory.refresh()


def _audited(changes: Json, values: Json) -> Json:
    """What the audit log has of a change: names of secrets that were renewed, never the secrets."""
    shown = ("is_", "webhook_mode", "unsigned", "refused_own", "base_url", "page_id")
    detail: Json = {name: value for name, value in values.items() if name.startswith(shown)}
    if changes.get("end_previous_secret"):
        detail["end_previous_secret"] = True
    secret_names = ("access_token", "webhook_secret", "webhook_key")
    if renewed := [name for name in secret_names if name in values]:
        detail["renewed"] = renewed
    return detail
