"""Sign in and out of the web inbox."""

from http.cookies import SimpleCookie

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import (
    SECURE_SESSION_COOKIE,
    SESSION_COOKIE,
    Access,
    Principal,
    session_cookie,
)
from server.access.sign_in import SignedIn, SignIn
from server.core.chatwoot.origins import read_cookie
from server.core.wire.rest_schema import Code
from server.core.wire.rest_schema import SignIn as SignInBody
from server.db.access.audit_log import Origin
from server.errors import Forbidden, OmniError
from server.http.bodies import to_struct
from server.http.client_address import address_of
from server.http.guard import Guard
from server.http.responses import (
    agent_json,
    json_answer,
    problem_answer,
    read_json,
)
from server.problems import Problem

DEVICE_COOKIE = "omni_device"
SECURE_DEVICE_COOKIE = "__Host-" + DEVICE_COOKIE
_DEVICE_SECONDS = 180 * 86_400
# attachments stay in the browser's cache otherwise, for whoever sits there next; "storage" is not
# named, as it holds replies that have not been sent yet, and the page keeps those of each agent
# apart
CLEAR_SITE_DATA = {"Clear-Site-Data": '"cache"'}
_SIGN_IN_BYTES = 65_536  # anybody may send it


class Sessions:
    """Serves signing in and out, and makes the cookies of both."""

    def __init__(
        self, guard: Guard, access: Access, sign_in: SignIn, *, hours: int, is_secure: bool
    ) -> None:
        self._guard = guard
        self._access = access
        self._sign_in = sign_in
        self._hours = hours
        self._is_secure = is_secure
        self._session_name = SECURE_SESSION_COOKIE if is_secure else SESSION_COOKIE
        self._device_name = SECURE_DEVICE_COOKIE if is_secure else DEVICE_COOKIE

    def routes(self) -> list[BaseRoute]:
        """The routes of `/api/sessions`."""
        return [
            Route("/api/sessions", self.sign_in, methods=["POST"]),
            Route("/api/sessions", self._guard.agent(self.sign_out), methods=["DELETE"]),
        ]

    async def sign_in(self, request: Request) -> Response:
        """Sign in from our own page: 201 with the agent and the cookies. Where a factor is asked
        for: 401 with the ticket of the second step.
        """
        try:
            if "origin" in request.headers and not self._access.is_own_origin(request.headers):
                raise Forbidden(Problem.of("page.not_ours"))
            signed_in = await self._step(request)
        except OmniError as error:
            return problem_answer(error)
        await self._sign_in.end_replaced(
            session_cookie(request.headers), signed_in.agent, origin_of(request)
        )
        view = agent_json(signed_in.agent)
        if signed_in.recovery_codes:
            view["recoveryCodes"] = list(signed_in.recovery_codes)
        response = json_answer(view, 201)
        for value in self.cookies(signed_in):
            response.headers.append("Set-Cookie", value)
        return response

    async def _step(self, request: Request) -> SignedIn:
        """Sign in with `email` and `password`, or with the `ticket` of that step and a `code`."""
        body = await read_json(request, _SIGN_IN_BYTES)
        origin, device = origin_of(request), device_of(request)
        if "ticket" in body:
            step = to_struct(body, Code)
            return await self._sign_in.finish(step.ticket, step.code, origin, device)
        given = to_struct(body, SignInBody)
        return await self._sign_in.begin(given.email, given.password, origin, device)

    async def sign_out(self, request: Request, principal: Principal) -> Response:
        """End this session, clear its cookies and what the browser has cached: 204."""
        if principal.session_key is not None:
            await self._sign_in.sign_out(principal, origin_of(request))
        response = Response(status_code=204, headers=CLEAR_SITE_DATA)
        for value in self.ended():
            response.headers.append("Set-Cookie", value)
        return response

    def cookies(self, signed_in: SignedIn) -> list[str]:
        """Return the `Set-Cookie` values of a sign-in: the session, and by what this browser is
        known the next time.
        """
        device = self._cookie(self._device_name, signed_in.device, _DEVICE_SECONDS)
        return [self.cookie(signed_in.cookie), device]

    def cookie(self, value: str) -> str:
        """Return a `Set-Cookie` value of the session."""
        return self._cookie(self._session_name, value, self._hours * 3600)

    def ended(self) -> list[str]:
        """Return the `Set-Cookie` values that clear the session, under every name it is read by."""
        names = dict.fromkeys((self._session_name, SESSION_COOKIE))
        return [self._cookie(name, "", 0) for name in names]

    def _cookie(self, name: str, value: str, seconds: int) -> str:
        cookie: SimpleCookie = SimpleCookie({name: value})
        morsel = cookie[name]
        morsel["path"], morsel["httponly"], morsel["samesite"] = "/", True, "Lax"
        morsel["max-age"] = seconds
        if self._is_secure:
            morsel["secure"] = True
        return morsel.OutputString()


def origin_of(request: Request) -> Origin:
    """Return where the request came from, for the audit log."""
    return Origin(address_of(request), request.headers.get("user-agent", ""))


def device_of(request: Request) -> str | None:
    """Return by what this browser says it is known; None for one that is new."""
    found = request.headers.get("cookie", "")
    return read_cookie(found, SECURE_DEVICE_COOKIE) or read_cookie(found, DEVICE_COOKIE)
