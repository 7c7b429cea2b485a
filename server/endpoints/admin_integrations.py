"""The page of integrations: connect a Chatwoot inbox, see whether it works, and put right what does not."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.auth import Principal
from server.checkup import Checkup
from server.core.checkup import is_well
from server.db.integrations import Overview
from server.endpoints.admin_shell import AdminShell, Form, form_of, number
from server.endpoints.answers import path_number
from server.endpoints.integrations import actor_of
from server.endpoints.page_requests import redirect
from server.errors import BadRequest, NotFound, OmniError
from server.integrations import Integrations, NewIntegration
from server.settings import Settings
from server.sync_runs import SyncRuns

_PAGE = "/admin/integrations"
_DONE = {
    "added": "The inbox was added, and its webhook registered in Chatwoot.",
    "unregistered": "The inbox was added. Its webhook could not be registered; what is wrong stands below.",
    "register": "The webhook is registered in Chatwoot, and its secret is kept here.",
    "rotate": "Chatwoot signs with a new secret now; the old webhook is gone.",
    "token": "The new access token works and is kept.",
    "secret": "The secret is kept; the one before is accepted beside it.",
    "enable": "Switched on.",
    "disable": "Switched off: webhooks are kept and ignored, replies are refused.",
    "webhooks-on": "Its webhooks are taken again.",
    "webhooks-off": "Its webhooks are kept and ignored; replies, sync and reconcile go on.",
    "sync": "It walks now; this page shows how far it is.",
    "sync-stop": "It stops after the conversation it is at; what is done stays done.",
    "mode": "The mode was changed; register the webhook now, so that Chatwoot knows the address.",
}
_SWITCHES = {
    "enable": {"is_active": True, "is_webhook_active": True},
    "disable": {"is_active": False},
    "webhooks-on": {"is_webhook_active": True},
    "webhooks-off": {"is_webhook_active": False},
}


class IntegrationPages:
    """The pages' endpoints, with what they were given at the start."""

    def __init__(self, shell: AdminShell, integrations: Integrations, checkup: Checkup, runs: SyncRuns, settings: Settings) -> None:
        self._shell, self._integrations, self._checkup, self._settings = shell, integrations, checkup, settings
        self._runs = runs

    def routes(self) -> list[BaseRoute]:
        admin = self._shell.admin
        return [
            Route(_PAGE, admin(self.list_page)),
            Route(_PAGE, admin(self.add), methods=["POST"]),
            Route(_PAGE + "/{id}", admin(self.one_page)),
            Route(_PAGE + "/{id}/{act}", admin(self.act), methods=["POST"]),
        ]

    async def list_page(self, request: Request, principal: Principal) -> Response:
        return await self._list(request, principal, {}, None)

    async def add(self, request: Request, principal: Principal) -> Response:
        """Add, then register at once: two steps of which the second may fail without taking back the first."""
        form = await form_of(request)
        try:
            added = await self._integrations.add(actor_of(principal), _new(form))
        except OmniError as error:
            return await self._list(request, principal, form, error)
        place, done = added.integration.id, "added"
        try:
            await self._integrations.register(actor_of(principal), place)
        except OmniError:
            done = "unregistered"  # the check on the next page says what is wrong
        return redirect(f"{_PAGE}/{place}?" + urlencode({"done": done}))

    async def one_page(self, request: Request, principal: Principal) -> Response:
        return await self._one(request, principal, None)

    async def act(self, request: Request, principal: Principal) -> Response:
        place, act = path_number(request, "id"), request.path_params["act"]
        form = await form_of(request)
        try:
            await self._carry_out(principal, place, act, form)
        except NotFound:
            raise
        except OmniError as error:
            return await self._one(request, principal, error)
        return redirect(f"{_PAGE}/{place}?" + urlencode({"done": act}))

    async def _carry_out(self, principal: Principal, place: int, act: str, form: Form) -> None:
        actor = actor_of(principal)
        if act == "register":
            await self._integrations.register(actor, place)
        elif act == "rotate":
            await self._integrations.rotate_secret(actor, place)
        elif act == "sync":
            await self._runs.ask(actor, place)
        elif act == "sync-stop":
            await self._runs.stop(actor, place)
        elif act in _SWITCHES:
            await self._integrations.change(actor, place, dict(_SWITCHES[act]))
        elif act in ("token", "secret", "mode"):
            column = {"token": "access_token", "secret": "webhook_secret", "mode": "webhook_mode"}[act]
            if not form.get("value"):
                raise BadRequest("The field was empty; nothing was changed")
            await self._integrations.change(actor, place, {column: form["value"]})
        else:
            raise NotFound

    async def _list(self, request: Request, principal: Principal, form: Form, error: OmniError | None) -> Response:
        found = await self._integrations.list_all(principal.company_id)
        kept = {name: value for name, value in form.items() if name != "access_token"}  # a token is never sent back
        return self._shell.render(
            request,
            "admin_integrations.html",
            error.status if error else 200,
            principal=principal,
            integrations=found,
            form=kept,
            trouble=error.message if error else None,
            has_key=bool(self._settings.secret_key),
            webhook_url=self._settings.webhook_url,
            tunnel_url=self._settings.tunnel_url,
        )

    async def _one(self, request: Request, principal: Principal, error: OmniError | None) -> Response:
        overview: Overview = await self._integrations.get(path_number(request, "id"), principal.company_id)
        findings = await self._checkup.look(overview)
        return self._shell.render(
            request,
            "admin_integration.html",
            error.status if error else 200,
            principal=principal,
            one=overview,
            findings=findings,
            sync=await self._runs.get(principal.company_id, overview.integration.id),
            is_well=is_well(findings),
            webhook_url=self._settings.webhook_url_of(overview.webhook_mode),
            tunnel_url=self._settings.tunnel_url,
            done=_DONE.get(request.query_params.get("done", "")),
            trouble=error.message if error else None,
        )


def _new(form: Form) -> NewIntegration:
    """Raises BadRequest that says which field."""
    account_id, inbox_id = number(form.get("account_id")), number(form.get("inbox_id"))
    if account_id is None or inbox_id is None:
        what = "account" if account_id is None else "inbox"
        raise BadRequest(f"The {what}'s number is the number in Chatwoot's address, for example 7")
    return NewIntegration(
        account_id=account_id,
        inbox_id=inbox_id,
        base_url=form.get("base_url", ""),
        access_token=form.get("access_token", ""),
        webhook_mode=form.get("webhook_mode") or "live",
    )
