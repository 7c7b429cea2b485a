"""Proving integrations: Chatwoot is asked whether the access token sees the inbox, as only then its
deliveries are the company's.

Asked when one is added, checked, registered or given another token; for those that are not proved
yet, and for those that are older than proofs, again and again in the background.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from server import log
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.core.backoff import doubled
from server.core.chatwoot.inbox_proof import (
    NOT_ACCEPTED,
    Proof,
    judge_account,
    judge_proof,
)
from server.core.checks import integration_checks
from server.core.times import SECOND
from server.db.access import audit_log, integration_rows
from server.db.access.audit_log import server_actor
from server.db.access.integration_record import FOUNDER, GRANDFATHERED, Integration
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.db.journal import journal
from server.errors import OmniError, Unavailable
from server.integrations.directory import UNDECIDED, Directory
from server.problems import Problem, english
from server.settings import Settings

ClientOf = Callable[[Integration], ChatwootClient]
# a secret that was replaced counts so long: what Chatwoot has queued, and a webhook changed by hand
PREVIOUS_SECRET_HOURS = 24
HELD = Problem.of("integration.taken")
_logger = log.get(__name__)
_POLL_SECONDS = 5.0
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 60.0, 3_600.0
_MAX_COMPANIES_AT_ONCE = 8
_PROVER = "server"


class Proofs:
    """Proves integrations: `run` those that are still open, `prove` one, now."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        directory: Directory,
        client_of: ClientOf,
        settings: Settings,
    ) -> None:
        self._database = database
        self._vault = vault
        self._directory = directory
        self._client_of = client_of
        self._settings = settings
        # integration -> (monotonic moment, tries so far)
        self._next_try: dict[int, tuple[float, int]] = {}

    async def run(self) -> None:
        """Ends old secrets, and proves those that are due, every five seconds."""
        while True:
            if self._directory.is_loaded:
                try:
                    until_us = self._database.clock.now_us() + previous_secret_us()
                    # awaited at once
                    await self._database.transaction(
                        lambda c: integration_rows.end_previous_secrets(c, until_us)  # noqa: B023
                    )
                    await self._prove_all(self._due())
                except Unavailable:
                    pass
            await asyncio.sleep(_POLL_SECONDS)

    async def prove(self, integration: Integration) -> Proof:
        """Asks Chatwoot, and keeps the answer. Raises what the database raises; Chatwoot's failures
        are an answer.
        """
        if integration.problem or not integration.base_url or integration.account_id is None:
            return Proof(
                "unknown",
                integration.problem or Problem.of("proof.incomplete"),
            )
        client = self._client_of(integration)
        try:
            profile = await client.profile()
            proof = judge_account(profile, integration.account_id)
            # another account's inboxes would be refused as if the token were wrong
            if proof.state == "proved":
                proof = judge_proof(
                    proof, await client.list_inboxes(), integration.account_id, integration.inbox_id
                )
        except ChatwootRefused as error:
            if error.chatwoot_status == 401 and NOT_ACCEPTED not in error.message:
                # of the account, or of what the token's owner may do
                proof = Proof("unknown", Problem.of("chatwoot.says", why=error.problem))
            elif error.chatwoot_status in (401, 403, 404):
                proof = Proof("refuted", Problem.of("token.refused"))
            else:
                proof = Proof("unknown", error.problem)
        except ChatwootError as error:
            proof = Proof("unknown", error.problem)
        if proof.state == "refuted":
            await self._refute(integration)
        if proof.state != "proved":
            return proof
        return await self._keep(
            integration, proof, await self._missing_secret(client, integration, proof)
        )

    async def _missing_secret(
        self, client: ChatwootClient, integration: Integration, proof: Proof
    ) -> str | None:
        """The secret of our webhook, of an integration that has none; empty: Chatwoot does not
        sign; None: it cannot be told.
        """
        if integration.has_secret or integration.proved_us > GRANDFATHERED:
            return ""
        if not proof.is_administrator:
            return None
        overview = await self._database.read(
            lambda c: integration_rows.read_overview(c, self._vault, integration.id, None)
        )
        if overview is None:
            return None
        try:
            hooks = await client.list_webhooks()
        except ChatwootError:
            return None
        webhook_url = self._settings.webhook_url_of(overview.webhook_mode, integration.address_key)
        ours = [hook for hook in hooks if integration_checks.is_ours(hook.get("url"), webhook_url)]
        return str(ours[0].get("secret") or "") if ours else ""

    async def _keep(self, integration: Integration, proof: Proof, secret: str | None) -> Proof:
        """Keeps a proof. Of two companies that prove the same inbox of the same Chatwoot the first
        has it; a row that only was trusted steps back.
        """
        if integration.proved_us == GRANDFATHERED and secret is None:
            # it may sign with a secret that nobody knows yet: what came until today goes on coming
            return proof
        values: dict[str, Any] = {}
        if integration.proved_us <= GRANDFATHERED:
            is_founder = integration.proved_us == GRANDFATHERED
            values["proved_at"] = FOUNDER if is_founder else self._database.clock.now_us()
        if secret:
            values["webhook_secret"] = secret
        if not values:
            return proof
        is_kept = await self._database.transaction(lambda c: self._write(c, integration, values))
        await self._directory.refresh()
        return proof if is_kept else Proof("refuted", HELD)

    async def _write(
        self, connection: Connection, integration: Integration, values: dict[str, Any]
    ) -> bool:
        """Writes what was proved. Returns False where another company has proved the inbox."""
        holders = await integration_rows.lock_same_inbox(connection, integration)
        others = [
            (number, company, at)
            for number, company, at in holders
            if company != integration.company_id and at
        ]
        if any(at > GRANDFATHERED for _, _, at in others):
            return False
        for number, company, _ in others:
            await self._unprove(connection, number, company)
        await integration_rows.write_integration(connection, self._vault, integration.id, values)
        if "proved_at" in values:
            actor = server_actor(integration.company_id, _PROVER)
            await audit_log.append_act(
                connection, actor, "integration.proved", f"integration {integration.id}"
            )
        if "webhook_secret" in values:
            await journal.revive_undecided(connection, UNDECIDED)
        return True

    async def _unprove(self, connection: Connection, number: int, company_id: int) -> None:
        await integration_rows.write_integration(
            connection, self._vault, number, {"proved_at": None}
        )
        actor = server_actor(company_id, _PROVER)
        await audit_log.append_act(
            connection, actor, "integration.unproved", f"integration {number}"
        )

    async def _refute(self, integration: Integration) -> None:
        """Revokes trust where another company proved that the account is its own: the integration
        receives nothing more.

        At this Chatwoot alone: at an address of its own a neighbour can prove any number, and must
        stop nobody with it.
        """
        sharing = {
            one.company_id
            for one in self._directory.integrations.values()
            if one.is_proved
            and (one.account_id, one.base_url) == (integration.account_id, integration.base_url)
        }
        if integration.proved_us != GRANDFATHERED or sharing <= {integration.company_id}:
            return
        await self._database.transaction(
            lambda c: self._unprove(c, integration.id, integration.company_id)
        )
        await self._directory.refresh()
        _logger.warning(
            "integration receives nothing more: Chatwoot does not show its inbox",
            integration_id=integration.id,
        )

    def _due(self) -> list[Integration]:
        waiting = [
            one
            for one in self._directory.integrations.values()
            if one.proved_us <= GRANDFATHERED and one.is_active
        ]
        self._next_try = {
            one.id: self._next_try[one.id] for one in waiting if one.id in self._next_try
        }
        return [
            one for one in waiting if self._next_try.get(one.id, (0.0, 0))[0] <= time.monotonic()
        ]

    async def _prove_all(self, due: Iterable[Integration]) -> None:
        """A company's one after the other, so that one with many that do not answer keeps no other
        waiting.
        """
        companies: dict[int, list[Integration]] = defaultdict(list)
        for integration in due:
            companies[integration.company_id].append(integration)
        limit = asyncio.Semaphore(_MAX_COMPANIES_AT_ONCE)

        async def prove_own(own: list[Integration]) -> None:
            async with limit:
                for integration in own:
                    await self._try(integration)

        async with asyncio.TaskGroup() as group:
            for own in companies.values():
                group.create_task(prove_own(own))

    async def _try(self, integration: Integration) -> None:
        tries = self._next_try.get(integration.id, (0.0, 0))[1] + 1
        backoff = doubled(_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS, tries)
        self._next_try[integration.id] = (time.monotonic() + backoff, tries)
        try:
            proof = await self.prove(integration)
        except OmniError as error:
            _logger.info(
                "integration could not be proved",
                integration_id=integration.id,
                reason=error.message,
            )
            return
        _logger.info(
            "integration asked about",
            integration_id=integration.id,
            state=proof.state,
            reason=english(proof.text),
        )


def previous_secret_us() -> int:
    """Microseconds for which a replaced secret counts."""
    return PREVIOUS_SECRET_HOURS * 3_600 * SECOND
