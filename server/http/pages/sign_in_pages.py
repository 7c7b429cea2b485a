"""The pages around signing in: the form, the second step with a code, recovery codes, and signing
out.
"""

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import session_cookie
from server.access.first_run import SetUp
from server.access.sign_in import SignedIn, SignIn
from server.core.second_factor_rules import provisioning_uri, qr_address
from server.errors import (
    Forbidden,
    OmniError,
    SecondFactorNeeded,
    TooManyRequests,
    Unauthenticated,
    Unprocessable,
)
from server.http.api.sessions import CLEAR_SITE_DATA, Sessions, device_of, origin_of
from server.http.pages.page_frame import PageFrame
from server.http.pages.page_requests import (
    check_same_origin,
    chosen_in_address,
    inside,
    read_form,
    redirect,
    remember_appearance,
    without_choice,
)
from server.http.request_pipeline import RequestPipeline

_MIN_FAILURES_SHOWN = 3  # tries of others, from which on a person is told at once


class SignInPages:
    """Serves the forms of signing in, which work without script."""

    def __init__(
        self,
        frame: PageFrame,
        pipeline: RequestPipeline,
        sign_in: SignIn,
        sessions: Sessions,
        first_run: SetUp,
    ) -> None:
        self._frame = frame
        self._pipeline = pipeline
        self._sign_in = sign_in
        self._sessions = sessions
        self._first_run = first_run

    def routes(self) -> list[BaseRoute]:
        """The routes of `/sign-in` and `/sign-out`."""
        page = self._frame.page
        return [
            Route("/sign-in", page(self.form), methods=["GET"]),
            Route("/sign-in", page(self.sign_in), methods=["POST"]),
            Route("/sign-out", page(self.sign_out), methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        """Show the form; an agent who is signed in already sees that they are."""
        if chosen := chosen_in_address(request):
            return remember_appearance(redirect(without_choice(request)), chosen)
        return self._form(
            request, request.query_params.get("next", ""), present=await self._present(request)
        )

    async def sign_in(self, request: Request) -> Response:
        """Sign in with e-mail and password, or with the ticket of that step and a code."""
        check_same_origin(request)
        form = await read_form(request)
        email, target, ticket = form.get("email", ""), form.get("next", ""), form.get("ticket")
        origin, device = origin_of(request), device_of(request)
        try:
            if ticket is not None:
                code = form.get("code", "")
                done = await self._sign_in.finish(ticket, code, origin, device)
            else:
                password = form.get("password", "")
                done = await self._sign_in.begin(email, password, origin, device)
        except TooManyRequests as error:
            return self._form(request, target, email, "error.429", error.status)
        except SecondFactorNeeded as needed:
            return self._code_form(request, target, needed.extra)
        except Unprocessable:
            shown = {"ticket": ticket, "setUp": _shown_before(form)}
            return self._code_form(request, target, shown, "signIn.wrongCode", 422)
        except Unauthenticated:
            trouble = "signIn.wrong" if ticket is None else "signIn.over"
            return self._form(request, target, email, trouble, 422)
        await self._sign_in.end_replaced(session_cookie(request.headers), done.agent, origin)
        response = self._done(request, target, done)
        for cookie in self._sessions.cookies(done):
            response.headers.append("Set-Cookie", cookie)
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session of this browser, and show the form."""
        check_same_origin(request)
        made_for = (await read_form(request)).get("agent")
        response = redirect("/sign-in")
        for cookie in await self._end_session(request, made_for):
            response.headers.append("Set-Cookie", cookie)
        response.headers.update(CLEAR_SITE_DATA)
        return response

    async def _end_session(self, request: Request, made_for: str | None) -> list[str]:
        """End the session of this request; return the `Set-Cookie` values that clear the cookie.

        None of both where the page was made for another agent than the one who is signed in: that
        one stays so.
        """
        try:
            principal = await self._pipeline.authenticate(request)
        except (Unauthenticated, Forbidden):
            return self._sessions.ended()
        if made_for not in (None, str(principal.agent.id)):
            return []
        await self._sign_in.sign_out(principal, origin_of(request))
        return self._sessions.ended()

    async def _present(self, request: Request) -> str | None:
        """Return the name of the agent who is signed in in this browser already."""
        try:
            principal = await self._pipeline.authenticate(request)
            self._pipeline.check(principal)
        except OmniError:  # the form is shown all the same
            return None
        return principal.agent.name

    def _form(
        self,
        request: Request,
        target: str,
        email: str = "",
        trouble: str | None = None,
        status: int = 200,
        present: str | None = None,
    ) -> Response:
        context = {
            "next": inside(target),
            "email": email,
            "trouble": trouble,
            "needs_set_up": self._first_run.is_needed,
            "present": present,
        }
        return self._frame.render(request, "login.html", context, status)

    def _code_form(
        self,
        request: Request,
        target: str,
        shown: Mapping[str, object],
        trouble: str | None = None,
        status: int = 200,
    ) -> Response:
        set_up = shown.get("setUp")
        context = {
            "next": inside(target),
            "ticket": shown.get("ticket"),
            "set_up": set_up,
            "picture": qr_address(str(set_up["uri"])) if isinstance(set_up, dict) else "",
            "trouble": trouble,
        }
        response = self._frame.render(request, "login_code.html", context, status)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _done(self, request: Request, target: str, done: SignedIn) -> Response:
        if done.recovery_codes:
            context = {"codes": done.recovery_codes, "next": inside(target)}
            response = self._frame.render(request, "recovery_codes.html", context, 200)
            response.headers["Cache-Control"] = "no-store"
            return response
        # the account's page tells of the tries of others
        return redirect("/account" if done.failures >= _MIN_FAILURES_SHOWN else inside(target))


def _shown_before(form: Mapping[str, str]) -> dict[str, str] | None:
    """Return what the app reads, as the form brings it back: after a wrong code nothing has to be
    read in anew. It is shown, and counts for nothing: the ticket does.
    """
    secret, account = form.get("secret", ""), form.get("account", "")
    if not re.fullmatch(r"[A-Z2-7]{26,64}", secret):
        return None
    return {"uri": provisioning_uri(secret, account), "secret": secret, "account": account}
