"""`/api/integrations`: administrators add, look at and change their company's Chatwoot inboxes. No
answer holds a token or a secret.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.core.checks.integration_checks import report
from server.core.identifiers import MAX_SAFE_INTEGER
from server.core.state.entities import Json
from server.core.times import iso_or_none
from server.db.access.integration_record import GRANDFATHERED
from server.db.access.integration_rows import Overview
from server.errors import BadRequest
from server.http.guard import Guard
from server.http.request_pipeline import AgentHandler
from server.http.responses import json_answer, path_number, read_json
from server.integrations.checks import IntegrationChecks
from server.integrations.rules import previous_end_us
from server.integrations.service import Integrations, NewIntegration
from server.problems import english_or_none
from server.settings import Settings

_CHANGES = {
    "isActive": bool,
    "isWebhookActive": bool,
    "isSocketActive": bool,
    "webhookMode": str,
    "accessToken": str,
    "webhookSecret": str,
}
_CHANGES |= {"unsignedWebhooks": str, "endPreviousSecret": bool, "baseUrl": str, "inboxId": int}


class IntegrationsApi:
    """The endpoints, with what they were given at the start."""

    def __init__(
        self,
        guard: Guard,
        integrations: Integrations,
        checkup: IntegrationChecks,
        settings: Settings,
    ) -> None:
        self._guard = guard
        self._integrations = integrations
        self._checkup = checkup
        self._settings = settings

    def routes(self) -> list[BaseRoute]:
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
        return json_answer(
            [self._view(one) for one in await self._integrations.list_all(principal.company_id)]
        )

    async def add(self, request: Request, principal: Principal) -> Response:
        new = parse_new(await read_json(request))
        return json_answer(self._view(await self._integrations.add(actor_of(principal), new)), 201)

    async def change(self, request: Request, principal: Principal) -> Response:
        changes = parse_changes(await read_json(request))
        return json_answer(
            self._view(
                await self._integrations.change(
                    actor_of(principal), path_number(request, "id"), changes
                )
            )
        )

    async def delete(self, request: Request, principal: Principal) -> Response:
        await self._integrations.delete(actor_of(principal), path_number(request, "id"))
        return Response(status_code=204)

    async def check(self, request: Request, principal: Principal) -> Response:
        overview = await self._integrations.get(path_number(request, "id"), principal.company_id)
        return json_answer(report(await self._checkup.look(overview)))

    async def register(self, request: Request, principal: Principal) -> Response:
        return json_answer(
            self._view(
                await self._integrations.register(actor_of(principal), path_number(request, "id"))
            )
        )

    async def rotate(self, request: Request, principal: Principal) -> Response:
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
        "previousSecretEndsAt": iso_or_none(previous_end_us(own)),
        "lastWebhookAt": iso_or_none(one.webhook_seen_us),
        "reconciledAt": iso_or_none(one.reconciled_us),
        "repairedCount": one.repaired_count,
        "problem": english_or_none(own.problem or own.chatwoot_problem),
    }


def parse_new(body: dict[str, Any]) -> NewIntegration:
    """Raises BadRequest that names the field."""
    for name, kind in (
        ("accountId", int),
        ("inboxId", int),
        ("baseUrl", str),
        ("accessToken", str),
    ):
        value = body.get(name)
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or (isinstance(value, int) and not 0 < value <= MAX_SAFE_INTEGER)
        ):
            raise BadRequest(
                f"{name} must be {'a whole number above 0' if kind is int else 'text'}"
            )
    for name in ("webhookSecret", "webhookMode", "unsignedWebhooks"):
        if not isinstance(body.get(name, ""), str):
            raise BadRequest(f"{name} must be text")
    if not isinstance(body.get("acceptUnproved", False), bool):
        raise BadRequest("acceptUnproved must be true or false")
    return NewIntegration(
        account_id=body["accountId"],
        inbox_id=body["inboxId"],
        base_url=body["baseUrl"],
        access_token=body["accessToken"],
        webhook_secret=body.get("webhookSecret") or None,
        webhook_mode=body.get("webhookMode") or "live",
        unsigned=body.get("unsignedWebhooks") or "refused",
        accepts_unproved=body.get("acceptUnproved") is True,
    )


def parse_changes(body: dict[str, Any]) -> Json:
    """The fields that may be changed, under the names of their columns. Raises BadRequest."""
    columns = {
        "isActive": "is_active",
        "isWebhookActive": "is_webhook_active",
        "webhookMode": "webhook_mode",
    }
    columns |= {
        "accessToken": "access_token",
        "webhookSecret": "webhook_secret",
        "isSocketActive": "is_socket_active",
    }
    columns |= {"unsignedWebhooks": "unsigned_webhooks", "endPreviousSecret": "end_previous_secret"}
    columns |= {"baseUrl": "base_url", "inboxId": "inbox_id"}
    inbox_id = body.get("inboxId", 1)
    if (
        not isinstance(inbox_id, int)
        or isinstance(inbox_id, bool)
        or not 0 < inbox_id <= MAX_SAFE_INTEGER
    ):
        raise BadRequest("inboxId must be a whole number above 0")
    for name, value in body.items():
        if name in _CHANGES and not isinstance(value, _CHANGES[name]):
            raise BadRequest(
                f"{name} must be {'true or false' if _CHANGES[name] is bool else 'text'}"
            )
    return {columns[name]: body[name] for name in _CHANGES if name in body}
