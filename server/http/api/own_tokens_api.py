"""An agent's own access tokens of Chatwoot over REST: whose they are and whether they work, never
the tokens.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.core.state.entities import Json
from server.core.times import iso, iso_or_none
from server.core.wire.rest_schema import NewOwnToken
from server.errors import NotFound
from server.http.bodies import read_struct
from server.http.guard import Guard
from server.http.responses import json_answer, path_number
from server.integrations.own_token_connections import OwnConnection, OwnTokenConnections
from server.integrations.own_tokens import OwnTokens, Sender
from server.problems import Problem, english_or_none

_PATH = "/api/me/own-tokens"


class OwnTokensApi:
    """Serves an agent's own tokens; administrators remove those of their company's agents."""

    def __init__(
        self, guard: Guard, connections: OwnTokenConnections, own_tokens: OwnTokens
    ) -> None:
        self._guard = guard
        self._connections = connections
        self._own_tokens = own_tokens

    def routes(self) -> list[BaseRoute]:
        """The routes under `/api/me/own-tokens`, and the one of administrators."""
        agent, admin = self._guard.agent, self._guard.admin
        one = _PATH + "/{id}"
        of_person = "/api/people/{id}/own-tokens"
        return [
            Route(_PATH, agent(self.list_own), methods=["GET"]),
            Route(one, agent(self.connect), methods=["PUT"]),
            Route(one, agent(self.remove), methods=["DELETE"]),
            Route(one + "/check", agent(self.check), methods=["POST"]),
            Route(of_person, admin(self.list_of_person), methods=["GET"]),
            Route(of_person, admin(self.remove_of), methods=["DELETE"]),
        ]

    async def list_own(self, request: Request, principal: Principal) -> Response:
        """List under which name the agent replies, by integration."""
        return json_answer(await self._views(principal))

    async def connect(self, request: Request, principal: Principal) -> Response:
        """Keep a token once Chatwoot has said whose it is, and return the list."""
        given = await read_struct(request, NewOwnToken)
        await self._connections.connect(
            actor_of(principal), path_number(request, "id"), given.access_token
        )
        return json_answer(await self._views(principal))

    async def check(self, request: Request, principal: Principal) -> Response:
        """Ask Chatwoot anew whose the token is, and return the list."""
        await self._connections.check(actor_of(principal), path_number(request, "id"))
        return json_answer(await self._views(principal))

    async def remove(self, request: Request, principal: Principal) -> Response:
        """Forget the token for the integration and the others of its account: 204."""
        await self._connections.remove(actor_of(principal), path_number(request, "id"))
        return Response(status_code=204)

    async def list_of_person(self, request: Request, principal: Principal) -> Response:
        """List the tokens that an agent of the company has connected. Raises NotFound where there
        are none.
        """
        found = await self._connections.list_company(principal.company_id)
        own = found.get(path_number(request, "id"))
        if own is None:
            raise NotFound(Problem.of("own_token.none"))
        return json_answer([_view(one, None) for one in own])

    async def remove_of(self, request: Request, principal: Principal) -> Response:
        """Forget all tokens of an agent: 204. Raises NotFound where there are none."""
        await self._connections.remove_of(actor_of(principal), path_number(request, "id"))
        return Response(status_code=204)

    async def _views(self, principal: Principal) -> list[Json]:
        agent = principal.agent
        senders = {one.integration_id: one for one in await self._own_tokens.senders(agent)}
        found = await self._connections.list_own(agent.company_id, agent.id)
        return [_view(one, senders.get(one.integration.id)) for one in found]


def _view(one: OwnConnection, sender: Sender | None) -> Json:
    own, integration = one.own, one.integration
    seen: Json = {
        "integrationId": integration.id,
        "inboxName": integration.inbox_name,
        "baseUrl": integration.base_url,
        "accountId": integration.account_id,
        "isConnected": own is not None,
        "name": own.name if own is not None else None,
        "email": own.email if own is not None else None,
        "connectedAt": iso(own.connected_us) if own is not None else None,
        "checkedAt": iso(own.checked_us) if own is not None else None,
        "refusedAt": iso_or_none(own.refused_us) if own is not None else None,
        "refusal": english_or_none(one.refusal),
    }
    if sender is not None:
        seen["sender"] = {"state": sender.state, "name": sender.name}
    return seen
