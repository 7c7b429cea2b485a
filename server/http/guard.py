"""The guard of every endpoint of agents: the pipeline of requests, problems for what goes wrong,
and 304 while a company has not changed since the client last asked.
"""

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from server.access.authentication import Access, Principal
from server.core.state.cursors import Cursor
from server.errors import OmniError
from server.http.answer_format import answer_format
from server.http.request_pipeline import AgentHandler, RequestPipeline, only_admins
from server.http.responses import Handler, problem_answer
from server.live.feed import Feed
from server.live.feeds import Feeds

_SNAPSHOTS = "/api/conversations"
_FORMAT = answer_format()
# a client may have heard from another process what the bus has yet to bring here: check again after
# each of these
_CATCH_UP_DELAYS_SECONDS = (0.02, 0.1, 0.4)


class Guard:
    """Wraps the handlers of the API: authentication, limits, problems, conditional requests."""

    def __init__(
        self,
        pipeline: RequestPipeline,
        access: Access,
        feeds: Feeds,
        tag_suffix: Callable[[], str] = str,
    ) -> None:
        """`tag_suffix`: added to every tag, where the head of the log does not prove everything."""
        self._pipeline = pipeline
        self._access = access
        self._feeds = feeds
        self._tag_suffix = tag_suffix

    def agent(self, handler: AgentHandler, *, is_for_operation: bool = False) -> Handler:
        """Return the handler for signed-in agents alone, with our errors as problems.
        `is_for_operation`: see `Access.authenticate`.
        """

        async def answer(request: Request) -> Response:
            try:
                return await self._pipeline.run(request, handler, is_for_operation=is_for_operation)
            except OmniError as error:
                return problem_answer(error)

        return answer

    def admin(self, handler: AgentHandler, *, is_for_operation: bool = False) -> Handler:
        """Return what `agent` returns, for administrators alone."""
        guarded = only_admins(handler, "Only administrators of your company may do this")
        return self.agent(guarded, is_for_operation=is_for_operation)

    def snapshot(self, handler: AgentHandler) -> Handler:
        """Return what `agent` returns, conditional: while the company's head is what the client has
        seen, the answer is 304 from memory.

        The tag is read before the data, so data may be newer than its tag, never older. A handler
        that knows the very place its data was read at says so in `Inbox-Cursor`.
        """

        async def not_modified(request: Request, principal: Principal) -> Response | None:
            company_id = principal.company_id
            feed = self._feeds.get(company_id) or await self._feeds.watch(company_id)
            asked = request.headers.get("if-none-match", "")
            request.state.cursor, request.state.tag_suffix = feed.cursor, self._tag_suffix()
            headers, is_unchanged = self._compare(feed, principal, asked)
            return Response(status_code=304, headers=headers) if is_unchanged else None

        async def tagged(request: Request, principal: Principal) -> Response:
            response = await handler(request, principal)
            cursor = response.headers.get("Inbox-Cursor", request.state.cursor)
            response.headers.update(_headers(cursor, principal, request.state.tag_suffix))
            return response

        async def answer(request: Request) -> Response:
            try:
                return await self._pipeline.run(request, tagged, shortcut=not_modified)
            except OmniError as error:
                return problem_answer(error)

        return answer

    def unchanged(self, scope: Scope) -> list[tuple[bytes, bytes]] | None:
        """Return the headers of a 304 for a poll whose company has not changed, else None: found in
        memory, before a request is even made of the scope.
        """
        if scope["method"] != "GET" or not scope["path"].startswith(_SNAPSHOTS):
            return None
        asked = authorization = b""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                asked = value
            elif name == b"authorization":
                authorization = value
        if (
            not asked
            or (principal := self._access.cached_principal(authorization.decode("latin-1"))) is None
            or (feed := self._feeds.get(principal.company_id)) is None
        ):
            return None
        headers, is_unchanged = self._compare(feed, principal, asked.decode("latin-1"))
        if not is_unchanged:
            return None
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    def _compare(self, feed: Feed, principal: Principal, asked: str) -> tuple[dict[str, str], bool]:
        """Return the headers of an answer with everything up to the feed's head, and whether the
        client has it by the tags it `asked` with. A head that was not compared lately proves
        nothing.
        """
        headers = _headers(feed.cursor, principal, self._tag_suffix())
        return headers, headers["ETag"] in asked and self._feeds.is_fresh


def _headers(cursor: str, principal: Principal, suffix: str) -> dict[str, str]:
    """Return the headers of an answer that has everything up to `cursor`."""
    return {
        "ETag": f'W/"{_FORMAT}.{cursor}.{principal.agent.id}{suffix}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
        "Inbox-Cursor": cursor,
    }


async def catch_up_with(cursor: Cursor | None, feed: Feed, feeds: Feeds) -> None:
    """Wait a moment for a feed that is behind a client's cursor: the log may well be as far.

    Without this a client that comes from another process would be told to reset, and the operators
    that the database went back.
    """
    for seconds in _CATCH_UP_DELAYS_SECONDS:
        if cursor is None or cursor.epoch != feed.epoch or cursor.seq <= feed.head:
            return
        feeds.check_soon()
        await asyncio.sleep(seconds)
