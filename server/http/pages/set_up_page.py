"""The page behind the set-up address: it makes the first administrator, signs them in, and leads on
to connecting a Chatwoot.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.first_run import SetUp
from server.access.passwords import MIN_PASSWORD_CHARACTERS
from server.errors import Conflict, Forbidden, OmniError
from server.http.api.sessions import origin_of
from server.http.client_address import address_of
from server.http.pages.page_requests import is_same_origin, redirect
from server.http.pages.page_shell import (
    Form,
    PageShell,
    form_of,
    number,
)

_PAGE = "/setup"
_NEXT = "/admin/integrations?done=welcome"


class SetUpPages:
    """Serves the set-up page and its form; `cookie` makes a `Set-Cookie` value."""

    def __init__(self, shell: PageShell, set_up: SetUp, cookie: Callable[[str], str]) -> None:
        self._shell = shell
        self._set_up = set_up
        self._cookie = cookie

    def routes(self) -> list[BaseRoute]:
        """The routes of `/setup`, which is open to all: the key in its address admits."""
        opened = self._shell.open
        return [
            Route(_PAGE, opened(self.page)),
            Route(_PAGE, opened(self.complete), methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """Show the form, or where the address is to be found."""
        key = request.query_params.get("key", "")
        try:
            await self._set_up.check(key, address_of(request))
        except (Conflict, Forbidden) as error:
            return self._refused(request, error if key or isinstance(error, Conflict) else None)
        return self._form(request, key, {}, None)

    async def complete(self, request: Request) -> Response:
        """Make the first administrator, sign them in, and lead on to the integrations."""
        if not is_same_origin(request):
            raise Forbidden
        form = await form_of(request)
        key, company_id = form.get("key", ""), number(form.get("company")) or 0
        try:
            cookie = await self._set_up.complete(
                key,
                company_id,
                form.get("name", ""),
                form.get("email", ""),
                form.get("password", ""),
                origin_of(request),
            )
        except (Conflict, Forbidden) as error:
            return self._refused(request, error)
        except OmniError as error:
            return self._form(request, key, form, error)
        response = redirect(_NEXT)
        response.headers.append("Set-Cookie", self._cookie(cookie))
        return response

    def _form(self, request: Request, key: str, form: Form, error: OmniError | None) -> Response:
        shown = {
            name: value for name, value in form.items() if name in ("company", "name", "email")
        }
        status, trouble = (error.status, error.problem) if error else (200, None)
        return self._shell.render(
            request,
            "set_up.html",
            status,
            key=key,
            form=shown,
            min_password_length=MIN_PASSWORD_CHARACTERS,
            trouble=trouble,
        )

    def _refused(self, request: Request, error: OmniError | None) -> Response:
        """Show where the address is to be found, and why this one is not good; without a key,
        nothing was wrong yet.
        """
        return self._shell.render(
            request,
            "set_up_where.html",
            error.status if error else 200,
            trouble=error.problem if error else None,
            is_over=isinstance(error, Conflict),
            address=self._set_up.address,
        )
