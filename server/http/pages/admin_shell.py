"""What the pages of administrators share: who may see them, in which language, and their forms.
Whole pages, without script as well.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from server.access.authentication import Access, Principal, check_agent
from server.access.foreign_access import Trespass
from server.core.identifiers import MAX_SAFE_INTEGER, parse_digits
from server.core.pages.page_locale import Locale
from server.core.state.preference_rules import Preferences
from server.db.access.accounts import Agent
from server.errors import (
    DatabaseUnavailable,
    Forbidden,
    OmniError,
    Unauthenticated,
)
from server.http.client_address import address_of
from server.http.pages.page_frame import PageFrame
from server.http.pages.page_requests import (
    chosen_in_address,
    is_same_origin,
    path_of,
    read_form,
    redirect,
    remember_look,
    without_choice,
)
from server.http.rate_limits import ApiLimits
from server.http.responses import Handler

PageHandler = Callable[[Request, Principal], Awaitable[Response]]
Form = dict[str, str]


class PreferenceData(Protocol):
    """What is known of an agent's choices."""

    async def preferences(self, agent: Agent) -> Preferences: ...

    async def change_preferences(self, agent: Agent, given: Preferences) -> None: ...


class AdminShell:
    """Wraps the handlers of pages and renders their templates."""

    def __init__(
        self,
        frame: PageFrame,
        data: PreferenceData,
        access: Access,
        limits: ApiLimits,
        trespass: Trespass,
    ) -> None:
        self._frame = frame
        self._data = data
        self._access = access
        self._limits = limits
        self._trespass = trespass

    def admin(self, handler: PageHandler, *, is_for_operation: bool = False) -> Handler:
        """Only for administrators; others get a page that says so."""

        async def answer(request: Request, principal: Principal) -> Response:
            if principal.agent.role != "admin":
                raise Forbidden("These pages are for administrators of your company")
            return await handler(request, principal)

        return self.agent(answer, is_for_operation=is_for_operation)

    def agent(self, handler: PageHandler, *, is_for_operation: bool = False) -> Handler:
        """For whoever is signed in; others are led to the sign-in and back. `is_for_operation`: see
        `Access.authenticate`.
        """

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                principal = await self._access.authenticate(
                    request.headers,
                    request.method,
                    address_of(request),
                    is_for_operation=is_for_operation,
                )
            except Unauthenticated:
                return redirect("/sign-in?" + urlencode({"next": path_of(request)}))
            self._limits.check(principal)
            if request.method == "POST":
                check_agent((await read_form(request)).get("agent"), principal.agent)
            request.state.agent_id = principal.agent.id
            request.state.preferences = await self._preferences(principal.agent)
            if chosen := _chosen(request):
                if is_same_origin(request):  # a link from elsewhere changes nothing for good
                    await self._data.change_preferences(principal.agent, {**chosen})
                return remember_look(redirect(without_choice(request)), chosen)
            try:
                return await handler(request, principal)
            except OmniError as error:
                if error.status == 404:
                    await self._trespass.note(principal, request.method, request.url.path)
                raise

        return self._frame.page(answer)

    def open(self, handler: Handler) -> Handler:
        """For everybody."""

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            if chosen := _chosen(request):
                return remember_look(redirect(without_choice(request)), chosen)
            return await handler(request)

        return self._frame.page(answer)

    def render(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """`principal` is in the context of pages for those who are signed in. What an administrator
        sees is kept by no cache.
        """
        response = self._frame.render(
            request, template, {"principal": None, "done": None, "trouble": None, **context}, status
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def locale(self, request: Request) -> Locale:
        return self._frame.locale(request, is_wide=True)

    async def _preferences(self, agent: Agent) -> Preferences:
        """None of them while the database is away: then above all these pages must open."""
        try:
            return await self._data.preferences(agent)
        except DatabaseUnavailable:
            return {}


def _chosen(request: Request) -> dict[str, str]:
    return chosen_in_address(request) if request.method == "GET" else {}


def done_of(request: Request, known: tuple[str, ...]) -> str | None:
    """What the page before has done, as the name of a text: `?done=` of the address, where it is
    one of these.
    """
    given = request.query_params.get("done")
    return given if given in known else None


async def form_of(request: Request) -> Form:
    """The fields of a form, without the blanks people paste around them."""
    return {name: value.strip() for name, value in (await read_form(request)).items()}


def number(text: str | None) -> int | None:
    return None if text is None else parse_digits(text, MAX_SAFE_INTEGER)
