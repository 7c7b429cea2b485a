"""Operation: `/livez` (the process answers), `/readyz` (what works and what does not), `/metrics`,
and descriptions of socket and calls.

`/metrics` and the details of `/readyz` name databases, companies and numbers of agents. They are
for whoever brings `OPERATION_TOKEN`; without that setting for clients on this machine alone.
"""

import hmac
import ipaddress
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from server import metrics
from server.core.state.entities import Json
from server.core.wire import asyncapi, openapi
from server.errors import Forbidden, Unauthenticated
from server.http.responses import json_answer

Report = Callable[[], Json]


def routes(report: Report, base_url: str, operation_token: str) -> list[BaseRoute]:
    """Return the routes of operation. `report` gives `{"status": "ready" | "degraded" |
    "unavailable" | "draining", "problems": [...], ...}` from memory.
    """

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        state = report()
        status = 503 if state["status"] in ("unavailable", "draining") else 200
        if not _is_operator(request, operation_token):
            state = {"status": state["status"]}
        return json_answer(state, status, {"Cache-Control": "no-store"})

    async def metrics_text(request: Request) -> Response:
        if not _is_operator(request, operation_token):
            if operation_token:
                raise Unauthenticated("Metrics ask for the token of the setting OPERATION_TOKEN")
            raise Forbidden(
                "Metrics are for this machine alone; set OPERATION_TOKEN to read them from "
                "elsewhere"
            )
        return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", metrics_text),
        *_documents(base_url),
    ]


def _documents(base_url: str) -> list[BaseRoute]:
    """Return the routes of the descriptions of socket and calls."""

    async def asyncapi_document(request: Request) -> Response:
        return json_answer(
            asyncapi.document(base_url), headers={"Cache-Control": "public, max-age=300"}
        )

    async def openapi_document(request: Request) -> Response:
        return json_answer(
            openapi.document(base_url), headers={"Cache-Control": "public, max-age=300"}
        )

    return [
        Route("/asyncapi.json", asyncapi_document),
        Route("/openapi.json", openapi_document),
    ]


def _is_operator(request: Request, operation_token: str) -> bool:
    """Whether the details are for this client. Behind a trusted proxy the client's address is the
    one the proxy names.
    """
    if operation_token:
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {operation_token}".encode())
    if request.client is None:  # a Unix socket
        return True
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
