"""`GET /api/events`: the same events as the socket, for those who poll."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal
from server.core.state.cursors import Cursor, Mode, judge, parse_cursor
from server.db.engine.database import Database
from server.db.state import eventlog
from server.errors import BadRequest
from server.http.answer_format import answer_format
from server.http.guard import Guard, catch_up_with
from server.http.responses import json_answer, query_number
from server.live.feeds import Feeds
from server.problems import Problem

MAX_LIMIT = 1_000


class Events:
    """Serves the event log to clients that poll."""

    def __init__(self, guard: Guard, feeds: Feeds, database: Database) -> None:
        self._guard = guard
        self._feeds = feeds
        self._database = database

    def routes(self) -> list[BaseRoute]:
        """The route of `/api/events`."""
        return [Route("/api/events", self._guard.agent(self.read), methods=["GET"])]

    async def read(self, request: Request, principal: Principal) -> Response:
        """Answer `{cursor, events, reset?}`: the events after the cursor, as far as one answer
        goes; ask again with its cursor.
        """
        feed = await self._feeds.watch(principal.company_id)
        limit = query_number(request, "limit", MAX_LIMIT) or MAX_LIMIT
        cursor = _cursor_of(request)
        await catch_up_with(cursor, feed, self._feeds)
        headers = {
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, Cookie",
            "Inbox-Cursor": feed.cursor,
        }
        verdict = judge(cursor, feed.stream)
        if cursor is None or verdict.mode is Mode.RESET:
            return _reset(feed.cursor, verdict.reason, headers)
        tag = f'W/"{answer_format()}.{feed.cursor}.{limit}"'
        headers["ETag"] = tag
        if verdict.mode is Mode.LIVE:
            if tag in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
            return json_answer({"cursor": feed.cursor, "events": []}, headers=headers)
        events = await self._database.read(
            lambda c: eventlog.read_events(c, principal.company_id, cursor.seq, limit)
        )
        if events and events[0][0] != cursor.seq + 1:
            return _reset(feed.cursor, "too_old", headers)
        return _events_after(cursor, events, headers)


def _cursor_of(request: Request) -> Cursor | None:
    text = request.query_params.get("cursor") or None
    try:
        return parse_cursor(text) if text is not None else None
    except ValueError:
        raise BadRequest(Problem.of("cursor.foreign_begin")) from None


def _reset(cursor: str, reason: str | None, headers: dict[str, str]) -> Response:
    return json_answer({"cursor": cursor, "events": [], "reset": reason}, headers=headers)


def _events_after(
    cursor: Cursor, events: list[tuple[int, bytes]], headers: dict[str, str]
) -> Response:
    """Return the events, which are JSON already. Their cursor is of the epoch they were asked for:
    if the log began anew meanwhile, the next call is told so.
    """
    body = b'{"cursor":"%s.%d","events":[%s]}' % (
        cursor.epoch.encode(),
        events[-1][0] if events else cursor.seq,
        b",".join(body for _, body in events),
    )
    return Response(body, headers=headers, media_type="application/json")
