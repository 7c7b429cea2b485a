"""What the pages need of the server, out of the same parts as the REST endpoints."""

import msgspec
from starlette.requests import Request

from server.access.authentication import Access, Principal, session_cookie
from server.access.first_run import SetUp
from server.access.sign_in import SignedIn, SignIn
from server.core.state.entities import Json
from server.core.state.preference_rules import Preferences, change_preferences
from server.db.access.accounts import Agent
from server.db.access.preferences import read_preferences, write_preferences
from server.db.engine.database import Connection, Database
from server.db.state.lists import Filters
from server.errors import NotFound, OmniError
from server.http.api.sessions import Sessions, device_of, origin_of
from server.http.client_address import address_of
from server.http.pages.inbox_pages import ConversationPage, PageAgent, SignInDone
from server.http.pages.page_view import PageFilters
from server.http.rate_limits import ApiLimits
from server.integrations.directory import Directory
from server.live.feeds import Feeds
from server.outgoing.reply_intake import ReplyIntake
from server.reading.inbox import Inbox, parse_place


class ServerPageData:
    """Implements `endpoints.pages.PageData`. Every `PageAgent` given out is an `Agent`."""

    def __init__(
        self,
        access: Access,
        feeds: Feeds,
        inbox: Inbox,
        replies: ReplyIntake,
        database: Database,
        limits: ApiLimits,
        set_up: SetUp,
        sign_in: SignIn,
        sessions: Sessions,
        directory: Directory,
    ) -> None:
        self._directory = directory
        self._access = access
        self._feeds = feeds
        self._inbox = inbox
        self._replies = replies
        self._database = database
        self._limits = limits
        self._set_up = set_up
        self._sign_in = sign_in
        self._sessions = sessions

    def has_trouble(self, agent: PageAgent) -> bool:
        """Whether an administrator must be told that an inbox of the company does not work."""
        return _own(agent).role == "admin" and self._directory.has_trouble(agent.company_id)

    @property
    def needs_set_up(self) -> bool:
        return self._set_up.is_needed

    async def authenticate(self, request: Request) -> Agent | None:
        """A page costs more than most calls of the API, and counts as one. Raises
        TooManyRequests.
        """
        principal = await self._principal(request)
        if principal is None:
            return None
        self._limits.check(principal)
        return principal.agent

    async def sign_in(self, request: Request, email: str, password: str) -> SignInDone:
        begun = await self._sign_in.begin(email, password, origin_of(request), device_of(request))
        return await self._done(request, begun)

    async def finish_sign_in(self, request: Request, ticket: str, code: str) -> SignInDone:
        finished = await self._sign_in.finish(ticket, code, origin_of(request), device_of(request))
        return await self._done(request, finished)

    async def _done(self, request: Request, signed_in: SignedIn) -> SignInDone:
        await self._sign_in.end_replaced(
            session_cookie(request.headers), signed_in.agent, origin_of(request)
        )
        return SignInDone(
            self._sessions.cookies(signed_in), signed_in.recovery_codes, signed_in.failures
        )

    async def sign_out(self, request: Request, made_for: str | None) -> list[str]:
        principal = await self._principal(request)
        if principal is not None:
            if made_for not in (None, str(principal.agent.id)):
                return []
            await self._sign_in.sign_out(principal, origin_of(request))
        return self._sessions.ended()

    async def cursor(self, agent: PageAgent) -> str:
        return (await self._feeds.watch(agent.company_id)).cursor

    async def list_conversations(
        self, agent: PageAgent, *, filters: PageFilters, limit: int, before: str | None
    ) -> ConversationPage:
        narrowed = Filters(
            filters.status,
            filters.platform,
            filters.q or None,
            parse_place(before) if before else None,
        )
        items, place = await self._inbox.page(_own(agent), narrowed, limit)
        return ConversationPage(msgspec.to_builtins(items), place)

    async def preferences(self, agent: PageAgent) -> Preferences:
        return await self._database.read(lambda c: read_preferences(c, agent.id))

    async def change_preferences(self, agent: PageAgent, given: Preferences) -> None:
        async def write(connection: Connection) -> None:
            await write_preferences(
                connection,
                agent.id,
                change_preferences(await read_preferences(connection, agent.id), given),
            )

        await self._database.transaction(write)

    async def count_unread(self, agent: PageAgent) -> dict[str, int]:
        return (await self._inbox.unread(_own(agent)))[0]

    async def get_thread(
        self, agent: PageAgent, conversation_id: int, *, limit: int, before: int | None
    ) -> Json | None:
        try:
            thread = await self._inbox.thread(
                _own(agent), conversation_id, limit=limit, before=before
            )
        except NotFound:
            return None
        plain: Json = msgspec.to_builtins(thread)
        return plain

    async def reply(
        self,
        agent: PageAgent,
        conversation_id: int,
        *,
        content: str,
        client_id: str,
        is_private: bool,
    ) -> None:
        await self._replies.submit(
            _own(agent),
            conversation_id,
            content,
            key=client_id,
            last_seen=None,
            is_private=is_private,
        )

    async def _principal(self, request: Request) -> Principal | None:
        try:
            return await self._access.authenticate(
                request.headers, request.method, address_of(request)
            )
        except OmniError as error:
            if error.status in (401, 403):
                return None
            raise


def _own(agent: PageAgent) -> Agent:
    if not isinstance(agent, Agent):
        raise TypeError("pages give back the agent they were given")
    return agent
