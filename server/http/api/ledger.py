"""The ledger over REST and as pages: what came, what became of it, and where a message is. For
administrators of the company.
"""

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.core.choices import DELIVERY_STATES
from server.core.identifiers import MAX_ID
from server.core.times import SECOND, wall_now_us
from server.errors import BadRequest
from server.http.guard import Guard
from server.http.pages.page_requests import redirect
from server.http.pages.page_shell import PageShell, form_of, number
from server.http.responses import json_answer, path_number, query_number
from server.operation.delivery_ledger import Ledger, entry_view, trace_view
from server.operation.erasure import Erasure
from server.problems import Problem

_PAGE = "/admin/ledger"
_LIMIT, _MAX_LIMIT = 50, 200
_HOURS = ("1", "24", "168", "720")
_MAX_QUERY_CHARACTERS = 200


class LedgerApi:
    """Serves the ledger of deliveries and messages to administrators."""

    def __init__(self, guard: Guard, shell: PageShell, ledger: Ledger, erasure: Erasure) -> None:
        self._guard = guard
        self._shell = shell
        self._ledger = ledger
        self._erasure = erasure

    def routes(self) -> list[BaseRoute]:
        """The routes of deliveries, traces and erasure, of the API and of the pages."""
        api, page = self._guard.admin, self._shell.admin
        return [
            Route("/api/deliveries", api(self.deliveries), methods=["GET"]),
            Route("/api/deliveries/{id}", api(self.delivery), methods=["GET"]),
            Route("/api/deliveries/{id}/retry", api(self.retry), methods=["POST"]),
            Route("/api/messages/{id}/trace", api(self.trace), methods=["GET"]),
            Route("/api/conversations/{id}/erase-contact", api(self.erase), methods=["POST"]),
            Route(_PAGE + "/messages/{id}/erase", page(self.erase_page), methods=["POST"]),
            Route(_PAGE, page(self.list_page)),
            Route(_PAGE + "/deliveries/{id}", page(self.delivery_page)),
            Route(_PAGE + "/deliveries/{id}/retry", page(self.retry_page), methods=["POST"]),
            Route(_PAGE + "/messages/{id}", page(self.message_page)),
        ]

    async def deliveries(self, request: Request, principal: Principal) -> Response:
        """List deliveries of the last `hours`, the newest first, narrowed by state and
        integration.
        """
        state = request.query_params.get("state") or None
        if state is not None and state not in DELIVERY_STATES:
            raise BadRequest(
                Problem.of("field.one_of", field="state", choices=", ".join(DELIVERY_STATES))
            )
        hours = query_number(request, "hours", 24 * 366) or 24
        found = await self._ledger.deliveries(
            principal.company_id,
            state=state,
            since_us=wall_now_us() - hours * 3600 * SECOND,
            integration_id=query_number(request, "integrationId", MAX_ID),
            before=query_number(request, "before", MAX_ID),
            limit=query_number(request, "limit", _MAX_LIMIT) or _LIMIT,
        )
        return json_answer([entry_view(entry) for entry in found])

    async def delivery(self, request: Request, principal: Principal) -> Response:
        """Return one delivery with its body, as text. Raises NotFound."""
        entry, body = await self._ledger.delivery(principal.company_id, path_number(request, "id"))
        return json_answer(entry_view(entry) | {"body": body})

    async def retry(self, request: Request, principal: Principal) -> Response:
        """Put a dead or ignored delivery back in line: 204. Raises NotFound, Conflict."""
        await self._ledger.retry(actor_of(principal), path_number(request, "id"))
        return Response(status_code=204)

    async def trace(self, request: Request, principal: Principal) -> Response:
        """Return what is known of a message, from the webhook to the sockets. Raises NotFound."""
        return json_answer(
            trace_view(await self._ledger.trace(principal.company_id, path_number(request, "id")))
        )

    async def erase(self, request: Request, principal: Principal) -> Response:
        """Erase the contact of a conversation, and answer with what was erased."""
        erased = await self._erasure.erase(actor_of(principal), path_number(request, "id"))
        return json_answer(erased.view())

    async def erase_page(self, request: Request, principal: Principal) -> Response:
        """Erase the contact of a message, with a word that nobody types by mistake: it cannot be
        undone.
        """
        trace = await self._ledger.trace(principal.company_id, path_number(request, "id"))
        if (await form_of(request)).get("word") != "erase":
            raise BadRequest(Problem.of("erasure.word"))
        erased = await self._erasure.erase(actor_of(principal), trace.message.conversation_id)
        return self._shell.render(request, "admin_erased.html", principal=principal, erased=erased)

    async def list_page(self, request: Request, principal: Principal) -> Response:
        """Show deliveries, and with `q` the messages that hold the text. What the address says
        wrong is ignored.
        """
        query = request.query_params
        hours = query.get("hours", "24") if query.get("hours") in _HOURS else "24"
        state = query.get("state") if query.get("state") in DELIVERY_STATES else None
        text = query.get("q", "").strip()[:_MAX_QUERY_CHARACTERS]
        found = await self._ledger.deliveries(
            principal.company_id,
            state=state,
            since_us=wall_now_us() - int(hours) * 3600 * SECOND,
            integration_id=number(query.get("integration")) or None,
            before=number(query.get("before")),
            limit=_LIMIT,
        )
        messages = (
            await self._ledger.search(principal.company_id, text, int(hours) / 24) if text else []
        )
        return self._shell.render(
            request,
            "admin_ledger.html",
            principal=principal,
            deliveries=found,
            messages=messages,
            q=text,
            hours=hours,
            spans=_HOURS,
            state=state,
            states=DELIVERY_STATES,
            integration=query.get("integration", ""),
            older=found[-1].id if found else None,
        )

    async def delivery_page(self, request: Request, principal: Principal) -> Response:
        """Show one delivery with its body."""
        entry, body = await self._ledger.delivery(principal.company_id, path_number(request, "id"))
        return self._shell.render(
            request,
            "admin_delivery.html",
            principal=principal,
            entry=entry,
            body=_pretty(body),
            is_retried="retried" in request.query_params,
        )

    async def retry_page(self, request: Request, principal: Principal) -> Response:
        """Put a dead or ignored delivery back in line, and show it."""
        place = path_number(request, "id")
        await self._ledger.retry(actor_of(principal), place)
        return redirect(f"{_PAGE}/deliveries/{place}?retried=1")

    async def message_page(self, request: Request, principal: Principal) -> Response:
        """Show the trace of a message."""
        trace = await self._ledger.trace(principal.company_id, path_number(request, "id"))
        return self._shell.render(request, "admin_message.html", principal=principal, trace=trace)


def _pretty(body: str | None) -> str | None:
    """Return JSON with line breaks, and anything else as it is; the values are as they came."""
    if body is None:
        return None
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body
