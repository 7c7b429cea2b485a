"""The ASGI application: the process that `composition/` has put together, behind its routes."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server import log
from server.composition.application import build_application
from server.composition.build_http import build_http
from server.errors import NotFound, OmniError
from server.http.http_protocol import NOTE_PROXY
from server.http.middleware import Application, RequestMiddleware
from server.http.responses import problem_answer
from server.settings import WEBHOOK_PATH, Settings

_logger = log.get(__name__)
# as people type it; Chatwoot follows no redirect before 4.14
_WEBHOOK_PATHS = (WEBHOOK_PATH, f"{WEBHOOK_PATH}/")
# what `serve` finds in the lifespan's state, and calls when it is to stop
START_DRAINING = "start_draining"


def create_app(settings: Settings) -> Starlette:
    """The ASGI application of one process."""
    parts = build_application(settings)
    http, health = build_http(parts), parts.operation.health

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Callable[..., None]]]:
        async with parts.running(is_serving=True):
            # what the start has made stays: looking at all of it again in each full collection
            # stopped every socket for a tenth of a second
            gc.collect()
            gc.freeze()
            dialect = parts.resources.database.dialect
            _logger.info("serving", database=dialect, bus=settings.broadcast_url.split(":")[0])
            yield {START_DRAINING: health.start_draining, NOTE_PROXY: health.note_proxy}

    around = partial(
        RequestMiddleware,
        unchanged=http.guard.unchanged,
        direct={("POST", path): http.webhook for path in _WEBHOOK_PATHS},
        is_https=settings.base_url.startswith("https:"),
    )
    app = Application(
        around,
        routes=[Route(WEBHOOK_PATH, http.webhook, methods=["POST"]), *http.routes],
        lifespan=lifespan,
        exception_handlers={
            OmniError: _on_problem,
            HTTPException: partial(_on_http_error, http.error_page),
        },
    )
    # the address it would lead to is made of the request's own Host
    app.router.redirect_slashes = False
    app.state.public_urls = parts.access.access.public_urls
    return app


def from_environment() -> Starlette:
    """Factory for uvicorn's worker processes."""
    settings = Settings.from_environment()
    log.configure(settings.log_level, settings.log_format)
    return create_app(settings)


async def _on_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, OmniError):
        raise error
    return problem_answer(error)


async def _on_http_error(
    error_page: Callable[[Request, OmniError], Response], request: Request, error: Exception
) -> Response:
    """Answer an address that leads nowhere: people with a page, programs with a problem."""
    if not isinstance(error, HTTPException):
        raise error
    problem = OmniError(error.detail) if error.status_code != 404 else NotFound()
    problem.status, problem.title = error.status_code, error.detail
    problem.code = {404: "not_found", 405: "method_not_allowed"}.get(
        error.status_code, "http_error"
    )
    if _is_for_people(request):
        page = error_page(request, problem)
        page.headers.update(error.headers or {})  # of 405: what is allowed
        return page
    return problem_answer(problem, error.headers)


def _is_for_people(request: Request) -> bool:
    """Whether a browser asks for what it will show: it names HTML, as no program does that wants
    JSON.
    """
    is_api = request.url.path.startswith(("/api/", "/ws"))
    return not is_api and "text/html" in request.headers.get("Accept", "")
