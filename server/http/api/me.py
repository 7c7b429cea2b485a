"""Who am I, what have I chosen for myself, and who are my colleagues."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal
from server.core.wire.rest_schema import MeChange
from server.db.access.agent_rows import read_agents
from server.db.engine.database import Database
from server.http.agent_preferences import AgentPreferences
from server.http.bodies import read_struct
from server.http.guard import Guard
from server.http.responses import agent_json, json_answer
from server.live.feeds import Feeds
from server.live.presence import Presence

_MAX_AGENTS = 5_000


class Me:
    """Serves the agent who asks, their preferences and their colleagues."""

    def __init__(self, guard: Guard, database: Database, feeds: Feeds, presence: Presence) -> None:
        self._guard = guard
        self._database = database
        self._preferences = AgentPreferences(database)
        self._feeds = feeds
        self._presence = presence

    def routes(self) -> list[BaseRoute]:
        """The routes of `/api/me` and `/api/agents`."""
        return [
            Route("/api/me", self._guard.agent(self.read), methods=["GET"]),
            Route("/api/me", self._guard.agent(self.change), methods=["PATCH"]),
            Route("/api/agents", self._guard.agent(self.colleagues), methods=["GET"]),
        ]

    async def read(self, request: Request, principal: Principal) -> Response:
        """Return the agent with their preferences."""
        preferences = await self._preferences.read(principal.agent.id)
        return json_answer(agent_json(principal.agent) | {"preferences": preferences})

    async def change(self, request: Request, principal: Principal) -> Response:
        """Change the preferences that are given, and return the agent with all of them."""
        given = (await read_struct(request, MeChange)).preferences
        preferences = await self._preferences.change(principal.agent.id, given)
        return json_answer(agent_json(principal.agent) | {"preferences": preferences})

    async def colleagues(self, request: Request, principal: Principal) -> Response:
        """List the company's active agents by name, and who is online. That is known of processes
        whose presence messages this one gets, so it asks for them.
        """
        company_id = principal.company_id
        await self._feeds.watch(company_id)
        agents = await self._database.read(lambda c: read_agents(c, company_id, _MAX_AGENTS))
        online = self._presence.online(company_id)
        return json_answer(
            [
                {"id": agent.id, "name": agent.name, "isOnline": agent.id in online}
                for agent in sorted(agents, key=lambda agent: (agent.name.casefold(), agent.id))
                if agent.is_active
            ]
        )
