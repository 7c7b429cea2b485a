"""The status of a company over REST, and as a page whose plots follow it live; without script, it shows one moment."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.auth import Principal
from server.company_status import CompanyStatus
from server.endpoints.admin_shell import AdminShell
from server.endpoints.answers import json_answer
from server.endpoints.guard import Guard
from server.endpoints.page_requests import redirect

_PLOTS = {
    "webhooks": ("Webhooks a minute", ""),
    "delay": ("From Chatwoot to the agents", " ms"),
}


class StatusApi:
    """The endpoints, with what they were given at the start."""

    def __init__(self, guard: Guard, shell: AdminShell, status: CompanyStatus) -> None:
        self._guard, self._shell, self._status = guard, shell, status

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/status", self._guard.admin(self.status), methods=["GET"]),
            Route("/admin", self._shell.admin(self.home)),
            Route("/admin/status", self._shell.admin(self.page)),
        ]

    async def status(self, request: Request, principal: Principal) -> Response:
        return json_answer(await self._status.look(principal.company_id), 200, {"Cache-Control": "no-store"})

    async def home(self, request: Request, principal: Principal) -> Response:
        return redirect("/admin/status")

    async def page(self, request: Request, principal: Principal) -> Response:
        found = await self._status.look(principal.company_id)
        return self._shell.render(request, "admin_status.html", principal=principal, shown=found, plots=_PLOTS)
