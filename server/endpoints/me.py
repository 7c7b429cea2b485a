"""Who am I, and what I have chosen for myself."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.auth import Principal
from server.core.preferences import Preferences, change_preferences
from server.db.database import Connection, Database
from server.db.preferences import read_preferences, write_preferences
from server.endpoints.answers import agent_json, json_answer, read_json
from server.endpoints.guard import Guard


class Me:
    """The endpoints, with what they were given at the start."""

    def __init__(self, guard: Guard, database: Database) -> None:
        self._guard, self._database = guard, database

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/me", self._guard.agent(self.read), methods=["GET"]),
            Route("/api/me", self._guard.agent(self.change), methods=["PATCH"]),
        ]

    async def read(self, request: Request, principal: Principal) -> Response:
        preferences = await self._database.read(lambda c: read_preferences(c, principal.agent.id))
        return json_answer(agent_json(principal.agent) | {"preferences": preferences})

    async def change(self, request: Request, principal: Principal) -> Response:
        given = (await read_json(request)).get("preferences")

        async def write(connection: Connection) -> Preferences:
            after = change_preferences(await read_preferences(connection, principal.agent.id), given)
            await write_preferences(connection, principal.agent.id, after)
            return after

        preferences = await self._database.transaction(write)
        return json_answer(agent_json(principal.agent) | {"preferences": preferences})
