"""Authenticates requests and sockets: the CRM's tokens and our own session cookies, answered from
memory while it is confirmed (`access_memory`).
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from server.access.access_memory import (
    AccessMemory,
    OnChanged,
    OnEnded,
)
from server.access.passwords import Passwords
from server.access.refused_credentials import RefusedCredentials
from server.access.sign_in_limits import SignInLimits
from server.access.tokens import Claims
from server.core.chatwoot.origins import is_own_origin, read_cookie
from server.core.times import SECOND
from server.db.access import agent_rows, agent_sessions
from server.db.access.agent_rows import Agent
from server.db.access.audit_log import NO_ORIGIN, Actor, Origin
from server.db.engine.database import Connection, Database
from server.errors import (
    DuplicateRow,
    Forbidden,
    OtherAgent,
    TokenExpired,
    Unauthenticated,
)
from server.problems import Problem
from server.settings import Settings

SESSION_COOKIE = "omni_session"
# What the cookie is called where the site is https: browsers take it from this very host alone,
# over TLS, for the whole site, so that a page on a neighbouring name can plant no session of its
# own.
SECURE_SESSION_COOKIE = "__Host-" + SESSION_COOKIE
AGENT_HEADER = "inbox-agent"

_COOKIE_BYTES = 32
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")  # as `open_session` makes them
_MAX_COMPANY_AGENTS = 50_000


class Principal(msgspec.Struct, frozen=True):
    """The agent behind a request or a socket, and until when (unix seconds; None: no end of its
    own).
    """

    agent: Agent
    expires_at: float | None
    session_key: str | None = None
    token_key: str | None = None  # the name of the key that its token was verified by
    issued_us: int = 0
    origin: Origin = NO_ORIGIN  # of the request it was made for

    @property
    def company_id(self) -> int:
        """The agent's company."""
        return self.agent.company_id


