"""`GET /api/events` at a moment that a test from outside does not meet."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request

from server.access.authentication import Access, Principal
from server.access.foreign_access import ForeignAccessLog
from server.core.wire.event_frames import EventBatch
from server.db.access.agent_rows import Agent
from server.db.engine.database import Connection, Database
from server.db.state import eventlog
from server.http.api.events import Events
from server.http.guard import Guard
from server.http.rate_limits import ApiLimits
from server.http.request_pipeline import RequestPipeline
from server.live.bus import Bus
from server.live.feed import FeedLimits
from server.live.feeds import Feeds
from server.live.hub import Hub
from server.settings import Settings
from tests.unit.databases import fresh_sqlite

COMPANY = 1
_ASKING = Principal(Agent(1, COMPANY, "1", "Tomas", "agent", None, True, 0), None)


class Interrupted(Database):
    """Something happens between a SELECT and its answer."""

    then: Callable[[], Awaitable[None]] | None = None

    async def read(self, call: Any, **options: Any) -> Any:
        found = await super().read(call, **options)
        if self.then is not None:
            then, self.then = self.then, None
            await then()
        return found


async def test_events_bear_the_epoch_they_were_asked_in(tmp_path: Path) -> None:
    """The log begins a new epoch while they are read: the next call with their cursor is told to
    reset, and goes on from nothing.
    """
    interrupted = Interrupted(fresh_sqlite(tmp_path / "omni.db"))
    async with interrupted as database:
        await database.transaction(_append)
        feeds = Feeds(database, Bus("memory://"), Hub(), FeedLimits(), check_seconds=1.0)
        endpoint = Events(_guard(database, feeds), feeds, database)
        await feeds.watch(COMPANY)

        async def begin_anew() -> None:
            await database.transaction(lambda c: eventlog.start_epoch(c, COMPANY, "e2"))
            await feeds.check()

        interrupted.then = begin_anew
        first = await _ask(endpoint, "e1.1")
        assert ([event["seq"] for event in first["events"]], first["cursor"]) == ([2, 3], "e1.3")
        assert (await _ask(endpoint, first["cursor"])) == {
            "cursor": "e2.3",
            "events": [],
            "reset": "epoch",
        }


def _guard(database: Database, feeds: Feeds) -> Guard:
    access = Access(
        database, Settings(jwt_secret="k" * 32), lambda agent_id: None, lambda keys: None
    )
    return Guard(
        RequestPipeline(
            access, ApiLimits(agent_per_minute=0, company_per_minute=0), ForeignAccessLog(database)
        ),
        access,
        feeds,
    )


async def _append(connection: Connection) -> None:
    await eventlog.lock_streams(connection, [COMPANY], "e1")
    await eventlog.append_events(
        connection, EventBatch(COMPANY, "e1", 1, tuple(b'{"seq":%d}' % n for n in (1, 2, 3))), 1
    )


async def _ask(endpoint: Events, cursor: str) -> Any:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/events",
        "headers": [],
        "query_string": f"cursor={cursor}".encode(),
    }
    return json.loads(bytes((await endpoint.read(Request(scope), _ASKING)).body))
