"""An agent's own account over REST: sign-ins that can be ended one by one, and the second
factor.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal
from server.access.sign_in import SignIn
from server.core.state.entities import Json
from server.core.times import iso
from server.core.wire.rest_schema import Code, PasswordAgain
from server.db.access.agent_sessions import SignInView
from server.http.api.sessions import origin_of
from server.http.bodies import read_struct
from server.http.guard import Guard
from server.http.responses import json_answer


class AccountApi:
    """Serves an agent's own sign-ins and second factor."""

    def __init__(self, guard: Guard, sign_in: SignIn) -> None:
        self._guard = guard
        self._sign_in = sign_in

    def routes(self) -> list[BaseRoute]:
        """The routes under `/api/me/sessions` and `/api/me/second-factor`."""
        agent = self._guard.agent
        factor = "/api/me/second-factor"
        return [
            Route("/api/me/sessions", agent(self.sessions), methods=["GET"]),
            Route("/api/me/sessions/end-others", agent(self.end_others), methods=["POST"]),
            Route("/api/me/sessions/{id}", agent(self.end_session), methods=["DELETE"]),
            Route(factor, agent(self.factor), methods=["GET"]),
            Route(factor, agent(self.new_factor), methods=["POST"]),
            Route(factor, agent(self.confirm), methods=["PUT"]),
            Route(factor, agent(self.turn_off), methods=["DELETE"]),
        ]

    async def sessions(self, request: Request, principal: Principal) -> Response:
        """List the agent's sign-ins that have not ended; `isThis` marks the one that asks."""
        found = await self._sign_in.sessions(principal)
        return json_answer([_view(one, principal) for one in found])

    async def end_session(self, request: Request, principal: Principal) -> Response:
        """End one sign-in: 204. Raises NotFound."""
        await self._sign_in.end_session(principal, request.path_params["id"], origin_of(request))
        return Response(status_code=204)

    async def end_others(self, request: Request, principal: Principal) -> Response:
        """End all sign-ins but this one: `{ended}`, their number."""
        ended = await self._sign_in.end_other_sessions(principal, origin_of(request))
        return json_answer({"ended": ended})

    async def factor(self, request: Request, principal: Principal) -> Response:
        """Answer whether the second factor is on, required, and how many recovery codes are
        left.
        """
        state = await self._sign_in.factors.factor_state(principal.agent)
        return json_answer(
            {
                "isOn": state.is_on,
                "isRequired": state.is_required,
                "recoveryCodesLeft": state.recovery_codes_left,
            }
        )

    async def new_factor(self, request: Request, principal: Principal) -> Response:
        """Begin to set up a factor, after the password once more: 201 with the secret to scan, and
        the ticket for `confirm`.
        """
        password = (await read_struct(request, PasswordAgain)).password
        new = await self._sign_in.factors.new_factor(principal.agent, password, origin_of(request))
        return json_answer({"ticket": new.ticket, "uri": new.uri, "secret": new.secret}, 201)

    async def confirm(self, request: Request, principal: Principal) -> Response:
        """Switch the new factor on with a code of the app; the recovery codes are shown this
        once.
        """
        given = await read_struct(request, Code)
        codes = await self._sign_in.factors.confirm(
            principal.agent, given.ticket, given.code, origin_of(request)
        )
        return json_answer({"recoveryCodes": list(codes)})

    async def turn_off(self, request: Request, principal: Principal) -> Response:
        """Switch the factor off, after the password once more: 204."""
        password = (await read_struct(request, PasswordAgain)).password
        await self._sign_in.factors.turn_off(principal.agent, password, origin_of(request))
        return Response(status_code=204)


def _view(one: SignInView, principal: Principal) -> Json:
    return {
        "id": one.id,
        "createdAt": iso(one.created_us),
        "expiresAt": iso(one.expires_us),
        "address": one.address,
        "client": one.client,
        "isThis": one.key == principal.session_key,
    }
