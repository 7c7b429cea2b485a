"""Second factors: setting one up, turning it off, and the tickets by which a code is asked for."""

import hashlib
import secrets

import msgspec

from server.access.authentication import Access
from server.access.known_browsers import is_known
from server.access.sign_in_audit import SignInAudit, own_actor
from server.core import second_factor_rules as rules
from server.core.times import SECOND
from server.db.access import agent_rows, audit_log, second_factors
from server.db.access.agent_rows import Agent
from server.db.access.audit_log import Origin
from server.db.access.second_factors import SecondFactor, Ticket
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import SecondFactorNeeded, Unauthenticated, Unprocessable
from server.problems import Problem

_TICKET_ATTEMPTS = 5
_WRONG_CODE = Problem.of("second_factor.wrong_code")
OVER = Problem.of("sign_in.expired")


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


class SecondFactors:
    """The second factors of agents, and the tickets that stand for a right password."""

    def __init__(
        self, database: Database, access: Access, vault: Vault, audit: SignInAudit
    ) -> None:
        self._database = database
        self._access = access
        self._vault = vault
        self._audit = audit
        self._clock = database.clock

    async def new_factor(self, agent: Agent, password: str, origin: Origin) -> NewFactor:
        """Begins to set up a second factor, or another one, for an agent who is signed in:
        `confirm` ends it. Raises Unprocessable for a wrong password, TooManyRequests.
        """
        await self._access.passwords.check(agent, password, origin.address)
        secret = rules.new_secret()
        ticket = await self._database.transaction(lambda c: self._add_ticket(c, agent.id, secret))
        return _new_factor(ticket, secret, agent.email or agent.name)

    async def confirm(
        self, agent: Agent, ticket: str, code: str, origin: Origin
    ) -> tuple[str, ...]:
        """Sets up the factor whose first code proves that the app works. Returns the recovery
        codes, which are shown once. Raises Unauthenticated for a ticket that is over or another's,
        Unprocessable for a wrong code.
        """
        self._access.limits.check(origin.address)
        _, codes = await self.redeem(ticket, code, origin, None, only_for=agent.id)
        return codes

    async def turn_off(self, agent: Agent, password: str, origin: Origin) -> None:
        """Deletes the factor. Raises Unprocessable for a wrong password and where the company asks
        for the factor.
        """
        await self._access.passwords.check(agent, password, origin.address)

        async def write(connection: Connection) -> None:
            if await second_factors.requires_second_factor(connection, agent.company_id):
                raise Unprocessable(Problem.of("second_factor.required"))
            if await second_factors.delete_second_factor(connection, agent.id):
                await audit_log.append_act(
                    connection, own_actor(agent, origin), "second-factor.off", f"agent {agent.id}"
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

    async def redeem(
        self,
        ticket: str,
        code: str,
        origin: Origin,
        device: str | None,
        only_for: int | None = None,
    ) -> tuple[int, tuple[str, ...]]:
        """Exchanges ticket and code for (agent, recovery codes of a factor that was set up). The
        ticket is used up by a right code alone. Raises Unauthenticated, Unprocessable,
        TooManyRequests.

        At a sign-in (`only_for` is None) a factor is set up only where there is none: two may have
        begun with one password.
        """
        hashed, now_us = _hash(ticket), self._clock.now_us()
        found = await self._database.read(
            lambda c: second_factors.read_ticket(c, self._vault, hashed, now_us)
        )
        if found is None or (only_for is not None and found.agent_id != only_for):
            raise Unauthenticated(OVER)
        if found.new_secret is None and rules.recovery_code_hash(code) is None:
            await self._limit_codes(found.agent_id, device)
        if not await self._database.transaction(
            lambda c: second_factors.count_attempt(c, hashed, _TICKET_ATTEMPTS)
        ):
            raise Unauthenticated(OVER)
        codes = tuple(rules.new_recovery_codes()) if found.new_secret else ()

        async def write(connection: Connection) -> bool:
            is_set_up = found.new_secret is not None and only_for is None
            if is_set_up and await second_factors.has_second_factor(connection, found.agent_id):
                raise Unauthenticated(OVER)
            is_right = await self._is_right(connection, found, code, codes, origin)
            return is_right and await second_factors.drop_ticket(connection, hashed)

        if not await self._database.transaction(write):
            await self._audit.refused(found.agent_id, origin, "code")
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
                connection, own_actor(agent, origin), "second-factor.on", f"agent {agent.id}"
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

    async def _limit_codes(self, agent_id: int, device: str | None) -> None:
        """Limits tries: who has the password must not get as many at the code as tickets. A browser
        that is known has its limits by the password, so that nobody who guesses keeps the person
        out.
        """
        agent = await self._database.read(lambda c: agent_rows.read_agent(c, agent_id))
        email = (agent.email if agent else None) or ""
        found = await self._database.read(lambda c: agent_rows.read_password(c, email))
        if not is_known(device, found[1] if found else None, email):
            self._access.limits.check_code(agent_id)

    async def ask_for(
        self, connection: Connection, agent_id: int, stored: str, email: str
    ) -> SecondFactorNeeded | None:
        """What to answer to a right password: a ticket for a code, or for setting up a factor; None
        where none is asked for. Raises Unauthenticated where the password was replaced meanwhile.
        """
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


def _new_factor(ticket: str, secret: str, account: str) -> NewFactor:
    return NewFactor(ticket, rules.provisioning_uri(secret, account), secret)


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
