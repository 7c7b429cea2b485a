"""What the pages of signed-in agents share: who may see them, in which language, and their forms.
Whole pages, without script as well.
"""

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from server.access.authentication import Principal, check_agent
from server.core.identifiers import MAX_SAFE_INTEGER, parse_digits
from server.core.pages.page_locale import Locale
from server.core.state.preference_rules import Preferences, parse_preferences
from server.db.access.agent_rows import Agent
from server.errors import DatabaseUnavailable, Unauthenticated
from server.http.agent_preferences import AgentPreferences
from server.http.pages.page_frame import PageFrame
from server.http.pages.page_requests import (
    SMALL_FORM_BYTES,
    check_same_origin,
    chosen_in_address,
    is_same_origin,
    path_of,
    read_form,
    redirect,
    remember_appearance,
    without_choice,
)
from server.http.request_pipeline import AgentHandler, RequestPipeline, only_admins
from server.http.responses import Handler
from server.problems import Problem

Form = dict[str, str]


class PageShell:
    """Wraps the handlers of pages and renders their templates."""

    def __init__(
        self, frame: PageFrame, preferences: AgentPreferences, pipeline: RequestPipeline
    ) -> None:
        self._frame = frame
        self._preferences = preferences
        self._pipeline = pipeline

    def admin(self, handler: AgentHandler, *, is_for_operation: bool = False) -> Handler:
        """Return the handler for administrators; others get a page that says so."""
        guarded = only_admins(handler, Problem.of("page.for_administrators"))
        return self.agent(guarded, is_for_operation=is_for_operation)

    def own_form(
        self,
        handler: AgentHandler,
        *,
        max_bytes: int = SMALL_FORM_BYTES,
        page: Callable[[Request], str] = path_of,
    ) -> Handler:
        """Return what `agent` returns, for a form that only our own pages may send. `page`: the
        address of the page it is on, where a visitor comes back to after signing in.
        """
        answer = self._signed_in(handler, max_bytes=max_bytes, page=page)

        @functools.wraps(handler)
        async def checked(request: Request) -> Response:
            check_same_origin(request)
            return await answer(request)

        return self._frame.page(checked)

    def agent(self, handler: AgentHandler, *, is_for_operation: bool = False) -> Handler:
        """Return the handler for signed-in agents; others are led to the sign-in and back.
        `is_for_operation`: see `Access.authenticate`.
        """
        return self._frame.page(self._signed_in(handler, is_for_operation=is_for_operation))

    def open(self, handler: Handler) -> Handler:
        """Return the handler for everybody."""

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            if chosen := _chosen(request):
                return remember_appearance(redirect(without_choice(request)), chosen)
            return await handler(request)

        return self._frame.page(answer)

    def render(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """Return a page that no cache keeps. `principal` is in the context of pages for those who
        are signed in.
        """
        response = self._frame.render(
            request, template, {"principal": None, "done": None, "trouble": None, **context}, status
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def locale(self, request: Request) -> Locale:
        """Return the visitor's language, with the texts of the administrators' pages."""
        return self._frame.locale(request, is_wide=True)

    def _signed_in(
        self,
        handler: AgentHandler,
        *,
        is_for_operation: bool = False,
        max_bytes: int = SMALL_FORM_BYTES,
        page: Callable[[Request], str] = path_of,
    ) -> Handler:
        """Return the handler behind the pipeline of requests, in the agent's language and theme.
        Our errors are raised.
        """

        async def shown(request: Request, principal: Principal) -> Response:
            agent = principal.agent
            if request.method == "POST":
                check_agent((await read_form(request, max_bytes)).get("agent"), agent)
            request.state.agent_id = agent.id
            request.state.preferences = await self._chosen_before(agent)
            if chosen := _chosen(request):
                if is_same_origin(request):  # a link from elsewhere changes nothing for good
                    await self._preferences.change(agent.id, {**chosen})
                return remember_appearance(redirect(without_choice(request)), chosen)
            return await handler(request, principal)

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                principal = await self._pipeline.authenticate(
                    request, is_for_operation=is_for_operation
                )
            except Unauthenticated:
                return redirect("/sign-in?" + urlencode({"next": page(request)}))
            return await self._pipeline.admit(request, principal, shown)

        return answer

    async def _chosen_before(self, agent: Agent) -> Preferences:
        """Return the agent's preferences; the defaults while the database is away, when above all
        these pages must open.
        """
        try:
            return await self._preferences.read(agent.id)
        except DatabaseUnavailable:
            return parse_preferences(None)


def _chosen(request: Request) -> dict[str, str]:
    return chosen_in_address(request) if request.method == "GET" else {}


def done_of(request: Request, known: tuple[str, ...]) -> str | None:
    """Return what the page before has done, as the name of a text: `?done=` of the address, where
    it is one of these.
    """
    given = request.query_params.get("done")
    return given if given in known else None


async def form_of(request: Request) -> Form:
    """Return the fields of a form, without the blanks people paste around them."""
    return {name: value.strip() for name, value in (await read_form(request)).items()}


def number(text: str | None) -> int | None:
    """Return the number that a field or the address holds; None for anything else."""
    return None if text is None else parse_digits(text, MAX_SAFE_INTEGER)
