"""Who is asking: the CRM's tokens and our own session cookies, answered from memory; withdrawn access is noticed within seconds.

Every process looks up what changed every two seconds, whatever the bus does, and closes the sockets concerned.
"""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import argon2
import msgspec

from server import log
from server.core.limits import Bucket
from server.core.times import SECOND
from server.db import accounts
from server.db.accounts import Agent
from server.db.database import Database
from server.errors import (
    BadRequest,
    DatabaseUnavailable,
    DuplicateRow,
    Forbidden,
    OtherAgent,
    TokenExpired,
    TooManyRequests,
    Unauthenticated,
    Unprocessable,
)
from server.settings import Settings
from server.tokens import Claims, Tokens

SESSION_COOKIE = "omni_session"
AGENT_HEADER = "inbox-agent"
ROLES = ("agent", "admin")

_logger = log.get(__name__)
_REMEMBERED_MOST = 50_000
_OVERLAP_US = 15 * SECOND  # what was written at the same time may be committed later; a row looked at twice does no harm
_CHANGED_MOST = 5_000
_COMPANY_AGENTS_MOST = 50_000
_ATTEMPTS_ACCOUNT = (1 / 6, 10.0)  # sign-ins a second and burst, for one account from one address
_ATTEMPTS_ADDRESS = (0.5, 30.0)
PASSWORD_LEAST = 10  # characters
_PASSWORD_MOST = 1_000
_hasher = argon2.PasswordHasher()


class Principal(msgspec.Struct, frozen=True):
    """The agent behind a request or a socket, and until when (unix seconds; None: no end of its own)."""

    agent: Agent
    expires_at: float | None
    session_key: str | None = None

    @property
    def company_id(self) -> int:
        return self.agent.company_id


OnWithdrawn = Callable[[int], None]
OnDemoted = Callable[[int], None]
OnEnded = Callable[[Collection[str]], None]


