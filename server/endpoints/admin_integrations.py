"""The page of integrations: connect a Chatwoot inbox, see whether it works, and put right what does not."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.auth import Principal, actor_of
from server.checkup import Checkup
from server.core.checkup import is_well
from server.core.page_locale import Locale
from server.db.integrations import Overview
from server.db.sync_runs import SyncRun
from server.endpoints.admin_shell import AdminShell, Form, done_of, form_of, number
from server.endpoints.answers import json_answer, path_number
from server.endpoints.page_requests import redirect
from server.errors import BadRequest, NotFound, OmniError
from server.integrations import Integrations, NewIntegration, previous_end_us
from server.settings import Settings
from server.sync_runs import SyncRuns, run_view

_PAGE = "/admin/integrations"
_DONE = (
    *("welcome", "added", "unregistered", "register", "rotate", "token", "secret", "mode"),
    *("enable", "disable", "webhooks-on", "webhooks-off", "socket-on", "socket-off", "sync", "sync-stop"),
    *("unsigned-keyed", "unsigned-refused", "end-previous"),
)
_SWITCHES: dict[str, dict[str, object]] = {
    "enable": {"is_active": True, "is_webhook_active": True},
    "disable": {"is_active": False},
    "webhooks-on": {"is_webhook_active": True},
    "webhooks-off": {"is_webhook_active": False},
    "socket-on": {"is_socket_active": True},
    "socket-off": {"is_socket_active": False},
    "unsigned-keyed": {"unsigned_webhooks": "keyed"},
    "unsigned-refused": {"unsigned_webhooks": "refused"},
    "end-previous": {"end_previous_secret": True},
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
            Route(_PAGE + "/{id}/sync", admin(self.sync_figures)),
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

    async def sync_figures(self, request: Request, principal: Principal) -> Response:
        """How far the sync is, for the page's script, in the page's language."""
        run = await self._runs.get(principal.company_id, path_number(request, "id"))
        shown = None
        if run is not None:
            words = sync_words(run, self._shell.locale(request))
            shown = {"state": run.state, "total": run.total, "conversations": run.conversations, "words": words}
        return json_answer(shown, 200, {"Cache-Control": "no-store"})

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
            done=done_of(request, _DONE),
        )

    async def _one(self, request: Request, principal: Principal, error: OmniError | None) -> Response:
        overview: Overview = await self._integrations.get(path_number(request, "id"), principal.company_id)
        findings = await self._checkup.look(overview)
        if not overview.integration.is_proved:  # which may have changed just now
            overview = await self._integrations.get(overview.integration.id, principal.company_id)
        run = await self._runs.get(principal.company_id, overview.integration.id)
        return self._shell.render(
            request,
            "admin_integration.html",
            error.status if error else 200,
            principal=principal,
            one=overview,
            findings=findings,
            sync=run,
            sync_words=sync_words(run, self._shell.locale(request)) if run else None,
            is_well=is_well(findings),
            webhook_url=self._settings.webhook_url_of(overview.webhook_mode, overview.integration.address_key),
            previous_ends=previous_end_us(overview.integration),
            tunnel_url=self._settings.tunnel_url,
            done=done_of(request, _DONE),
            trouble=error.message if error else None,
        )


def sync_words(run: SyncRun, locale: Locale) -> str:
    """How far a sync is, in sentences."""
    shown = run_view(run)
    count = run.conversations
    parts = [
        locale.t(f"admin.sync.{run.state}"),
        locale.t("admin.sync.counted", n=count) if run.total is None else locale.t("admin.sync.of", n=count, total=run.total),
        locale.t("admin.sync.messages", n=run.messages, created=run.created),
    ]
    if shown["secondsLeft"] is not None:
        parts.append(locale.t("admin.sync.left", rate=locale.digits(str(shown["perSecond"])), left=shown["secondsLeft"]))
    if run.problem:
        parts.append(locale.tell(run.problem))
    return " ".join(parts)


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