class Access(AccessMemory):
    """Authenticates by token or session; `AccessMemory` keeps what that needs, and says what
    changed.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        on_changed: OnChanged,
        on_ended: OnEnded,
        **others: Any,
    ) -> None:
        """`others`: as for `AccessMemory`."""
        super().__init__(database, settings, on_changed, on_ended, **others)
        self.limits = SignInLimits()
        self.passwords = Passwords(database, self.limits)
        self._refused = RefusedCredentials()
        self._company_locks: dict[int, asyncio.Lock] = {}

    async def authenticate(
        self,
        headers: Mapping[str, str],
        method: str,
        address: str,
        *,
        is_for_operation: bool = False,
    ) -> Principal:
        """The principal of a request, from memory after the first time. Raises Unauthenticated,
        Forbidden, OtherAgent, TooManyRequests (for an address that many wrong ones came from) or
        DatabaseUnavailable.

        A page says in `Inbox-Agent` whom it was made for: the browser's cookie may be another
        agent's since. What only shows how the server does (`is_for_operation`) counts on memory
        alone, as it is for when the database is away.
        """
        principal = await self._principal(
            headers, method, address, is_for_operation=is_for_operation
        )
        check_agent(headers.get(AGENT_HEADER), principal.agent)
        origin = Origin(address, headers.get("user-agent", ""))
        return msgspec.structs.replace(principal, origin=origin)

    async def _principal(
        self, headers: Mapping[str, str], method: str, address: str, *, is_for_operation: bool
    ) -> Principal:
        """A cookie counts for a write only with an Origin of ours: a form on a foreign page would
        send the cookie as well.
        """
        authorization = headers.get("authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Unauthenticated(
                    "The Authorization header must be: Bearer, a space, and the token"
                )
            return await self.authenticate_token(token, address, is_for_operation=is_for_operation)
        cookie = session_cookie(headers)
        if cookie is None:
            raise Unauthenticated
        if method not in ("GET", "HEAD") and not self.is_own_origin(headers):
            raise Forbidden(Problem.of("page.not_ours_own_address"))
        return await self.authenticate_session(cookie, address, is_for_operation=is_for_operation)

    def now_seconds(self) -> float:
        """The clock by which sign-ins of all kinds end: the database's, in unix seconds."""
        return self._database.clock.now_seconds()

    def cached_principal(self, authorization: str) -> Principal | None:
        """The principal of a bearer token that is good and known already; None whenever that is not
        plain: then `authenticate` decides.
        """
        token = authorization[7:] if authorization.startswith("Bearer ") else ""
        claims = self._tokens.get(token)
        agent = (
            self._agents.get((claims.company_id, claims.subject)) if claims is not None else None
        )
        if (
            claims is None
            or agent is None
            or self.now_seconds() > claims.expires_at
            or not self._freshness.is_current
        ):
            return None
        self._used.add(agent.id)
        is_withdrawn = not agent.is_active or claims.issued_us < agent.valid_after_us
        return (
            None
            if is_withdrawn
            else Principal(agent, claims.expires_at, None, claims.key, claims.issued_us)
        )

    async def authenticate_token(
        self, token: str, address: str = "", *, is_for_operation: bool = False
    ) -> Principal:
        """The principal of a CRM's token. `address`: whose failures are counted; empty: nobody's.
        Raises Unauthenticated, TooManyRequests, DatabaseUnavailable.
        """
        self._tokens.get(token) or self._decode(token, address)
        if not is_for_operation:
            await self.confirm()
        # its key may have been withdrawn meanwhile
        claims = self._tokens.get(token) or self._decode(token, address)
        if self.now_seconds() > claims.expires_at + self._settings.jwt_leeway_seconds:
            self._tokens.pop(token, None)
            raise TokenExpired
        agent = self._agents.get((claims.company_id, claims.subject)) or await self._load_agent(
            claims
        )
        self._used.add(agent.id)
        _check_active(agent, claims.issued_us)
        return Principal(
            _with_role(agent, claims.role), claims.expires_at, None, claims.key, claims.issued_us
        )

    async def authenticate_session(
        self, cookie: str, address: str = "", *, is_for_operation: bool = False
    ) -> Principal:
        """The principal of a session's cookie. `address`: whose failures are counted; empty:
        nobody's. Raises Unauthenticated, TooManyRequests, DatabaseUnavailable.
        """
        if not _COOKIE.fullmatch(cookie):
            raise Unauthenticated
        key = hashlib.sha256(cookie.encode()).hexdigest()
        if not is_for_operation:
            await self.confirm()
        known = self._sessions.get(key)
        if known is None:
            self._refused.check(key, address)
            row = await self._database.read(lambda c: agent_sessions.read_session(c, key))
            if row is None or row.revoked_us is not None:
                self._refused.remember(key, address)
                raise Unauthenticated
            known = self._sessions[key] = (
                row.agent_id,
                row.created_us,
                row.expires_us / SECOND,
            )
        agent_id, created_us, expires_at = known
        if self.now_seconds() >= expires_at:
            raise TokenExpired
        agent = await self._agent(agent_id)
        self._used.add(agent.id)
        _check_active(agent, created_us)
        return Principal(agent, expires_at, key, None, created_us)

    async def open_session(
        self, agent_id: int, origin: Origin = NO_ORIGIN, *, proved_by: str | None = None
    ) -> tuple[str, Agent]:
        """Opens a session for somebody who has proved who they are, and returns its cookie's value.
        `proved_by`: the hash of the password that was right a moment ago; Unauthenticated is raised
        when it has been replaced since, or access withdrawn.
        """
        cookie = secrets.token_urlsafe(_COOKIE_BYTES)
        key = hashlib.sha256(cookie.encode()).hexdigest()

        async def add(connection: Connection) -> None:
            if proved_by is not None and not await agent_rows.hold_password(
                connection, agent_id, proved_by
            ):
                raise Unauthenticated("The e-mail address or the password is wrong")
            # later than what ended the sessions before it
            now_us = await self._database.clock.read(connection)
            until_us = now_us + self._settings.session_hours * 3600 * SECOND
            await agent_sessions.add_session(connection, key, agent_id, now_us, until_us, origin)

        await self._database.transaction(add)
        return cookie, await self._agent(agent_id)

    async def sign_out(self, session_key: str) -> None:
        """Ends a session here and in the database, and its sockets. Raises DatabaseUnavailable."""
        self._sessions.pop(session_key, None)
        now_us = self._database.clock.now_us()
        await self._database.transaction(
            lambda c: agent_sessions.revoke_session(c, session_key, now_us)
        )
        self._on_ended((session_key,))
        self._confirmation.wanted.set()  # the other processes are told

    def is_own_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether the request comes from a page of this server: at PUBLIC_URL; where that is not
        set, at the Host it was sent to.
        """
        return is_own_origin(headers, self.public_urls)

    @property
    def public_urls(self) -> list[str]:
        """The addresses of our pages; none: the operator has not said."""
        settings = self._settings
        return (
            [url for url in (settings.public_url, settings.tunnel_url) if url]
            if settings.public_url
            else []
        )

    def _decode(self, token: str, address: str) -> Claims:
        """Verifies a token that is not known; one that only expired was good, and counts as no
        failure.
        """
        self._keys_of_tokens.refresh_if_due()
        tried = (
            hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(),
            self._keys_of_tokens.names,
        )
        self._refused.check(tried, address)
        try:
            found = self._keys_of_tokens.decode(token)
        except TokenExpired:
            raise
        except Unauthenticated as error:
            self._refused.remember(tried, address, error.message)
            raise
        self._tokens[token] = found
        return found

    async def _load_agent(self, claims: Claims) -> Agent:
        """Loads an agent who is not in memory: its whole company is read once (thousands come back
        at the same moment), and who is new is listed.
        """
        place = (claims.company_id, claims.subject)
        async with self._company_locks.setdefault(claims.company_id, asyncio.Lock()):
            if place not in self._agents and claims.company_id not in self._loaded:
                for agent in await self._database.read(
                    lambda c: agent_rows.read_agents(c, claims.company_id, _MAX_COMPANY_AGENTS)
                ):
                    self._remember(agent)
                self._loaded.add(claims.company_id)
        if (known := self._agents.get(place)) is not None:
            return known
        now_us = self._database.clock.now_us()
        try:
            agent = await self._database.transaction(
                lambda c: agent_rows.get_or_create_agent(
                    c,
                    claims.company_id,
                    claims.subject,
                    claims.name,
                    claims.role or "agent",
                    now_us,
                )
            )
        except DuplicateRow:  # another process has just listed the same agent
            found = await self._database.read(lambda c: agent_rows.read_agent_by_subject(c, *place))
            if found is None:
                raise
            agent = found
        # MySQL found what only compares alike: it ignores spaces at the end
        if agent.subject != claims.subject:
            raise Unauthenticated("The token names an agent who cannot be told from another one")
        self._remember(agent)
        return agent

    async def _agent(self, agent_id: int) -> Agent:
        key = self._keys.get(agent_id)
        if key is not None and key in self._agents:
            return self._agents[key]
        agent = await self._database.read(lambda c: agent_rows.read_agent(c, agent_id))
        if agent is None:
            raise Unauthenticated
        self._remember(agent)
        return agent


def session_cookie(headers: Mapping[str, str]) -> str | None:
    """The session's cookie. The name from before `__Host-`, which http on one's own machine still
    has, counts where there is no other: who signed in before an update stays signed in.
    """
    found = headers.get("cookie", "")
    return read_cookie(found, SECURE_SESSION_COOKIE) or read_cookie(found, SESSION_COOKIE)


def actor_of(principal: Principal) -> Actor:
    """The signed-in agent, for the audit log."""
    agent = principal.agent
    return Actor(agent.company_id, agent.email or agent.name, agent.id, principal.origin)


def _with_role(agent: Agent, claimed: str | None) -> Agent:
    """The agent with the role that counts: the CRM's, until an administrator here has given or
    taken the role: then the lower of the two does, so that a role can be taken away in either
    place.
    """
    if claimed is None or claimed == agent.role or (agent.has_role_of_ours and claimed == "admin"):
        return agent
    return msgspec.structs.replace(agent, role=claimed)


def check_agent(made_for: str | None, agent: Agent) -> None:
    """Raises OtherAgent when a page was made for another agent than the one who is signed in; None:
    it does not say for whom.
    """
    if made_for is not None and made_for != str(agent.id):
        raise OtherAgent


def _check_active(agent: Agent, issued_us: int) -> None:
    if not agent.is_active:
        raise Unauthenticated("This agent has been disabled; ask an administrator")
    if issued_us < agent.valid_after_us:
        raise TokenExpired("This sign-in was ended; sign in again")
