"""Signing in with a password: limits on guessing, a second factor, and a line in the audit log for
each try.

A stranger's guesses are limited by address, by account and address, and by account alone. The last
one would let strangers keep the rightful person out: so a browser that this person has signed in
with before does not count against it.
"""

import contextlib
import hashlib
import hmac
import secrets

import msgspec

from server import log
from server.access.authentication import Access, Principal
from server.core import second_factor_rules as rules
from server.core.times import SECOND
from server.db.access import (
    agent_rows,
    audit_log,
    second_factors,
)
from server.db.access import (
    agent_sessions as sessions,
)
from server.db.access.agent_rows import Agent
from server.db.access.agent_sessions import SignInView
from server.db.access.audit_log import Actor, Origin
from server.db.access.second_factors import SecondFactor, Ticket
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import (
    BadRequest,
    NotFound,
    OmniError,
    SecondFactorNeeded,
    Unauthenticated,
    Unprocessable,
)
from server.problems import Problem

_logger = log.get(__name__)
_TICKET_ATTEMPTS = 5
_MAX_SESSIONS = 200
_MAX_EMAIL_CHARACTERS = 255
# lines an hour and account in the audit log; the log of the server has them all
_MAX_KEPT_FAILURES = 30
_HOUR_US = 3_600 * SECOND
_OVER = Problem.of("sign_in.expired")
_WRONG_CODE = Problem.of("second_factor.wrong_code")


class SignedIn(msgspec.Struct, frozen=True):
    """`cookie` is the new session's; `device` is for a cookie of its own, by which this browser is
    known the next time; `failures` is how often others tried in vain since the last sign-in.
    """

    cookie: str
    device: str
    agent: Agent
    failures: int = 0
    recovery_codes: tuple[str, ...] = ()


class NewFactor(msgspec.Struct, frozen=True):
    """A second factor being set up: what the authenticator app reads, by picture or by hand."""

    ticket: str
    uri: str
    secret: str


class FactorState(msgspec.Struct, frozen=True):
    """An agent's second factor."""

    is_on: bool
    is_required: bool
    recovery_codes_left: int


