"""The status of a company over REST, and as a page that follows it live; without script, the page
shows one moment.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal
from server.core.pages.page_locale import Locale
from server.core.state.entities import Json
from server.core.times import parse_time
from server.http.guard import Guard
from server.http.pages.page_requests import redirect
from server.http.pages.page_shell import PageShell
from server.http.responses import json_answer
from server.operation.company_status import CompanyStatus
from server.problems import in_english

_UNKNOWN = "—"


class StatusApi:
    """Serves the status of a company to its administrators."""

    def __init__(self, guard: Guard, shell: PageShell, status: CompanyStatus) -> None:
        self._guard = guard
        self._shell = shell
        self._status = status

    def routes(self) -> list[BaseRoute]:
        """The routes of the status, which answer while the database is away as well."""
        return [
            Route(
                "/api/status",
                self._guard.admin(self.status, is_for_operation=True),
                methods=["GET"],
            ),
            Route("/admin", self._shell.admin(self.home, is_for_operation=True)),
            Route("/admin/status", self._shell.admin(self.page, is_for_operation=True)),
            Route("/admin/status/figures", self._shell.admin(self.figures, is_for_operation=True)),
        ]

    async def status(self, request: Request, principal: Principal) -> Response:
        """Return the status as JSON, with its problems in English."""
        found = in_english(await self._status.report(principal.company_id))
        return json_answer(found, 200, {"Cache-Control": "no-store"})

    async def home(self, request: Request, principal: Principal) -> Response:
        """Lead `/admin` to the status."""
        return redirect("/admin/status")

    async def page(self, request: Request, principal: Principal) -> Response:
        """Show the status as it is now."""
        shown = _shown(await self._status.report(principal.company_id), self._shell.locale(request))
        return self._shell.render(request, "admin_status.html", principal=principal, shown=shown)

    async def figures(self, request: Request, principal: Principal) -> Response:
        """Return what the page's script puts in the place of what the page was opened with: the
        same words, in the same language.
        """
        shown = _shown(await self._status.report(principal.company_id), self._shell.locale(request))
        return json_answer(shown, 200, {"Cache-Control": "no-store"})


def _shown(found: Json, locale: Locale) -> Json:
    """Return the status as it is read: every number and sentence in the language of the page."""
    backlog = found["backlog"]
    counts = {
        "agentsOnline": found["agentsOnline"],
        "waiting": backlog["deliveries"],
        "replies": backlog["replies"],
        "dead": backlog["dead"],
        "repaired": found["repaired"],
    }
    return {
        "time": locale.digits(found["now"][11:19]),
        "figures": {
            name: _UNKNOWN if value is None else locale.thousands(value)
            for name, value in counts.items()
        },
        "losses": _losses(found["losses"], locale),
        "parts": [
            {"name": one["name"], "state": one["state"], "text": _sentences(one, locale)}
            for one in found["parts"]
        ],
        "integrations": [_integration(one, locale) for one in found["integrations"]],
        "plots": {name: _plot(name, plot, locale) for name, plot in found["plots"].items()},
    }


def _losses(losses: Json, locale: Locale) -> str:
    """Say how many webhooks of today were lost, and how late they come."""
    lost, came = locale.thousands(losses["lost"]), locale.thousands(losses["came"] + losses["lost"])
    text = locale.t("admin.status.losses", lost=lost, all=came)
    delay = losses["delaySeconds"]
    return (
        text
        if delay is None or delay < 1
        else f"{text} {locale.t('admin.status.late', seconds=locale.thousands(round(delay)))}"
    )


def _sentences(part: Json, locale: Locale) -> str:
    return " ".join(
        _capital(locale.sentence(text)) for text in (part["text"], part["remedy"]) if text
    )


def _integration(one: Json, locale: Locale) -> Json:
    last_us = parse_time(one["lastWebhookAt"])
    text = locale.sentence(one["text"]) if one["text"] else locale.t("admin.status.works")
    text = _capital(text)
    # who switched it off knows, and need not read it on each line
    if one["sources"]["socket"]["state"] != "off":
        text = f"{text.rstrip('.।')}. {locale.sentence(one['socketText'])}"
    return {
        "id": one["id"],
        "name": locale.words(one["name"]),
        "last": locale.ago(last_us),
        "lastExact": locale.exact(last_us),
        "state": "ok" if one["isWell"] else "warning",
        "text": text,
    }


def _plot(name: str, plot: Json, locale: Locale) -> Json:
    def value(count: Any) -> str:
        if count is None:
            return _UNKNOWN
        return (
            locale.t("admin.milliseconds", n=count) if name == "delay" else locale.thousands(count)
        )

    return plot | {
        "top": value(plot["top"]),
        "newest": {line: value(count) for line, count in plot["newest"].items()},
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
