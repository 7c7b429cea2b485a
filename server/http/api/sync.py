"""A sync in the background over REST: begin, read how far it is, stop."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.http.guard import Guard
from server.http.responses import json_answer, path_number
from server.incoming.sync_jobs import SyncJobs, run_view

_PATH = "/api/integrations/{id}/sync"


class SyncRunsApi:
    """Serves the syncs of integrations to administrators."""

    def __init__(self, guard: Guard, runs: SyncJobs) -> None:
        self._guard = guard
        self._runs = runs

    def routes(self) -> list[BaseRoute]:
        """The routes of an integration's sync."""
        admin = self._guard.admin
        return [
            Route(_PATH, admin(self.read), methods=["GET"]),
            Route(_PATH, admin(self.begin), methods=["POST"]),
            Route(_PATH, admin(self.stop), methods=["DELETE"]),
        ]

    async def read(self, request: Request, principal: Principal) -> Response:
        """Return the newest run and how far it is; null where there was none."""
        run = await self._runs.get(principal.company_id, path_number(request, "id"))
        return json_answer(
            None if run is None else run_view(run), 200, {"Cache-Control": "no-store"}
        )

    async def begin(self, request: Request, principal: Principal) -> Response:
        """Begin a run, or go on where the last one was stopped: 202 with it. One that is under way
        goes on.
        """
        return json_answer(
            run_view(await self._runs.request(actor_of(principal), path_number(request, "id"))), 202
        )

    async def stop(self, request: Request, principal: Principal) -> Response:
        """Ask the run to stop within a second: 202 with it. What is done stays done."""
        return json_answer(
            run_view(await self._runs.stop(actor_of(principal), path_number(request, "id"))), 202
        )
