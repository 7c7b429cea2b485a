"""Sign in and out of the web inbox."""

from http.cookies import SimpleCookie

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.auth import SESSION_COOKIE, Access, Principal
from server.endpoints.answers import agent_json, json_answer, problem_answer, read_json
from server.endpoints.guard import Guard
from server.errors import BadRequest, Forbidden, OmniError


class Sessions:
    """The endpoints, with what they were given at the start."""

    def __init__(self, guard: Guard, access: Access, *, hours: int, is_secure: bool) -> None:
        self._guard, self._access, self._hours, self._is_secure = guard, access, hours, is_secure

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/sessions", self.sign_in, methods=["POST"]),
            Route("/api/sessions", self._guard.agent(self.sign_out), methods=["DELETE"]),
        ]

    async def sign_in(self, request: Request) -> Response:
        try:
            if "origin" in request.headers and not self._access.is_own_origin(request.headers):
                raise Forbidden("This was not sent from our own page; open the inbox and try again")
            body = await read_json(request)
            email, password = body.get("email"), body.get("password")
            if not isinstance(email, str) or not isinstance(password, str):
                raise BadRequest("email and password must be text")
            cookie, agent = await self._access.sign_in(email, password, address_of(request))
        except OmniError as error:
            return problem_answer(error)
        return json_answer(agent_json(agent), 201, {"Set-Cookie": self.cookie(cookie)})

    async def sign_out(self, request: Request, principal: Principal) -> Response:
        if principal.session_key is not None:
            await self._access.sign_out(principal.session_key)
        return Response(status_code=204, headers={"Set-Cookie": self.cookie("")})

    def cookie(self, value: str) -> str:
        """A `Set-Cookie` value; an empty one clears the cookie."""
        cookie: SimpleCookie = SimpleCookie({SESSION_COOKIE: value})
        morsel = cookie[SESSION_COOKIE]
        morsel["path"], morsel["httponly"], morsel["samesite"] = "/", True, "Lax"
        morsel["max-age"] = self._hours * 3600 if value else 0
        if self._is_secure:
            morsel["secure"] = True
        return morsel.OutputString()


def address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"
