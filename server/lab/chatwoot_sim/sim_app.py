"""The simulated Chatwoot as one ASGI app: API, files, socket, page, switches. Its lifespan sends
the webhooks.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from server.lab.chatwoot_sim import (
    api_account,
    api_conversations,
    api_messages,
    page,
    page_kinds,
    sim_cable,
)
from server.lab.chatwoot_sim.access import MAX_BODY_BYTES, ApiError, answer_api_error
from server.lab.chatwoot_sim.faults import Faults
from server.lab.chatwoot_sim.state import ChatwootSim

_HERE = Path(__file__).parent


def create_app(sim: ChatwootSim) -> Starlette:
    """Serve `sim`. While the lifespan is on, its webhooks are delivered."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with sim.webhooks.running(), sim.cable.running():
            yield

    app = Starlette(
        routes=[
            *sim.own_routes,
            *api_account.routes,
            *api_messages.routes,
            *api_conversations.routes,
            *sim_cable.routes,
            *page.routes,
            *page_kinds.routes,
            Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
        ],
        # Faults first: it cuts connections, for which it needs the `receive` of the server itself
        middleware=[
            Middleware(Faults, sim=sim),
            Middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES),
        ],
        exception_handlers={ApiError: answer_api_error},
        lifespan=lifespan,
    )
    app.state.sim = sim
    return app
