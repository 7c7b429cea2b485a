"""Looking whether an integration works: asks Chatwoot and our own address, and hands the answers to
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

    async def look(self, overview: Overview) -> list[Finding]:
        """What is well and what is not, in the order in which one would put it right."""
        own = overview.integration
        found = [
            integration_checks.judge_switches(
                own.id, is_active=own.is_active, is_webhook_active=own.is_webhook_active
            )
        ]
        if own.problem or not own.base_url or own.account_id is None:
            text = own.problem or "The integration has no base URL or no account number"
            return [
                *found,
                Finding(
                    "settings",
                    "failed",
                    text,
                    "Set SECRET_KEY to the key it was stored with, or add the integration anew",
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
                Finding("delay", "warning", f"Its webhooks come {seconds:.0f} s late", REMEDY)
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
            Finding("Chatwoot", "ok", f"Chatwoot answers at {own.base_url}"),
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
            text = f"Chatwoot did not show its inboxes or webhooks: {error.message}"
            found.append(
                Finding(
                    "webhook",
                    "unknown",
                    text,
                    "Look again in a minute; if it stays, look at the account's plan and role",
                )
            )
        if (files := await self._files.look(own, own.inbox_id)) is not None:
            found.append(files)
        is_on = own.is_socket_active and self._settings.chatwoot_sockets
        return [*found, integration_checks.judge_socket(profile, is_on=is_on)]

    def _unreachable(self, own: Integration, error: ChatwootError) -> Finding:
        if (
            isinstance(error, ChatwootRefused)
            and error.chatwoot_status in (401, 403)
            and NOT_ACCEPTED not in error.sentence
        ):
            text = f"Chatwoot refuses the access token's owner: {error.sentence}"
            return Finding("account", "failed", text, "Look at the account in Chatwoot")
        if isinstance(error, ChatwootRefused) and error.chatwoot_status in (401, 403):
            return Finding(
                "access token",
                "failed",
                f"Chatwoot does not accept the access token: {error.sentence}",
                "Copy it anew from Chatwoot (Profile settings, at the end of the page) and renew "
                "it on the integration's page, "
                f"or by omni-inbox integration rotate --integration-id {own.id} --access-token ...",
            )
        remedy = (
            f"Open {own.base_url} from this server; the base URL is what stands before /app in "
            "Chatwoot's address"
        )
        if isinstance(error, ChatwootUnexpected | ChatwootRefused):
            return Finding(
                "Chatwoot",
                "failed",
                f"What answers at {own.base_url} is not Chatwoot's API: {error.message}",
                remedy,
            )
        return Finding(
            "Chatwoot", "failed", f"{own.base_url} cannot be reached: {error.message}", remedy
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
            remedy = (
                "Start the server, and set PUBLIC_URL to the address under which browsers and "
                "Chatwoot reach it, without a redirect"
            )
            return [
                Finding("our address", "failed", problem[0].upper() + problem[1:], remedy),
                *found,
            ]
        return [Finding("our address", "ok", f"This server answers at {webhook_url}"), *found]