class SignIn:
    """Turns passwords and codes into sessions."""

    def __init__(self, database: Database, access: Access, vault: Vault) -> None:
        self._database = database
        self._access = access
        self._vault = vault
        self._clock = database.clock

    async def begin(
        self, email: str, password: str, origin: Origin, device: str | None = None
    ) -> SignedIn:
        """Raises Unauthenticated (the same, in the same time, for any wrong pair), TooManyRequests,
        BadRequest, SecondFactorNeeded with a `ticket` for `finish`, and DatabaseUnavailable."""
        email = email.strip().lower()
        if len(email) > _MAX_EMAIL_CHARACTERS:
            raise BadRequest(f"The e-mail address has at most {_MAX_EMAIL_CHARACTERS} characters")
        self._access.slow_down(origin.address, email)
        found = await self._database.read(lambda c: agent_rows.read_password(c, email))
        agent_id, stored = found or (0, None)
        is_known = _is_known(device, stored, email)
        self._access.slow_down_account(email, is_known=is_known)
        is_right = await self._access.verify(stored, password, is_known=is_known)
        if stored is None or not is_right:
            await self._refuse(email, agent_id, origin, "password")
            raise Unauthenticated("The e-mail address or the password is wrong")
        ticket = await self._database.transaction(
            lambda c: self._ticket(c, agent_id, stored, email)
        )
        if ticket is not None:
            raise ticket
        return await self._open(agent_id, origin, stored, email)

    async def finish(
        self, ticket: str, code: str, origin: Origin, device: str | None = None
    ) -> SignedIn:
        """The second step: a code of the authenticator app or a recovery code; the first code where
        the factor is set up just now. Raises Unauthenticated for a ticket that is over,
        Unprocessable for a wrong code, TooManyRequests.
        """
        self._access.slow_down(origin.address)
        agent_id, codes = await self._redeem(ticket, code, origin, device)
        agent = await self._database.read(lambda c: agent_rows.read_agent(c, agent_id))
        email = (agent.email if agent else None) or ""
        found = await self._database.read(lambda c: agent_rows.read_password(c, email))
        if found is None or found[1] is None:  # disabled meanwhile
            raise Unauthenticated(_OVER)
        opened = await self._open(agent_id, origin, found[1], email)
        return msgspec.structs.replace(opened, recovery_codes=codes)

    async def sign_out(self, principal: Principal, origin: Origin) -> None:
        """End the session of this request."""
        if principal.session_key is not None:
            await self._access.sign_out(principal.session_key)
            await self._append_act(principal.agent, origin, "sign-out")

    async def end_replaced(self, cookie: str | None, agent: Agent, origin: Origin) -> None:
        """End the session of another agent that this browser had until `agent` signed in: nobody
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
        """Raises NotFound for one that has ended, or another agent's."""
        found = [one for one in await self.sessions(principal) if one.id == session_id]
        if not found:
            raise NotFound(Problem.of("session.unknown"))
        for one in found:
            await self._access.sign_out(one.key)
        await self._append_act(principal.agent, origin, "sign-out", ended=len(found))

    async def end_other_sessions(self, principal: Principal, origin: Origin) -> int:
        """All but the one that asks. Returns how many."""
        ended = 0
        while others := [
            one for one in await self.sessions(principal) if one.key != principal.session_key
        ]:
            for one in others:
                await self._access.sign_out(one.key)
            ended += len(others)
        if ended:
            await self._append_act(principal.agent, origin, "sign-out", ended=ended)
        return ended

    async def new_factor(self, agent: Agent, password: str, origin: Origin) -> NewFactor:
        """Begin to set up a second factor, or another one, for somebody who is signed in: `confirm`
        ends it. Raises Unprocessable for a wrong password, TooManyRequests.
        """
        await self._access.check_password(agent, password, origin.address)
        secret = rules.new_secret()
        ticket = await self._database.transaction(lambda c: self._add_ticket(c, agent.id, secret))
        return _new_factor(ticket, secret, agent.email or agent.name)

    async def confirm(
        self, agent: Agent, ticket: str, code: str, origin: Origin
    ) -> tuple[str, ...]:
        """The first code of the app proves that it works. Returns the recovery codes, which are
        shown once. Raises Unauthenticated for a ticket that is over or another's, Unprocessable for
        a wrong code.
        """
        self._access.slow_down(origin.address)
        _, codes = await self._redeem(ticket, code, origin, None, only_for=agent.id)
        return codes

    async def turn_off(self, agent: Agent, password: str, origin: Origin) -> None:
        """Raises Unprocessable for a wrong password and where the company asks for the factor."""
        await self._access.check_password(agent, password, origin.address)

        async def write(connection: Connection) -> None:
            if await second_factors.requires_second_factor(connection, agent.company_id):
                raise Unprocessable(Problem.of("second_factor.required"))
            if await second_factors.delete_second_factor(connection, agent.id):
                await audit_log.append_act(
                    connection, _actor(agent, origin), "second-factor.off", f"agent {agent.id}"
                )

        await self._database.transaction(write)

    async def factor_state(self, agent: Agent) -> FactorState:
        """Whether the agent has a second factor, and whether the company asks for one."""

        async def read(connection: Connection) -> FactorState:
            return FactorState(
                is_on=await second_factors.has_second_factor(connection, agent.id),
                is_required=await second_factors.requires_second_factor(
                    connection, agent.company_id
                ),
                recovery_codes_left=await second_factors.count_recovery_codes(connection, agent.id),
            )

        return await self._database.read(read)

    async def failures(self, agent: Agent) -> int:
        """How often a sign-in as this agent had failed when the last one did not."""
        return await self._database.read(lambda c: audit_log.count_failures_before(c, agent.id))

    async def _append_act(self, agent: Agent, origin: Origin, act: str, **detail: object) -> None:
        await self._database.transaction(
            lambda c: audit_log.append_act(
                c, _actor(agent, origin), act, f"agent {agent.id}", **detail
            )
        )

    async def _redeem(
        self,
        ticket: str,
        code: str,
        origin: Origin,
        device: str | None,
        only_for: int | None = None,
    ) -> tuple[int, tuple[str, ...]]:
        """(agent, recovery codes of a factor that was set up). The ticket is used up by a right
        code alone.

        At a sign-in (`only_for` is None) a factor is set up only where there is none: two may have
        begun with one password.
        """
        hashed, now_us = _hash(ticket), self._clock.now_us()
        found = await self._database.read(
            lambda c: second_factors.read_ticket(c, self._vault, hashed, now_us)
        )
        if found is None or (only_for is not None and found.agent_id != only_for):
            raise Unauthenticated(_OVER)
        if found.new_secret is None and rules.recovery_code_hash(code) is None:
            await self._slow_down_codes(found.agent_id, device)
        if not await self._database.transaction(
            lambda c: second_factors.count_attempt(c, hashed, _TICKET_ATTEMPTS)
        ):
            raise Unauthenticated(_OVER)
        codes = tuple(rules.new_recovery_codes()) if found.new_secret else ()

        async def write(connection: Connection) -> bool:
            is_set_up = found.new_secret is not None and only_for is None
            if is_set_up and await second_factors.has_second_factor(connection, found.agent_id):
                raise Unauthenticated(_OVER)
            is_right = await self._is_right(connection, found, code, codes, origin)
            return is_right and await second_factors.drop_ticket(connection, hashed)

        if not await self._database.transaction(write):
            await self._refuse(None, found.agent_id, origin, "code")
            raise Unprocessable(_WRONG_CODE)
        return found.agent_id, codes

    async def _is_right(
        self,
        connection: Connection,
        ticket: Ticket,
        code: str,
        codes: tuple[str, ...],
        origin: Origin,
    ) -> bool:
        now_us = self._clock.now_us()
        if ticket.new_secret is not None:
            step = rules.matching_step(ticket.new_secret, code, now_us / SECOND, 0)
            agent = await agent_rows.read_agent(connection, ticket.agent_id)
            if step is None or agent is None:
                return False
            factor = SecondFactor(ticket.new_secret, step)
            hashes = rules.hashes_of(codes)
            await second_factors.keep_second_factor(
                connection, self._vault, agent.id, factor, hashes, now_us
            )
            await audit_log.append_act(
                connection, _actor(agent, origin), "second-factor.on", f"agent {agent.id}"
            )
            return True
        known = await second_factors.read_second_factor(connection, self._vault, ticket.agent_id)
        if known is None:  # reset meanwhile: the next sign-in asks for none, or sets up another
            return False
        if (
            step := rules.matching_step(known.secret, code, now_us / SECOND, known.last_step)
        ) is not None:
            return await second_factors.use_step(connection, ticket.agent_id, step)
        hashed = rules.recovery_code_hash(code)
        return hashed is not None and await second_factors.use_recovery_code(
            connection, ticket.agent_id, hashed, now_us
        )

    async def _slow_down_codes(self, agent_id: int, device: str | None) -> None:
        """Whoever has the password must not get as many tries at the code as tickets. A browser
        that is known has its limits by the password, so that nobody who guesses keeps the person
        out.
        """
        agent = await self._database.read(lambda c: agent_rows.read_agent(c, agent_id))
        email = (agent.email if agent else None) or ""
        found = await self._database.read(lambda c: agent_rows.read_password(c, email))
        if not _is_known(device, found[1] if found else None, email):
            self._access.slow_down_codes(agent_id)

    async def _ticket(
        self, connection: Connection, agent_id: int, stored: str, email: str
    ) -> SecondFactorNeeded | None:
        agent = await agent_rows.read_agent(connection, agent_id)
        if agent is None or not await agent_rows.hold_password(connection, agent_id, stored):
            raise Unauthenticated("The e-mail address or the password is wrong")
        if await second_factors.has_second_factor(connection, agent_id):
            return SecondFactorNeeded(ticket=await self._add_ticket(connection, agent_id, None))
        if await second_factors.requires_second_factor(connection, agent.company_id):
            secret = rules.new_secret()
            new = _new_factor(await self._add_ticket(connection, agent_id, secret), secret, email)
            return SecondFactorNeeded(
                ticket=new.ticket, setUp={"uri": new.uri, "secret": new.secret, "account": email}
            )
        return None

    async def _add_ticket(
        self, connection: Connection, agent_id: int, new_secret: str | None
    ) -> str:
        ticket, now_us = secrets.token_urlsafe(32), await self._clock.read(connection)
        await second_factors.add_ticket(
            connection, self._vault, _hash(ticket), agent_id, new_secret, now_us
        )
        return ticket

    async def _open(self, agent_id: int, origin: Origin, stored: str, email: str) -> SignedIn:
        async def write(connection: Connection) -> int:
            agent = await agent_rows.read_agent(connection, agent_id)
            if agent is None:
                raise Unauthenticated
            failures = await audit_log.count_failures(connection, agent_id)
            await audit_log.append_act(
                connection, _actor(agent, origin), audit_log.SIGN_IN, f"agent {agent_id}"
            )
            return failures

        cookie, agent = await self._access.open_session(agent_id, origin, proved_by=stored)
        failures = await self._database.transaction(write)
        return SignedIn(cookie, _device(stored, email), agent, failures)

    async def _refuse(self, email: str | None, agent_id: int, origin: Origin, what: str) -> None:
        """A line for whoever watches the log, with the address; for a known account one in its
        company's audit log.
        """
        _logger.warning("sign-in refused", address=origin.address, client=origin.client, wrong=what)
        if not agent_id:
            return
        since_us = self._clock.now_us() - _HOUR_US

        async def write(connection: Connection) -> None:
            agent = await agent_rows.read_agent(connection, agent_id)
            if (
                agent is None
                or await audit_log.count_acts(
                    connection, agent_id, audit_log.SIGN_IN_FAILED, since_us
                )
                >= _MAX_KEPT_FAILURES
            ):
                return
            target = f"agent {agent_id}"
            await audit_log.append_act(
                connection, _actor(agent, origin), audit_log.SIGN_IN_FAILED, target, wrong=what
            )

        await self._database.transaction(write)


def _actor(agent: Agent, origin: Origin) -> Actor:
    return Actor(agent.company_id, agent.email or agent.name, agent.id, origin)


def _new_factor(ticket: str, secret: str, account: str) -> NewFactor:
    return NewFactor(ticket, rules.provisioning_uri(secret, account), secret)


def _device(stored: str, email: str) -> str:
    """By what a browser is known again: made from the password's hash, so that it ends with the
    password.
    """
    return hmac.new(stored.encode(), f"known browser {email}".encode(), hashlib.sha256).hexdigest()


def _is_known(device: str | None, stored: str | None, email: str) -> bool:
    """Whether a browser's cookie says rightly that this account has signed in with it."""
    return bool(
        device and stored and hmac.compare_digest(device.encode(), _device(stored, email).encode())
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
