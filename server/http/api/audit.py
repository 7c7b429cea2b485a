"""The audit log over REST and as a page: who administered what, and who asked for what is another
company's.
"""

from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal
from server.core.identifiers import MAX_ID
from server.core.times import iso
from server.db.access import audit_log
from server.db.access.audit_log import Act
from server.db.engine.database import Database
from server.http.guard import Guard
from server.http.pages.page_shell import PageShell, number
from server.http.responses import json_answer, query_number

_LIMIT, _MAX_LIMIT = 100, 1_000
_encode = msgspec.json.Encoder().encode


class AuditLog:
    """Serves the audit log of a company to its administrators."""

    def __init__(self, guard: Guard, shell: PageShell, database: Database) -> None:
        self._guard = guard
        self._shell = shell
        self._database = database

    def routes(self) -> list[BaseRoute]:
        """The routes of the log and its export, of the API and of the page."""
        return [
            Route("/api/audit", self._guard.admin(self.acts), methods=["GET"]),
            Route("/api/audit/export", self._guard.admin(self.export), methods=["GET"]),
            Route("/admin/audit/export", self._shell.admin(self.export)),
            Route("/admin/audit", self._shell.admin(self.page)),
        ]

    async def acts(self, request: Request, principal: Principal) -> Response:
        """List acts, the newest first: `limit` of them, older than `before`."""
        limit = query_number(request, "limit", _MAX_LIMIT) or _LIMIT
        found = await self._read(principal, query_number(request, "before", MAX_ID), limit)
        return json_answer([_view(act) for act in found])

    async def export(self, request: Request, principal: Principal) -> Response:
        """Stream everything that is kept, the newest first, a JSON object a line: read in pages
        while it is sent.
        """

        async def lines() -> AsyncIterator[bytes]:
            before: int | None = None
            while found := await self._read(principal, before, _MAX_LIMIT):
                yield b"".join(_encode(_view(act)) + b"\n" for act in found)
                before = found[-1].id

        name = f"audit-{principal.company_id}.jsonl"
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
        return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)

    async def page(self, request: Request, principal: Principal) -> Response:
        """Show the acts as a page, 100 at a time."""
        found = await self._read(principal, number(request.query_params.get("before")), _LIMIT)
        older = found[-1].id if len(found) == _LIMIT else None
        return self._shell.render(
            request, "admin_audit.html", principal=principal, acts=found, older=older
        )

    async def _read(self, principal: Principal, before: int | None, limit: int) -> list[Act]:
        return await self._database.read(
            lambda c: audit_log.list_acts(c, principal.company_id, before, limit)
        )


def _view(act: Act) -> dict[str, object]:
    return {
        "id": act.id,
        "at": iso(act.at_us),
        "agentId": act.agent_id,
        "actor": act.actor,
        "act": act.act,
        "target": act.target,
        "detail": act.detail,
        "address": act.address,
        "client": act.client,
    }
