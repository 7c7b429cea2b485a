"""Whether an integration may be changed so: each field by itself, and the token, the address and
the inbox together at Chatwoot, before any of them is kept.
"""

from typing import Any

import msgspec

from server.chatwoot import (
    check_base_url,
    check_destination,
)
from server.db.access import integration_rows
from server.db.access.audit_log import Actor
from server.db.access.integration_record import GRANDFATHERED, Integration
from server.db.access.integration_rows import Overview
from server.db.engine.database import Connection, Database
from server.errors import (
    Unprocessable,
)
from server.integrations.proofs import HELD
from server.integrations.rules import (
    check_mode,
    check_refused_own_tokens,
    check_token_is_written,
    check_unsigned,
    checked_secret,
    new_key,
    replaced_secret,
)
from server.integrations.trials import Trial, reason_within
from server.problems import Problem
from server.settings import Settings

Json = dict[str, Any]


class ChangeChecks:
    """Judges changes of integrations. Each method raises what is wrong with one."""

    def __init__(self, database: Database, trial: Trial, settings: Settings) -> None:
        self._database = database
        self._trial = trial
        self._settings = settings

    async def check_address(self, text: str) -> str:
        """The address as it is kept. Raises BadRequest, Unprocessable."""
        base_url = check_base_url(text)
        allows_private, hosts = self._settings.chatwoot_allow_private, self._settings.private_hosts
        await check_destination(base_url, allows_private=allows_private, private_hosts=hosts)
        return base_url

    async def check(self, actor: Actor, overview: Overview, changes: Json) -> Json:
        """The values to be written. Raises BadRequest, Unprocessable, ChatwootAway."""
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
        if changes.get("refused_own_tokens") is not None:
            check_refused_own_tokens(changes["refused_own_tokens"])
            values["refused_own_tokens"] = changes["refused_own_tokens"]
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
            values["base_url"] = await self.check_address(changes["base_url"])
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


async def lock_place(connection: Connection, own: Integration, values: Json) -> None:
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
