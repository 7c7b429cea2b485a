"""`/api/integrations`: administrators add, check and change their company's Chatwoot inboxes. No
answer holds a token or a secret.
"""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.core.checks.integration_checks import report
from server.core.state.entities import Json
from server.core.times import iso_or_none
from server.core.wire.admin_schema import IntegrationChange, NewIntegrationBody
from server.db.access.integration_record import GRANDFATHERED
from server.db.access.integration_rows import Overview
from server.http.bodies import read_struct
from server.http.guard import Guard
from server.http.request_pipeline import AgentHandler
from server.http.responses import json_answer, path_number
from server.integrations.checks import IntegrationChecks
from server.integrations.rules import previous_end_us
from server.integrations.service import Integrations, NewIntegration
from server.problems import english_or_none
from server.settings import Settings


class IntegrationsApi:
    """Serves the integrations of a company to its administrators."""

    def __init__(
        self,
        guard: Guard,
        integrations: Integrations,
        checks: IntegrationChecks,
        settings: Settings,
    ) -> None:
        self._guard = guard
        self._integrations = integrations
        self._checks = checks
        self._settings = settings

    def routes(self) -> list[BaseRoute]:
        """The routes under `/api/integrations`, all for administrators."""

        def route(path: str, handler: AgentHandler, method: str) -> Route:
            return Route(f"/api/integrations{path}", self._guard.admin(handler), methods=[method])

        return [
            route("", self.list_all, "GET"),
            route("", self.add, "POST"),
            route("/{id}", self.change, "PATCH"),
            route("/{id}", self.delete, "DELETE"),
            route("/{id}/check", self.check, "POST"),
            route("/{id}/register", self.register, "POST"),
            route("/{id}/rotate", self.rotate, "POST"),
        ]

    async def list_all(self, request: Request, principal: Principal) -> Response:
        """List the company's integrations."""
        return json_answer(
            [self._view(one) for one in await self._integrations.list_all(principal.company_id)]
        )

    async def add(self, request: Request, principal: Principal) -> Response:
        """Add an integration: 201. Raises what Chatwoot or a rule has against it."""
        new = new_integration(await read_struct(request, NewIntegrationBody))
        return json_answer(self._view(await self._integrations.add(actor_of(principal), new)), 201)

    async def change(self, request: Request, principal: Principal) -> Response:
        """Change the fields that are given, and return the integration."""
        changes = changed_columns(await read_struct(request, IntegrationChange))
        return json_answer(
            self._view(
                await self._integrations.change(
                    actor_of(principal), path_number(request, "id"), changes
                )
            )
        )

    async def delete(self, request: Request, principal: Principal) -> Response:
        """Delete an integration: 204."""
        await self._integrations.delete(actor_of(principal), path_number(request, "id"))
        return Response(status_code=204)

    async def check(self, request: Request, principal: Principal) -> Response:
        """Ask Chatwoot now whether everything fits together, and answer with the findings."""
        overview = await self._integrations.get(path_number(request, "id"), principal.company_id)
        return json_answer(report(await self._checks.check(overview)))

    async def register(self, request: Request, principal: Principal) -> Response:
        """Register our webhook in Chatwoot, and return the integration."""
        return json_answer(
            self._view(
                await self._integrations.register(actor_of(principal), path_number(request, "id"))
            )
        )

    async def rotate(self, request: Request, principal: Principal) -> Response:
        """Give the webhook a new secret; the one before is accepted for a while."""
        return json_answer(
            self._view(
                await self._integrations.rotate_secret(
                    actor_of(principal), path_number(request, "id")
                )
            )
        )

    def _view(self, one: Overview) -> Json:
        return integration_view(one, self._settings)


def integration_view(one: Overview, settings: Settings) -> Json:
    """Return an integration as the API shows it; times are ISO or None."""
    own = one.integration
    return {
        "id": own.id,
        "accountId": own.account_id,
        "inboxId": own.inbox_id,
        "inboxName": own.inbox_name,
        "baseUrl": own.base_url,
        "isActive": own.is_active,
        "isWebhookActive": own.is_webhook_active,
        "isSocketActive": own.is_socket_active,
        "webhookMode": one.webhook_mode,
        "webhookUrl": settings.webhook_url_of(one.webhook_mode, own.address_key),
        "isProved": own.proved_us > GRANDFATHERED,
        "isReceiving": own.is_proved,
        "isSigned": bool(own.secrets),
        "unsignedWebhooks": own.unsigned,
        "refusedOwnTokens": own.refused_own_tokens,
        "previousSecretEndsAt": iso_or_none(previous_end_us(own)),
        "lastWebhookAt": iso_or_none(one.webhook_seen_us),
        "reconciledAt": iso_or_none(one.reconciled_us),
        "repairedCount": one.repaired_count,
        "problem": english_or_none(own.problem or own.chatwoot_problem),
    }


def new_integration(body: NewIntegrationBody) -> NewIntegration:
    """Return the body as the service takes it; an empty secret is none."""
    return NewIntegration(
        account_id=body.account_id,
        inbox_id=body.inbox_id,
        base_url=body.base_url,
        access_token=body.access_token,
        webhook_secret=body.webhook_secret or None,
        webhook_mode=body.webhook_mode,
        unsigned=body.unsigned_webhooks,
        accepts_unproved=body.accept_unproved,
    )


def changed_columns(body: IntegrationChange) -> Json:
    """Return the fields that are given, by name: a field has the name of its column."""
    given = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: value for name, value in given.items() if value is not UNSET}
