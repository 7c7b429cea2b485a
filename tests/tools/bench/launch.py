"""The processes that are measured, each a child of the bench: `python -m tests.tools.bench.launch
server|without-ingest|empty`.

`without-ingest` is the server with its ingest service standing still, so that the acknowledgement
is seen alone. `empty` answers the webhook and the list like an application that has nothing to do,
under the very same uvicorn configuration: the baseline of both.
"""

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server import log
from server.app import create_app
from server.incoming.ingest import Ingester
from server.serve import uvicorn_config
from server.settings import Settings


async def receive(request: Request) -> Response:
    await request.body()
    return PlainTextResponse("EVENT_RECEIVED")


async def unchanged(request: Request) -> Response:
    return Response(status_code=304)


async def live(request: Request) -> Response:
    return PlainTextResponse("ok")


def empty_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/api/webhooks/chatwoot", receive, methods=["POST"]),
            Route("/api/conversations", unchanged),
            Route("/livez", live),
        ]
    )


async def _stand_still(self: Ingester) -> None:
    await asyncio.Event().wait()


def main(kind: str) -> None:
    settings = Settings.from_environment()
    log.configure("WARNING", settings.log_format)
    if kind == "without-ingest":
        Ingester.run = _stand_still  # type: ignore[method-assign]
    app = empty_app() if kind == "empty" else create_app(settings)
    uvicorn.Server(uvicorn_config(settings, app)).run()


if __name__ == "__main__":
    main(sys.argv[1])
