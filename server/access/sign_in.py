"""Signs in with a password: with limits on guessing, a second factor, and a line in the audit log
for each try.

A stranger's guesses are limited by address, by account and address, and by account alone. The last
one would let strangers keep the rightful person out: so a browser that this person has signed in
with before does not count against it.
"""

import contextlib

import msgspec

from server.access import known_browsers
from server.access.authentication import Access, Principal
from server.access.second_factor_setup import OVER, SecondFactors
from server.access.sign_in_audit import SignInAudit, own_actor
from server.db.access import agent_rows, audit_log
from server.db.access import agent_sessions as sessions
from server.db.access.agent_rows import Agent
from server.db.access.agent_sessions import SignInView
from server.db.access.audit_log import Origin
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import BadRequest, NotFound, OmniError, Unauthenticated
from server.problems import Problem

_MAX_SESSIONS = 200
_MAX_EMAIL_CHARACTERS = 255


class SignedIn(msgspec.Struct, frozen=True):
    """`cookie` is the new session's; `device` is for a cookie of its own, by which this browser is
    known the next time; `failures` is how often others tried in vain since the last sign-in.
    """

    cookie: str
    device: str
    agent: Agent
    failures: int = 0
    recovery_codes: tuple[str, ...] = ()


class SignIn:
    """Turns passwords and codes into sessions."""

    def __init__(self, database: Database, access: Access, vault: Vault) -> None:
        self._database = database
        self._access = access
        self._clock = database.clock
        self._audit = SignInAudit(database)
        self.factors = SecondFactors(database, access, vault, self._audit)

    async def begin(
        self, email: str, password: str, origin: Origin, device: str | None = None
    ) -> SignedIn:
        """Signs in by e-mail and password. Raises Unauthenticated (the same, in the same time, for
        any wrong pair), TooManyRequests, BadRequest, SecondFactorNeeded with a `ticket` for
        `finish`, and DatabaseUnavailable.
        """
        email = email.strip().lower()
        if len(email) > _MAX_EMAIL_CHARACTERS:
            raise BadRequest(f"The e-mail address has at most {_MAX_EMAIL_CHARACTERS} characters")
        self._access.limits.check(origin.address, email)
        found = await self._database.read(lambda c: agent_rows.read_password(c, email))
        agent_id, stored = found or (0, None)
        is_known = known_browsers.is_known(device, stored, email)
        self._access.limits.check_account(email, is_known=is_known)
        is_right = await self._access.passwords.is_right(stored, password, is_known=is_known)
        if stored is None or not is_right:
            await self._audit.refused(agent_id, origin, "password")
            raise Unauthenticated("The e-mail address or the password is wrong")
        ticket = await self._database.transaction(
            lambda c: self.factors.ask_for(c, agent_id, stored, email)
        )
        if ticket is not None:
            raise ticket
        return await self._open(agent_id, origin, stored, email)

    async def finish(
        self, ticket: str, code: str, origin: Origin, device: str | None = None
    ) -> SignedIn:
        """Signs in by the second step: a code of the authenticator app or a recovery code; the
        first code where the factor is set up just now. Raises Unauthenticated for a ticket that is
        over, Unprocessable for a wrong code, TooManyRequests.
        """
        self._access.limits.check(origin.address)
        agent_id, codes = await self.factors.redeem(ticket, code, origin, device)
        agent = await self._database.read(lambda c: agent_rows.read_agent(c, agent_id))
        email = (agent.email if agent else None) or ""
        found = await self._database.read(lambda c: agent_rows.read_password(c, email))
        if found is None or found[1] is None:  # disabled meanwhile
            raise Unauthenticated(OVER)
        opened = await self._open(agent_id, origin, found[1], email)
        return msgspec.structs.replace(opened, recovery_codes=codes)

    async def sign_out(self, principal: Principal, origin: Origin) -> None:
        """Ends the session of this request, if it has one."""
        if principal.session_key is not None:
            await self._access.sign_out(principal.session_key)
            await self._audit.append(principal.agent, origin, "sign-out")

    async def end_replaced(self, cookie: str | None, agent: Agent, origin: Origin) -> None:
        """Ends the session of another agent that this browser had until `agent` signed in: nobody
        can use it any more, and pages that are still open hear that they are signed out.
        """
        if cookie is None:
            return
        # it has ended, or cannot be looked up: `agent` is signed in all the same
        with contextlib.suppress(OmniError):
            before = await self._access.authenticate_session(cookie)
            if before.agent.id != agent.id:
                await self.sign_out(before, origin)

    async def sessions(self, principal: Principal) -> list[SignInView]:
        """The agent's own sign-ins that have not ended, the newest first."""
        now_us = self._clock.now_us()
        return await self._database.read(
            lambda c: sessions.list_sessions(c, principal.agent.id, now_us, _MAX_SESSIONS)
        )

    async def end_session(self, principal: Principal, session_id: str, origin: Origin) -> None:
        """Ends a session of the agent. Raises NotFound for one that is not open, or not theirs."""
        found = [one for one in await self.sessions(principal) if one.id == session_id]
        if not found:
            raise NotFound(Problem.of("session.unknown"))
        for one in found:
            await self._access.sign_out(one.key)
        await self._audit.append(principal.agent, origin, "sign-out", ended=len(found))

    async def end_other_sessions(self, principal: Principal, origin: Origin) -> int:
        """Ends all sessions of the agent but the one that asks. Returns how many."""
        ended = 0
        while others := [
            one for one in await self.sessions(principal) if one.key != principal.session_key
        ]:
            for one in others:
                await self._access.sign_out(one.key)
            ended += len(others)
        if ended:
            await self._audit.append(principal.agent, origin, "sign-out", ended=ended)
        return ended

    async def failures(self, agent: Agent) -> int:
        """How often a sign-in as this agent had failed when the last one did not."""
        return await self._database.read(lambda c: audit_log.count_failures_before(c, agent.id))

    async def _open(self, agent_id: int, origin: Origin, stored: str, email: str) -> SignedIn:
        async def write(connection: Connection) -> int:
            agent = await agent_rows.read_agent(connection, agent_id)
            if agent is None:
                raise Unauthenticated
            failures = await audit_log.count_failures(connection, agent_id)
            await audit_log.append_act(
                connection, own_actor(agent, origin), audit_log.SIGN_IN, f"agent {agent_id}"
            )
            return failures

        cookie, agent = await self._access.open_session(agent_id, origin, proved_by=stored)
        failures = await self._database.transaction(write)
        return SignedIn(cookie, known_browsers.browser_key(stored, email), agent, failures)
