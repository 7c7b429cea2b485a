"""`/ws`: from the handshake to the welcome; then the socket belongs to a
`connection.LiveConnection`.
"""

import asyncio
from collections import Counter
from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from server import log, metrics
from server.access.authentication import (
    Access,
    Principal,
    check_agent,
    session_cookie,
)
from server.close_codes import CloseCode, metric_label
from server.core.state.cursors import (
    Cursor,
    Mode,
    Verdict,
    judge,
    parse_cursor,
)
from server.core.times import SECOND, iso
from server.core.wire.client_frames import (
    MIN_PROTOCOL_VERSION,
    Hello,
    encode_error,
    parse_client_message,
)
from server.errors import (
    BadRequest,
    ClientTooOld,
    Forbidden,
    OmniError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from server.http.client_address import address_of
from server.http.guard import catch_up_with
from server.http.responses import problem_answer
from server.live.asgi_socket import AsgiSocketWriter
from server.live.connection import LiveConnection
from server.live.connection_ports import PresencePort, SocketAccess, SocketTimings
from server.live.feed import Feed
from server.live.feeds import Feeds
from server.live.hub import Hub
from server.live.push_protocol import EXTENSION
from server.live.socket_ports import SocketWriter
from server.problems import Problem
from server.settings import Settings

_logger = log.get(__name__)


class DrainState(Protocol):
    """Whether this process is about to stop."""

    is_draining: bool


class Sockets:
    """Serves `/ws` up to the welcome."""

    def __init__(
        self,
        access: Access,
        feeds: Feeds,
        hub: Hub,
        presence: PresencePort,
        settings: Settings,
        process: DrainState,
    ) -> None:
        self._access = access
        self._feeds = feeds
        self._hub = hub
        self._presence = presence
        self._settings = settings
        self._process = process
        # by address: sockets that nobody has signed in on yet
        self._strangers: Counter[str] = Counter()
        self._timings = SocketTimings(
            ping=settings.ping_seconds,
            silence=settings.socket_silence_seconds,
            slow=settings.slow_socket_seconds,
            high_water_bytes=settings.socket_buffer_bytes,
            drain=settings.drain_seconds,
        )

    async def serve(self, websocket: WebSocket) -> None:
        """Open one socket: returns when it is refused, over, or handed to its protocol. Refuses the
        handshake with 503 while the process drains.
        """
        # by HTTP, which a proxy understands: it goes to another process
        if self._process.is_draining:
            await websocket.send_denial_response(
                problem_answer(Unavailable("This process is about to stop; connect again"))
            )
            return
        await websocket.accept()
        try:
            await self._open(websocket)
        except (WebSocketDisconnect, ConnectionResetError):
            return
        except OmniError as error:
            metrics.socket_closes.labels(metric_label(error.close_code)).inc()
            await _refuse(websocket, error)

    async def _open(self, websocket: WebSocket) -> None:
        hello, principal = await self._introduce(websocket)
        cursor = _cursor(hello.cursor)
        self._check_limits(principal)
        feed = await self._feeds.watch(principal.company_id)
        await catch_up_with(cursor, feed, self._feeds)
        # judged again, from memory: access may have been withdrawn during these waits, when there
        # was no socket yet that could be closed; and of many that waited here at once only as many
        # may join as there is room for
        principal = await self._authenticate(websocket, hello)
        self._check_limits(principal)
        push: SocketWriter | None = websocket.scope.get("extensions", {}).get(EXTENSION)
        if push is not None:
            self._welcome(push, principal, feed, cursor)
            return
        fallback = AsgiSocketWriter(websocket)
        await fallback.run(self._welcome(fallback, principal, feed, cursor))

    def _welcome(
        self, push: SocketWriter, principal: Principal, feed: Feed, cursor: Cursor | None
    ) -> LiveConnection:
        """Judge the cursor, say welcome and hand over, without a wait between: so no event falls
        between the two.
        """
        verdict = judge(cursor, feed.stream)
        if verdict.reason == "ahead":
            _logger.error(
                "a client is ahead of its event log; was the database restored?",
                company_id=feed.company_id,
            )
        if verdict.mode is Mode.RESET:
            metrics.feed_resets.labels(verdict.reason or "").inc()
        is_replaying = verdict.mode is Mode.REPLAY
        seq = cursor.seq if is_replaying and cursor else feed.head
        connection = self._connection(push, principal, feed, seq)
        self._say_welcome(connection, principal, verdict, feed.cursor)
        connection.start(
            is_replaying=is_replaying, renew=lambda token: self._renew(principal, token)
        )
        return connection

    def _connection(
        self, push: SocketWriter, principal: Principal, feed: Feed, seq: int
    ) -> LiveConnection:
        """A connection of the agent that has everything up to `seq`, not started yet."""
        return LiveConnection(
            push,
            self._hub,
            feed,
            self._presence,
            self._timings,
            agent_id=principal.agent.id,
            agent_name=principal.agent.name,
            seq=seq,
            session_key=principal.session_key,
            access=_access_of(principal),
            now_seconds=self._access.now_seconds,
        )

    def _say_welcome(
        self, connection: LiveConnection, principal: Principal, verdict: Verdict, cursor: str
    ) -> None:
        agent = principal.agent
        connection.send(
            "welcome",
            session=connection.session,
            agent={"id": agent.id, "name": agent.name, "role": agent.role},
            companyId=agent.company_id,
            mode=verdict.mode.value,
            reason=verdict.reason,
            cursor=cursor,
            pingMs=int(self._settings.ping_seconds * 1000),
            now=iso(int(self._access.now_seconds() * SECOND)),
            expiresAt=None
            if principal.expires_at is None
            else iso(int(principal.expires_at * SECOND)),
        )

    async def _introduce(self, websocket: WebSocket) -> tuple[Hello, Principal]:
        """Wait for hello, and return it with the agent. Until then a socket counts by its address:
        an office shares one, so nobody who has signed in does.
        """
        address = address_of(websocket)
        if self._strangers[address] >= self._settings.strangers_per_address:
            raise TooManyRequests("Too many connections of this address wait to sign in")
        self._strangers[address] += 1
        try:
            hello = await self._read_hello(websocket)
            return hello, await self._authenticate(websocket, hello)
        finally:
            self._strangers[address] -= 1
            if not self._strangers[address]:
                del self._strangers[address]

    async def _read_hello(self, websocket: WebSocket) -> Hello:
        try:
            async with asyncio.timeout(self._settings.hello_seconds):
                message = await websocket.receive()
        except TimeoutError:
            raise BadRequest("hello did not come in time") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", CloseCode.NO_STATUS))
        text = message.get("text")
        if text is None:
            raise BadRequest("the first frame must be a text frame with hello")
        try:
            hello = parse_client_message(text.encode())
        except ValueError as error:
            raise BadRequest(str(error)) from None
        if not isinstance(hello, Hello):
            raise BadRequest("the first frame must be hello")
        if hello.version < MIN_PROTOCOL_VERSION:
            raise ClientTooOld
        return hello

    async def _authenticate(self, websocket: WebSocket, hello: Hello) -> Principal:
        """Return who the socket is for. Raises OtherAgent for a page that was made for another
        agent: it is to show and say nothing in this agent's name.
        """
        principal = await self._principal(websocket, hello)
        check_agent(None if hello.agent is None else str(hello.agent), principal.agent)
        return principal

    async def _principal(self, websocket: WebSocket, hello: Hello) -> Principal:
        headers, address = websocket.headers, address_of(websocket)
        if hello.token:
            return await self._access.authenticate_token(hello.token, address)
        cookie = session_cookie(headers)
        if cookie is None:
            raise Unauthenticated
        # a foreign page's script would send the cookie as well
        if not self._access.is_own_origin(headers):
            raise Forbidden("This socket was not opened by our own page")
        return await self._access.authenticate_session(cookie, address)

    async def _renew(self, principal: Principal, token: str) -> SocketAccess:
        renewed = await self._access.authenticate_token(token)
        if renewed.agent.id != principal.agent.id:
            raise Forbidden("A socket is renewed by its own agent")
        return _access_of(renewed)

    def _check_limits(self, principal: Principal) -> None:
        if self._hub.count >= self._settings.sockets_per_process:
            raise Unavailable("This server has all the connections it can carry")
        if len(self._hub.members_of_agent(principal.agent.id)) >= self._settings.sockets_per_agent:
            raise TooManyRequests("This agent has too many connections open")
        if self._hub.size(principal.company_id) >= self._settings.sockets_per_company:
            raise TooManyRequests("This company has too many connections open")


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    try:
        return parse_cursor(text)
    except ValueError:
        raise BadRequest(Problem.of("cursor.foreign")) from None


def _access_of(principal: Principal) -> SocketAccess:
    return SocketAccess(
        principal.expires_at,
        token_key=principal.token_key,
        issued_us=principal.issued_us,
        is_admin=principal.agent.role == "admin",
    )


async def _refuse(websocket: WebSocket, error: OmniError) -> None:
    try:
        await websocket.send_text(encode_error(error).decode())
        await websocket.close(error.close_code, error.code)
    except (WebSocketDisconnect, RuntimeError):
        return
