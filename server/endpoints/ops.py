"""Operation: `/livez` (the process answers), `/readyz` (what works and what does not), `/metrics`, and descriptions of socket and calls."""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from server import metrics
from server.core import asyncapi, openapi
from server.core.entities import Json
from server.endpoints.answers import json_answer

Report = Callable[[], Json]


def routes(report: Report, base_url: str) -> list[BaseRoute]:
    """`report` gives `{"status": "ready" | "degraded" | "unavailable" | "draining", "problems": [...], ...}` from memory."""

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        state = report()
        status = 503 if state["status"] in ("unavailable", "draining") else 200
        return json_answer(state, status, {"Cache-Control": "no-store"})

    async def metrics_text(request: Request) -> Response:
        return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    async def asyncapi_document(request: Request) -> Response:
        return json_answer(asyncapi.document(base_url), headers={"Cache-Control": "public, max-age=300"})

    async def openapi_document(request: Request) -> Response:
        return json_answer(openapi.document(base_url), headers={"Cache-Control": "public, max-age=300"})

    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", metrics_text),
        Route("/asyncapi.json", asyncapi_document),
        Route("/openapi.json", openapi_document),
    ]
