"""The page of integrations: connect a Chatwoot inbox, see whether it works, and put right what does
not.
"""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.core.checks.integration_checks import is_well
from server.core.pages.page_locale import Locale
from server.db.access.integration_rows import Overview
from server.db.journal.sync_runs import SyncRun
from server.errors import (
    BadRequest,
    ChatwootAway,
    NotFound,
    OmniError,
)
from server.http.pages.page_requests import redirect
from server.http.pages.page_shell import (
    Form,
    PageShell,
    done_of,
    form_of,
    number,
)
from server.http.responses import json_answer, path_number
from server.incoming.sync_jobs import SyncJobs, run_view
from server.integrations.checks import IntegrationChecks
from server.integrations.form_tokens import FormTokens
from server.integrations.rules import previous_end_us
from server.integrations.service import Integrations, NewIntegration
from server.integrations.trials import Place
from server.problems import Problem
from server.settings import Settings

_PAGE = "/admin/integrations"
_DONE = (
    *(
        "welcome",
        "added",
        "unregistered",
        "deleted",
        "address",
        "inbox",
        "register",
        "rotate",
        "token",
        "secret",
        "mode",
    ),
    *(
        "enable",
        "disable",
        "webhooks-on",
        "webhooks-off",
        "socket-on",
        "socket-off",
        "sync",
        "sync-stop",
    ),
    *("unsigned-keyed", "unsigned-refused", "end-previous"),
    *("own-tokens-fail", "own-tokens-fallback"),
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
    "own-tokens-fail": {"refused_own_tokens": "fail"},
    "own-tokens-fallback": {"refused_own_tokens": "fallback"},
    "end-previous": {"end_previous_secret": True},
}


_COLUMNS = {
    "token": "access_token",
    "secret": "webhook_secret",
    "mode": "webhook_mode",
    "address": "base_url",
    "inbox": "inbox_id",
}
_INBOX = "inbox_"  # of a form's field: inbox_7 is ticked


class IntegrationPages:
    """Serves the pages of integrations and their forms to administrators."""

    def __init__(
        self,
        shell: PageShell,
        integrations: Integrations,
        checks: IntegrationChecks,
        runs: SyncJobs,
        settings: Settings,
        tokens: FormTokens,
    ) -> None:
        self._shell = shell
        self._integrations = integrations
        self._checks = checks
        self._settings = settings
        self._runs = runs
        self._tokens = tokens

    def routes(self) -> list[BaseRoute]:
        """The routes under `/admin/integrations`."""
        admin = self._shell.admin
        return [
            Route(_PAGE, admin(self.list_page)),
            Route(_PAGE, admin(self.add), methods=["POST"]),
            Route(_PAGE + "/{id}", admin(self.one_page)),
            Route(_PAGE + "/{id}/sync", admin(self.sync_figures)),
            Route(_PAGE + "/{id}/{act}", admin(self.act), methods=["POST"]),
        ]

    async def list_page(self, request: Request, principal: Principal) -> Response:
        """Show the company's integrations, what is wrong first, and the form for one more."""
        return await self._list(request, principal, {}, None)

    async def add(self, request: Request, principal: Principal) -> Response:
        """Show the inboxes of the address and the token to choose from; then add those that were
        chosen, and register the webhook.
        """
        form = await form_of(request)
        actor = actor_of(principal)
        try:
            form["access_token"] = form.get("access_token") or self._tokens.open(
                actor, form.get("kept_token", "")
            )
            chosen = _chosen(form)
            if form.get("look") or not (chosen or form.get("accept_unproved")):
                place = await self._integrations.inspect(
                    actor, _new(form, account_id=number(form.get("account_id")) or 0)
                )
                return await self._list(request, principal, form, None, place)
            added = await self._integrations.add_all(actor, _new(form), chosen)
        except OmniError as error:
            return await self._list(request, principal, form, error)
        done = "added"
        try:
            # the account's webhook is one for all its inboxes
            await self._integrations.register(actor, added[0].integration.id)
        except OmniError:
            done = "unregistered"  # the check on the next page says what is wrong
        path = f"{_PAGE}/{added[0].integration.id}" if len(added) == 1 else _PAGE
        return redirect(f"{path}?" + urlencode({"done": done}))

    async def one_page(self, request: Request, principal: Principal) -> Response:
        """Show one integration, checked now."""
        return await self._one(request, principal, None)

    async def sync_figures(self, request: Request, principal: Principal) -> Response:
        """Return how far the sync is, for the page's script, in the page's language."""
        run = await self._runs.get(principal.company_id, path_number(request, "id"))
        shown = None
        if run is not None:
            words = sync_words(run, self._shell.locale(request))
            shown = {
                "state": run.state,
                "total": run.total,
                "conversations": run.conversations,
                "words": words,
            }
        return json_answer(shown, 200, {"Cache-Control": "no-store"})

    async def act(self, request: Request, principal: Principal) -> Response:
        """Carry out the act that the address names, and show the integration; what is refused is
        shown with the reason.
        """
        place, act = path_number(request, "id"), request.path_params["act"]
        form = await form_of(request)
        try:
            await self._carry_out(principal, place, act, form)
        except NotFound:
            raise
        except OmniError as error:
            return await self._one(request, principal, error)
        path = _PAGE if act == "delete" else f"{_PAGE}/{place}"
        return redirect(f"{path}?" + urlencode({"done": "deleted" if act == "delete" else act}))

    async def _carry_out(self, principal: Principal, place: int, act: str, form: Form) -> None:
        actor = actor_of(principal)
        if act == "register":
            await self._integrations.register(actor, place)
        elif act == "rotate":
            await self._integrations.rotate_secret(actor, place)
        elif act == "sync":
            await self._runs.request(actor, place)
        elif act == "sync-stop":
            await self._runs.stop(actor, place)
        elif act == "delete":
            if not form.get("confirm"):
                raise BadRequest(Problem.of("form.tick_box"))
            await self._integrations.delete(actor, place)
        else:
            await self._integrations.change(actor, place, _changes(act, form))

    async def _list(
        self,
        request: Request,
        principal: Principal,
        form: Form,
        error: OmniError | None,
        place: Place | None = None,
    ) -> Response:
        found = await self._integrations.list_all(principal.company_id)
        actor = actor_of(principal)
        sealed = self._tokens.seal(actor, form.get("access_token", ""))
        # it is never sent back
        kept = {
            name: value
            for name, value in form.items()
            if name not in ("access_token", "kept_token")
        }
        return self._shell.render(
            request,
            "admin_integrations.html",
            error.status if error else 200,
            principal=principal,
            integrations=sorted(found, key=_is_well),
            form=kept,
            place=place,
            connected=_connected(found, form, place),
            chosen=set(_chosen(form)),
            kept_token=sealed,
            is_away=isinstance(error, ChatwootAway),
            trouble=error.problem if error else None,
            has_key=bool(self._settings.secret_key),
            webhook_url=self._settings.webhook_url,
            tunnel_url=self._settings.tunnel_url,
            done=done_of(request, _DONE),
        )

    async def _one(
        self, request: Request, principal: Principal, error: OmniError | None
    ) -> Response:
        overview: Overview = await self._integrations.get(
            path_number(request, "id"), principal.company_id
        )
        findings = await self._checks.check(overview)
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
            conversations=await self._integrations.count_conversations(overview.integration.id),
            sync=run,
            is_history_compared=self._settings.history_requests_per_hour > 0,
            sync_words=sync_words(run, self._shell.locale(request)) if run else None,
            is_well=is_well(findings),
            webhook_url=self._settings.webhook_url_of(
                overview.webhook_mode, overview.integration.address_key
            ),
            previous_ends=previous_end_us(overview.integration),
            tunnel_url=self._settings.tunnel_url,
            done=done_of(request, _DONE),
            trouble=error.problem if error else None,
        )