class Access:
    """The process's memory of agents, tokens and sessions. `on_withdrawn` is told of an agent whose access was taken away, `on_ended` of
    the keys of ended sessions: those of one look together, as whoever is told walks through all sockets; `on_demoted` of an agent who is
    no administrator any more."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        on_withdrawn: OnWithdrawn,
        on_ended: OnEnded,
        on_demoted: OnDemoted = lambda agent_id: None,
    ) -> None:
        self._database, self._settings = database, settings
        self._on_withdrawn, self._on_ended, self._on_demoted = on_withdrawn, on_ended, on_demoted
        self._keys_of_tokens = Tokens(settings)
        self._agents: dict[tuple[int, str], Agent] = {}
        self._keys: dict[int, tuple[int, str]] = {}
        self._tokens: OrderedDict[str, Claims] = OrderedDict()
        self._sessions: OrderedDict[str, tuple[int, int, float]] = OrderedDict()  # key -> agent id, created us, expires
        self._attempts: OrderedDict[str, Bucket] = OrderedDict()
        self._hashing = asyncio.Semaphore(2)  # argon2 takes 64 MB and a core each time
        self._meeting: dict[int, asyncio.Lock] = {}
        self._met: set[int] = set()  # companies whose agents have been read
        self._looked: tuple[int, int] | None = None  # newest change of an agent, and end of a session, that were there at the last look

    async def authenticate(self, headers: Mapping[str, str], method: str) -> Principal:
        """The principal of a request, from memory after the first time. Raises Unauthenticated, Forbidden, OtherAgent or
        DatabaseUnavailable.

        A page says in `Inbox-Agent` whom it was made for: the browser's cookie may be another agent's since.
        """
        principal = await self._principal(headers, method)
        check_agent(headers.get(AGENT_HEADER), principal.agent)
        return principal

    async def _principal(self, headers: Mapping[str, str], method: str) -> Principal:
        """A cookie counts for a write only with an Origin of ours: a form on a foreign page would send the cookie as well."""
        authorization = headers.get("authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Unauthenticated("The Authorization header must be: Bearer, a space, and the token")
            return await self.authenticate_token(token)
        cookie = read_cookie(headers.get("cookie", ""), SESSION_COOKIE)
        if cookie is None:
            raise Unauthenticated
        if method not in ("GET", "HEAD") and not self.is_own_origin(headers):
            raise Forbidden("This was not sent from our own page; open the inbox and try again")
        return await self.authenticate_session(cookie)

    def remembered(self, authorization: str) -> Principal | None:
        """The principal of a bearer token that is good and known already; None whenever that is not plain: then `authenticate` decides."""
        token = authorization[7:] if authorization.startswith("Bearer ") else ""
        claims = self._tokens.get(token)
        agent = self._agents.get((claims.company_id, claims.subject)) if claims is not None else None
        if claims is None or agent is None or time.time() > claims.expires_at:
            return None
        is_withdrawn = not agent.is_active or claims.issued_us < agent.valid_after_us
        return None if is_withdrawn else Principal(agent, claims.expires_at)

    async def authenticate_token(self, token: str) -> Principal:
        claims = self._tokens.get(token) or self._decode(token)
        if time.time() > claims.expires_at + self._settings.jwt_leeway_seconds:
            self._tokens.pop(token, None)
            raise TokenExpired
        agent = self._agents.get((claims.company_id, claims.subject)) or await self._meet(claims)
        _check_active(agent, claims.issued_us)
        if claims.role is not None and claims.role != agent.role:
            agent = msgspec.structs.replace(agent, role=claims.role)
        return Principal(agent, claims.expires_at)

    async def authenticate_session(self, cookie: str) -> Principal:
        key = hashlib.sha256(cookie.encode()).hexdigest()
        known = self._sessions.get(key)
        if known is None:
            row = await self._database.read(lambda c: accounts.read_session(c, key))
            if row is None or row[3] is not None:
                raise Unauthenticated
            known = self._sessions[key] = (row[0], row[1], row[2] / SECOND)
            _bound(self._sessions)
        agent_id, created_us, expires_at = known
        if time.time() >= expires_at:
            raise TokenExpired
        agent = await self._agent(agent_id)
        _check_active(agent, created_us)
        return Principal(agent, expires_at, key)

    async def sign_in(self, email: str, password: str, address: str) -> tuple[str, Agent]:
        """A new session's cookie value. Raises Unauthenticated (the same, in the same time, for any wrong pair) or TooManyRequests."""
        email = email.strip().lower()
        self._slow_down(f"{address} {email}", _ATTEMPTS_ACCOUNT)
        self._slow_down(address, _ATTEMPTS_ADDRESS)
        found = await self._database.read(lambda c: accounts.read_password(c, email))
        stored = found[1] if found and found[1] else _DUMMY_HASH
        async with self._hashing:
            is_right = await asyncio.to_thread(_verify, stored, password)
        if found is None or found[1] is None or not is_right:
            raise Unauthenticated("The e-mail address or the password is wrong")
        return await self.open_session(found[0])

    async def open_session(self, agent_id: int) -> tuple[str, Agent]:
        """A new session's cookie value for somebody who has proved who they are."""
        cookie = secrets.token_urlsafe(32)
        key, now_us = hashlib.sha256(cookie.encode()).hexdigest(), int(time.time() * SECOND)
        expires_us = now_us + self._settings.session_hours * 3600 * SECOND
        await self._database.transaction(lambda c: accounts.add_session(c, key, agent_id, now_us, expires_us))
        return cookie, await self._agent(agent_id)

    async def hash(self, password: str) -> str:
        """A new password's hash, in a thread. Raises BadRequest for one that is too short or too long."""
        if not PASSWORD_LEAST <= len(password) <= _PASSWORD_MOST:
            raise BadRequest(f"The password must have {PASSWORD_LEAST} characters or more, and at most {_PASSWORD_MOST}")
        async with self._hashing:
            return await asyncio.to_thread(hash_password, password)

    async def check_password(self, agent: Agent, password: str, address: str) -> None:
        """Somebody who is signed in proves it once more. Raises Unprocessable or TooManyRequests."""
        self._slow_down(f"{address} {agent.email}", _ATTEMPTS_ACCOUNT)
        email = agent.email or ""
        found = await self._database.read(lambda c: accounts.read_password(c, email))
        if found is None or found[1] is None:
            raise Unprocessable("This agent signs in through the CRM and has no password here")
        stored = found[1]
        async with self._hashing:
            is_right = await asyncio.to_thread(_verify, stored, password)
        if not is_right:
            raise Unprocessable("The present password is wrong")

    async def sign_out(self, session_key: str) -> None:
        self._sessions.pop(session_key, None)
        now_us = int(time.time() * SECOND)
        await self._database.transaction(lambda c: accounts.revoke_session(c, session_key, now_us))
        self._on_ended((session_key,))

    def is_own_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether the request comes from a page of this very server: its Origin names our PUBLIC_URL or the Host it was sent to."""
        origin = headers.get("origin")
        try:
            parts = urlsplit(origin or "")
        except ValueError:  # half an IPv6 address
            return False
        if not parts.netloc:  # none, `null` or `file://`: no server's page
            return False
        ours = urlsplit(self._settings.base_url)
        return parts.netloc == headers.get("host", "") or (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc)

    async def run(self) -> None:
        """Look up withdrawn access for as long as the process lives."""
        while True:
            await asyncio.sleep(self._settings.access_check_seconds)
            try:
                await self.look_up()
            except DatabaseUnavailable:
                continue

    async def look_up(self) -> None:
        newest = await self._database.read(accounts.read_newest_changes)
        agents_us, sessions_us = (moment - _OVERLAP_US for moment in self._looked or newest)
        agents = await self._database.read(lambda c: accounts.read_agents_changed(c, agents_us, _CHANGED_MOST))
        revoked = await self._database.read(lambda c: accounts.read_sessions_revoked(c, sessions_us, _CHANGED_MOST))
        for agent in agents:
            before = self._agents.get((agent.company_id, agent.subject))
            if before is not None and before != agent:
                self._remember(agent)
                if not agent.is_active or agent.valid_after_us > before.valid_after_us:
                    self._on_withdrawn(agent.id)
                elif before.role == "admin" != agent.role:
                    self._on_demoted(agent.id)
        for key in revoked:
            self._sessions.pop(key, None)
        if revoked:  # the last ones are found again by every look: a socket may have been opened while its session was being ended
            self._on_ended(frozenset(revoked))
        self._looked = newest

    def _decode(self, token: str) -> Claims:
        found = self._keys_of_tokens.decode(token)
        self._tokens[token] = found
        _bound(self._tokens)
        return found

    async def _meet(self, claims: Claims) -> Agent:
        """An agent not in memory: its whole company is read once (thousands come back at the same moment), and who is new is listed."""
        place = (claims.company_id, claims.subject)
        async with self._meeting.setdefault(claims.company_id, asyncio.Lock()):
            if place not in self._agents and claims.company_id not in self._met:
                for agent in await self._database.read(lambda c: accounts.read_agents(c, claims.company_id, _COMPANY_AGENTS_MOST)):
                    self._remember(agent)
                self._met.add(claims.company_id)
        if (known := self._agents.get(place)) is not None:
            return known
        now_us = int(time.time() * SECOND)
        try:
            agent = await self._database.transaction(
                lambda c: accounts.list_agent(c, claims.company_id, claims.subject, claims.name, claims.role or "agent", now_us)
            )
        except DuplicateRow:  # another process has just listed the same agent
            found = await self._database.read(lambda c: accounts.read_agent_by_subject(c, *place))
            if found is None:
                raise
            agent = found
        self._remember(agent)
        return agent

    async def _agent(self, agent_id: int) -> Agent:
        key = self._keys.get(agent_id)
        if key is not None and key in self._agents:
            return self._agents[key]
        agent = await self._database.read(lambda c: accounts.read_agent(c, agent_id))
        if agent is None:
            raise Unauthenticated
        self._remember(agent)
        return agent

    def _remember(self, agent: Agent) -> None:
        self._agents[agent.company_id, agent.subject] = agent
        self._keys[agent.id] = (agent.company_id, agent.subject)

    def slow_down(self, address: str) -> None:
        """For what strangers may try besides signing in: at the same pace, counted with it. Raises TooManyRequests."""
        self._slow_down(address, _ATTEMPTS_ADDRESS)

    def _slow_down(self, key: str, pace: tuple[float, float]) -> None:
        now = time.monotonic()
        bucket = self._attempts.setdefault(key, Bucket(*pace, now))
        self._attempts.move_to_end(key)
        _bound(self._attempts)
        if not bucket.take(now):
            raise TooManyRequests(f"Too many tries; try again in {int(bucket.wait_seconds()) + 1} seconds")


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def read_cookie(header: str, name: str) -> str | None:
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value or None
    return None


def check_agent(made_for: str | None, agent: Agent) -> None:
    """Raises OtherAgent when a page was made for another agent than the one who is signed in; None: it does not say for whom."""
    if made_for is not None and made_for != str(agent.id):
        raise OtherAgent


def _check_active(agent: Agent, issued_us: int) -> None:
    if not agent.is_active:
        raise Unauthenticated("This agent has been disabled; ask an administrator")
    if issued_us < agent.valid_after_us:
        raise TokenExpired("This sign-in was ended; sign in again")


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _bound(remembered: OrderedDict[str, Any]) -> None:
    while len(remembered) > _REMEMBERED_MOST:
        remembered.popitem(last=False)


# verified in the place of an unknown account's hash, so that an answer takes as long for those
_DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$" + "c2FsdHNhbHRzYWx0c2FsdA" + "$" + "A" * 43
