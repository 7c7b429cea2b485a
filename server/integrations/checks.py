"""Checks whether an integration works: asks Chatwoot and our own address, and hands the answers to
`core.checkup` for judgement.
"""

from collections.abc import Awaitable, Callable

from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    ChatwootUnexpected,
    private_addresses,
    problem_with,
)
from server.core.chatwoot.inbox_proof import NOT_ACCEPTED
from server.core.checks import integration_checks
from server.core.checks.integration_checks import Finding
from server.db.access.integration_record import GRANDFATHERED, Integration
from server.db.access.integration_rows import Overview
from server.integrations.arrivals import LATE_SECONDS, REMEDY
from server.integrations.file_trials import FileTrial
from server.integrations.proofs import Proofs
from server.problems import Problem
from server.settings import Settings

ClientOf = Callable[[Integration], ChatwootClient]
DelayOf = Callable[[int], Awaitable[float | None]]


async def _unknown_delay(integration_id: int) -> float | None:
    return None


class IntegrationChecks:
    """Changes nothing but that what Chatwoot proves is kept; takes as long as Chatwoot takes to
    answer a few calls.
    """

    def __init__(
        self,
        client_of: ClientOf,
        proofs: Proofs,
        files: FileTrial,
        settings: Settings,
        delay: DelayOf = _unknown_delay,
    ) -> None:
        """`delay`: how many seconds late an integration's webhooks came lately."""
        self._files = files
        self._delay = delay
        self._client_of = client_of
        self._proofs = proofs
        self._settings = settings

    async def check(self, overview: Overview) -> list[Finding]:
        """Findings, good and bad, in the order in which one would put them right."""
        own = overview.integration
        found = [
            integration_checks.judge_switches(
                own.id, is_active=own.is_active, is_webhook_active=own.is_webhook_active
            )
        ]
        if own.problem or not own.base_url or own.account_id is None:
            text = own.problem or Problem.of("integration.incomplete")
            return [
                *found,
                Finding(
                    "settings",
                    "failed",
                    text,
                    Problem.of("integration.set_secret_key"),
                ),
            ]
        found += await self._chatwoot(overview, own.account_id)
        if own.proved_us <= GRANDFATHERED:
            proof = await self._proofs.prove(own)
            found.append(
                integration_checks.judge_proof(proof.state, proof.text, is_trusted=own.is_proved)
            )
        if (seconds := await self._delay(own.id)) is not None and seconds >= LATE_SECONDS:
            found.append(
                Finding(
                    "delay",
                    "warning",
                    Problem.of("delay.webhooks", seconds=f"{seconds:.0f}"),
                    REMEDY,
                )
            )
        return [*found, *await self._ourselves(overview)]

    async def _chatwoot(self, overview: Overview, account_id: int) -> list[Finding]:
        own = overview.integration
        client, webhook_url = (
            self._client_of(own),
            self._settings.webhook_url_of(overview.webhook_mode, own.address_key),
        )
        try:
            profile = await client.profile()
        except ChatwootError as error:
            return [self._unreachable(own, error)]
        found = [
            Finding("Chatwoot", "ok", Problem.of("chatwoot.answers", address=own.base_url)),
            *integration_checks.judge_account(profile, account_id),
        ]
        if not integration_checks.is_well(found[:3]):
            return found
        try:
            found += integration_checks.judge_inbox(
                await client.list_inboxes(), account_id, own.inbox_id, webhook_url
            )
            if integration_checks.is_well(finding for finding in found if finding.name == "role"):
                requires = self._settings.require_webhook_signature or own.unsigned == "refused"
                hooks = await client.list_webhooks()
                found += integration_checks.judge_webhooks(
                    hooks, webhook_url, own.secrets, requires_signature=requires
                )
        except ChatwootError as error:
            text = Problem.of("chatwoot.lists_not_shown", why=error.problem)
            found.append(
                Finding(
                    "webhook",
                    "unknown",
                    text,
                    Problem.of("chatwoot.check_again"),
                )
            )
        if (files := await self._files.try_files(own, own.inbox_id)) is not None:
            found.append(files)
        is_on = own.is_socket_active and self._settings.chatwoot_sockets
        return [*found, integration_checks.judge_socket(profile, is_on=is_on)]

    def _unreachable(self, own: Integration, error: ChatwootError) -> Finding:
        if (
            isinstance(error, ChatwootRefused)
            and error.chatwoot_status in (401, 403)
            and NOT_ACCEPTED not in error.message
        ):
            text = Problem.of("account.owner_refused", why=error.problem)
            return Finding("account", "failed", text, Problem.of("account.look"))
        if isinstance(error, ChatwootRefused) and error.chatwoot_status in (401, 403):
            return Finding(
                "access token",
                "failed",
                Problem.of("token.refused_because", why=error.problem),
                Problem.of("token.renew", id=own.id),
            )
        remedy = Problem.of("chatwoot.open_address", address=own.base_url)
        if isinstance(error, ChatwootUnexpected | ChatwootRefused):
            return Finding(
                "Chatwoot",
                "failed",
                Problem.of("chatwoot.not_its_api", address=own.base_url, why=error.problem),
                remedy,
            )
        return Finding(
            "Chatwoot",
            "failed",
            Problem.of("chatwoot.unreachable_at", address=own.base_url, why=error.problem),
            remedy,
        )

    async def _ourselves(self, overview: Overview) -> list[Finding]:
        webhook_url = self._settings.webhook_url_of(overview.webhook_mode)
        private = await private_addresses(webhook_url)
        found = [
            integration_checks.judge_public_address(
                webhook_url, private, has_webhooks=overview.webhook_seen_us is not None
            )
        ]
        proxy = "" if private else self._settings.outgoing_proxy
        if (problem := await problem_with(webhook_url, proxy)) is not None:
            remedy = Problem.of("our_address.start_server")
            return [
                Finding("our address", "failed", problem, remedy),
                *found,
            ]
        return [
            Finding("our address", "ok", Problem.of("our_address.answers", address=webhook_url)),
            *found,
        ]