def sync_words(run: SyncRun, locale: Locale) -> str:
    """Return how far a sync is, in sentences."""
    shown = run_view(run)
    count = run.conversations
    parts = [
        locale.t(f"admin.sync.{run.state}"),
        locale.t("admin.sync.counted", n=count)
        if run.total is None
        else locale.t("admin.sync.of", n=count, total=run.total),
        locale.t("admin.sync.messages", n=run.messages, created=run.created),
    ]
    if shown["secondsLeft"] is not None:
        parts.append(
            locale.t(
                "admin.sync.left",
                rate=locale.digits(str(shown["perSecond"])),
                left=shown["secondsLeft"],
            )
        )
    if run.problem:
        parts.append(locale.sentence(run.problem))
    return " ".join(parts)


def _changes(act: str, form: Form) -> dict[str, object]:
    """Return what a form changes, by column. Raises NotFound, BadRequest."""
    if act in _SWITCHES:
        return dict(_SWITCHES[act])
    if act not in _COLUMNS:
        raise NotFound
    if not form.get("value"):
        raise BadRequest(Problem.of("form.empty"))
    if act == "inbox" and number(form["value"]) is None:
        raise BadRequest(Problem.of("form.inbox_number"))
    changes: dict[str, object] = {_COLUMNS[act]: form["value"]}
    if act == "address" and form.get("access_token"):
        changes["access_token"] = form["access_token"]
    return changes


def _connected(found: list[Overview], form: Form, place: Place | None) -> set[int | None]:
    """Which inboxes of the account that was shown to the form are connected already."""
    if place is None or not form.get("base_url", "").rstrip("/"):
        return set()
    return {
        one.integration.inbox_id for one in found if one.integration.account_id == place.account_id
    }


def _is_well(one: Overview) -> tuple[bool, int]:
    """Order integrations: what is wrong comes first."""
    own = one.integration
    is_taken = (
        own.is_active
        and own.is_webhook_active
        and own.is_proved
        and not (own.problem or own.chatwoot_problem)
    )
    return (is_taken and (bool(own.secrets) or own.unsigned != "refused"), own.id)


def _chosen(form: Form) -> list[int]:
    ticked = [
        name.removeprefix(_INBOX)
        for name, value in form.items()
        if name.startswith(_INBOX) and name != "inbox_id" and value
    ]
    return [
        found for text in (*ticked, form.get("inbox_id")) if (found := number(text)) is not None
    ]


def _new(form: Form, account_id: int | None = None) -> NewIntegration:
    """Return the integration that a form describes; `account_id` is given when only the address and
    the token are to be checked. Raises BadRequest that says which field.
    """
    inbox_id = next(iter(_chosen(form)), None)
    if account_id is None:
        account_id = number(form.get("account_id"))
        if account_id is None or inbox_id is None:
            is_account = account_id is None
            what = Problem.of("noun.account") if is_account else Problem.of("noun.inbox")
            raise BadRequest(Problem.of("form.number_in_address", what=what))
    return NewIntegration(
        account_id=account_id,
        inbox_id=inbox_id or 0,
        base_url=form.get("base_url", ""),
        access_token=form.get("access_token", ""),
        webhook_mode=form.get("webhook_mode") or "live",
        accepts_unproved=bool(form.get("accept_unproved")),
    )
