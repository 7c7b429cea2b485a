"""What the pages of administrators share: who may see them, their look, their forms. They are whole pages and work without script."""

import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.auth import Access, Principal
from server.core.times import SECOND
from server.endpoints.answers import Handler
from server.endpoints.limits import ApiLimits
from server.endpoints.page_requests import PAGE_HEADERS, path_of, read_form, redirect
from server.errors import Forbidden, OmniError, Unauthenticated
from server.trespass import Trespass

PageHandler = Callable[[Request, Principal], Awaitable[Response]]
Form = dict[str, str]

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


class AdminShell:
    """Wraps the handlers of pages and renders their templates."""

    def __init__(self, web: Path, access: Access, limits: ApiLimits, trespass: Trespass) -> None:
        self._access, self._limits, self._trespass = access, limits, trespass
        self._templates = Environment(
            loader=FileSystemLoader(web / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {"ago": ago, "clock": clock}

    def admin(self, handler: PageHandler) -> Handler:
        """Only for administrators; others get a page that says so."""

        async def answer(request: Request, principal: Principal) -> Response:
            if principal.agent.role != "admin":
                raise Forbidden("These pages are for administrators of your company")
            return await handler(request, principal)

        return self.agent(answer)

    def agent(self, handler: PageHandler) -> Handler:
        """For whoever is signed in; others are led to the sign-in and back. Our own errors become pages."""

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            principal: Principal | None = None
            try:
                principal = await self._access.authenticate(request.headers, request.method)
                self._limits.check(principal)
                return await handler(request, principal)
            except Unauthenticated:
                return redirect("/sign-in?" + urlencode({"next": path_of(request)}))
            except OmniError as error:
                if error.status == 404 and principal is not None:
                    await self._trespass.note(principal, request.method, request.url.path)
                return self.error(request, error)

        return answer

    def open(self, handler: Handler) -> Handler:
        """For everybody; our own errors become pages."""

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except OmniError as error:
                return self.error(request, error)

        return answer

    def render(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        theme = request.cookies.get("omni_theme")
        shared = {"theme": theme if theme in ("light", "dark") else None, "path": request.url.path, "now": datetime.now(UTC).timestamp()}
        html = self._templates.get_template(template).render({"principal": None, **shared, **context})
        return HTMLResponse(html, status, {"Vary": "Cookie", **PAGE_HEADERS, "Cache-Control": "no-store"})

    def error(self, request: Request, error: OmniError) -> Response:
        response = self.render(request, "admin_error.html", error.status, message=error.message)
        if error.retry_seconds is not None:
            response.headers["Retry-After"] = str(error.retry_seconds)
        return response


async def form_of(request: Request) -> Form:
    """The fields of a form, without the blanks people paste around them."""
    return {name: value.strip() for name, value in (await read_form(request)).items()}


def number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and 0 < len(text) < 16 else None


def ago(moment_us: int | None, now: float) -> str:
    """How long ago, in one unit: what an administrator wants of a time; the exact one stands beside it."""
    if moment_us is None:
        return "never"
    seconds = max(0, int(now - moment_us / SECOND))
    for size, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"


def clock(moment_us: int | None) -> str:
    """`2026-07-18 09:01:05.204 UTC`."""
    if moment_us is None:
        return "—"
    seconds, rest = divmod(moment_us, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1000:03d} UTC"
