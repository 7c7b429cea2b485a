"""`GET /api/events`: the same events as the socket, for those who poll."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal
from server.core.state.cursors import Mode, judge, parse_cursor
from server.db.engine.database import Database
from server.db.state import eventlog
from server.errors import BadRequest
from server.http.answer_format import answer_format
from server.http.guard import Guard, catch_up_with
from server.http.responses import json_answer, query_number
from server.live.feeds import Feeds

LIMIT_MOST = 1_000


class Events:
    """The endpoint, with what it was given at the start."""

    def __init__(self, guard: Guard, feeds: Feeds, database: Database) -> None:
        self._guard = guard
        self._feeds = feeds
        self._database = database

    def routes(self) -> list[BaseRoute]:
        return [Route("/api/events", self._guard.agent(self.read), methods=["GET"])]

    async def read(self, request: Request, principal: Principal) -> Response:
        """`{cursor, events, reset?}`: the events after the cursor, as far as one answer goes; ask
        again with its cursor.
        """
        feed = await self._feeds.watch(principal.company_id)
        text = request.query_params.get("cursor") or None
        limit = query_number(request, "limit", LIMIT_MOST) or LIMIT_MOST
        try:
            cursor = parse_cursor(text) if text is not None else None
        except ValueError:
            raise BadRequest(
                "cursor is none of ours: begin with the Inbox-Cursor of a list"
            ) from None
        await catch_up_with(cursor, feed, self._feeds)
        headers = {
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, Cookie",
            "Inbox-Cursor": feed.cursor,
        }
        verdict = judge(cursor, feed.stream)
        if cursor is None or verdict.mode is Mode.RESET:
            return json_answer(
                {"cursor": feed.cursor, "events": [], "reset": verdict.reason}, headers=headers
            )
        tag = f'W/"{answer_format()}.{feed.cursor}.{limit}"'
        headers["ETag"] = tag
        if verdict.mode is Mode.LIVE:
            if tag in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
            return json_answer({"cursor": feed.cursor, "events": []}, headers=headers)
        after = cursor.seq
        events = await self._database.read(
            lambda c: eventlog.read_events(c, principal.company_id, after, limit)
        )
        if events and events[0][0] != after + 1:
            return json_answer(
                {"cursor": feed.cursor, "events": [], "reset": "too_old"}, headers=headers
            )
        last = events[-1][0] if events else after
        # in the epoch they were asked for: if the log began anew meanwhile, the next call is told
        # so
        body = b'{"cursor":"%s.%d","events":[%s]}' % (
            cursor.epoch.encode(),
            last,
            b",".join(body for _, body in events),
        )
        return Response(body, headers=headers, media_type="application/json")
