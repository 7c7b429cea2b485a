"""What stands before every endpoint of agents: who is asking, and whether their company has changed
since they last asked.
"""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from server.access.authentication import Access, Principal
from server.access.foreign_access import Trespass
from server.core.state.recovery import Cursor
from server.errors import Forbidden, OmniError
from server.http.answer_format import answer_format
from server.http.client_address import address_of
from server.http.rate_limits import ApiLimits
from server.http.responses import Handler, problem_answer
from server.live.feed import Feed
from server.live.feeds import Feeds

AgentHandler = Callable[[Request, Principal], Awaitable[Response]]

_SNAPSHOTS = "/api/conversations"
_FORMAT = answer_format()


# a client may have heard from another process what the bus has yet to bring here: look so often,
# and wait so long after each look
_AHEAD_SECONDS = (0.02, 0.1, 0.4)


class Guard:
    """Wraps handlers."""

    def __init__(
        self,
        access: Access,
        feeds: Feeds,
        limits: ApiLimits,
        trespass: Trespass,
        tag_suffix: Callable[[], str] = str,
    ) -> None:
        """`tag_suffix`: added to every tag, where the head of the log does not prove everything."""
        self._tag_suffix = tag_suffix
        self._access = access
        self._feeds = feeds
        self._limits = limits
        self._trespass = trespass

    def agent(self, handler: AgentHandler, *, is_for_operation: bool = False) -> Handler:
        """Only for a signed-in agent; our errors become problems. `is_for_operation`: see
        `Access.authenticate`.
        """

        async def answer(request: Request) -> Response:
            principal: Principal | None = None
            try:
                principal = await self._access.authenticate(
                    request.headers,
                    request.method,
                    address_of(request),
                    is_for_operation=is_for_operation,
                )
                self._limits.check(principal)
                return await handler(request, principal)
            except OmniError as error:
                if error.status == 404 and principal is not None:
                    await self._trespass.note(principal, request.method, request.url.path)
                return problem_answer(error)

        return answer

    def admin(self, handler: AgentHandler, *, is_for_operation: bool = False) -> Handler:
        """As `agent`, for administrators alone."""

        async def answer(request: Request, principal: Principal) -> Response:
            if principal.agent.role != "admin":
                raise Forbidden("Only administrators of your company may do this")
            return await handler(request, principal)

        return self.agent(answer, is_for_operation=is_for_operation)

    def unchanged(self, scope: Scope) -> list[tuple[bytes, bytes]] | None:
        """The headers of a 304, for a poll whose company has not changed: found in memory, before a
        request is even made of the scope.
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
            or (principal := self._access.remembered(authorization.decode("latin-1"))) is None
        ):
            return None
        feed = self._feeds.get(principal.company_id)
        headers = (
            None if feed is None else snapshot_headers(feed.cursor, principal, self._tag_suffix())
        )
        if headers is None or headers["ETag"].encode() not in asked:
            return None
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    def snapshot(self, handler: AgentHandler) -> Handler:
        """As `agent`, and conditional: while the company's head is what the client has seen, 304
        from memory.

        The tag is taken before the data is read, so data may be newer than its tag, never older.
        """

        async def answer(request: Request) -> Response:
            principal: Principal | None = None
            try:
                principal = await self._access.authenticate(
                    request.headers, request.method, address_of(request)
                )
                feed = self._feeds.get(principal.company_id)
                if feed is None:
                    feed = await self._feeds.watch(principal.company_id)
                headers = snapshot_headers(feed.cursor, principal, self._tag_suffix())
                if (
                    headers["ETag"] in request.headers.get("if-none-match", "")
                    and self._feeds.is_fresh
                ):
                    return Response(status_code=304, headers=headers)
                self._limits.check(principal)
                response = await handler(request, principal)
            except OmniError as error:
                if error.status == 404 and principal is not None:
                    await self._trespass.note(principal, request.method, request.url.path)
                return problem_answer(error)
            for name, value in headers.items():
                # a handler may know the very place its data was read at
                response.headers.setdefault(name, value)
            return response

        return answer


def snapshot_headers(cursor: str, principal: Principal, suffix: str = "") -> dict[str, str]:
    """Of an answer that has everything up to `cursor`."""
    tag = f'W/"{_FORMAT}.{cursor}.{principal.agent.id}{suffix}"'
    return {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
        "Inbox-Cursor": cursor,
    }


async def catch_up_with(cursor: Cursor | None, feed: Feed, feeds: Feeds) -> None:
    """Wait a moment for a feed that is behind a client's cursor: the log may well be as far.

    Without this a client that comes from another process would be told to reset, and the operators
    that the database went back.
    """
    for seconds in _AHEAD_SECONDS:
        if cursor is None or cursor.epoch != feed.epoch or cursor.seq <= feed.head:
            return
        feeds.check_soon()
        await asyncio.sleep(seconds)
