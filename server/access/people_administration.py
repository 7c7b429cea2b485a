"""Administers people: invitations, roles, access, passwords. Every act leaves a line in the audit
log.

Other processes notice an act within two seconds of its commit (`access_memory.py`).
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from server.access.authentication import (
    Access,
    Principal,
    actor_of,
)
from server.core.choices import ROLES
from server.core.times import SECOND
from server.db.access import (
    agent_rows,
    audit_log,
    invitations,
    own_token_rows,
    second_factors,
)
from server.db.access.agent_rows import Agent
from server.db.access.audit_log import Actor, Origin
from server.db.access.invitations import Invitation
from server.db.engine.database import Connection, Database
from server.errors import (
    BadRequest,
    Conflict,
    NotFound,
    Unprocessable,
)
from server.problems import Problem

_INVITATION_US = 7 * 86_400 * SECOND
_MAX_NAME_CHARACTERS = 255
_MAX_EMAIL_CHARACTERS = 255
_MAX_AGENTS = 2_000
_MAX_INVITATIONS = 500


class People:
    """Invites and changes the agents of a company. `link_of(token)` is the address an invitation is
    opened at.
    """

    def __init__(self, database: Database, access: Access, link_of: Callable[[str], str]) -> None:
        self._database = database
        self._access = access
        self._link_of = link_of

    async def list_all(self, company_id: int) -> list[Agent]:
        """The company's agents, 2,000 at most, withdrawn ones included."""
        return await self._database.read(
            lambda c: agent_rows.read_agents(c, company_id, _MAX_AGENTS)
        )

    async def invite(self, actor: Actor, email: str, name: str, role: str) -> tuple[str, int]:
        """Makes a link that works once within a week, and until when (microseconds). For an agent
        of the company: to set a new password; the role stays what it is.

        An address that another company's agent signs in with is answered like any other: who is a
        customer here is nobody's business. Its link is refused to whoever opens it. Raises
        BadRequest; Conflict for an agent whose access was withdrawn.
        """
        email, name = checked_email(email), checked_name(name)
        check_role(role)
        token, now_us = secrets.token_urlsafe(32), self._database.clock.now_us()

        async def write(connection: Connection) -> int:
            known = await agent_rows.read_agent_by_email(connection, email)
            is_own = known is not None and known.company_id == actor.company_id
            if known is not None and is_own and not known.is_active:
                raise Conflict(Problem.of("invitation.access_withdrawn"))
            invitation = Invitation(
                company_id=actor.company_id,
                email=email,
                name=name,
                role=known.role if known is not None and is_own else role,
                expires_us=now_us + _INVITATION_US,
                invited_by=actor.agent_id,
            )
            await invitations.add_invitation(connection, _hash(token), invitation, now_us)
            await audit_log.append_act(
                connection, actor, "agent.invite", email, role=invitation.role
            )
            return invitation.expires_us

        expires_us = await self._database.transaction(write)
        return self._link_of(token), expires_us

    async def open_invitations(self, company_id: int) -> list[Invitation]:
        """Invitations that can still be used, in the order in which they end."""
        now_us = self._database.clock.now_us()
        return await self._database.read(
            lambda c: invitations.read_open_invitations(c, company_id, now_us, _MAX_INVITATIONS)
        )

    async def end_invitation(self, actor: Actor, invitation_id: str) -> None:
        """Ends an invitation. Raises NotFound for one that is not open, or another
        company's.
        """
        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            open_ones = await invitations.read_open_invitations(
                connection, actor.company_id, now_us, _MAX_INVITATIONS
            )
            found = next((one for one in open_ones if one.id == invitation_id), None)
            if found is None or not await invitations.end_invitation(
                connection, actor.company_id, found, now_us
            ):
                raise NotFound(Problem.of("invitation.unknown"))
            await audit_log.append_act(connection, actor, "agent.invite-end", found.email)

        await self._database.transaction(write)

    async def invitation(self, token: str) -> Invitation:
        """The open invitation of a link. Raises NotFound for one that was used, has expired, or
        never was.
        """
        found = await self._database.read(
            lambda c: invitations.read_invitation(c, _hash(token), self._database.clock.now_us())
        )
        if found is None:
            raise NotFound(Problem.of("invitation.used"))
        return found

    async def accept(self, token: str, name: str, password: str, origin: Origin) -> str | None:
        """Makes the agent of the invitation, with this password; one whose access was withdrawn,
        or whose role was changed since, stays so. Returns a new session's cookie; None where a
        second factor is asked for, as a link stands in for the password alone: then the person
        signs in. Raises NotFound, BadRequest.
        """
        invitation, name = await self.invitation(token), checked_name(name)
        hashed = await self._access.passwords.hash(password)

        async def write(connection: Connection) -> tuple[int, bool]:
            now_us = await self._database.clock.read(connection)
            if not await invitations.use_invitation(connection, _hash(token), now_us):
                raise NotFound(Problem.of("invitation.used"))
            agent_id = await _put_agent(connection, invitation, name, hashed, now_us)
            actor = Actor(invitation.company_id, invitation.email, agent_id, origin)
            await audit_log.append_act(connection, actor, "agent.accept", f"agent {agent_id}")
            asks = await second_factors.requires_second_factor(connection, invitation.company_id)
            return agent_id, asks or await second_factors.has_second_factor(connection, agent_id)

        agent_id, asks_for_code = await self._database.transaction(write)
        await self._access.refresh_changed()
        if asks_for_code:
            return None
        cookie, _ = await self._access.open_session(agent_id, origin)
        return cookie

    async def change_password(
        self, principal: Principal, present: str, new: str, address: str
    ) -> str:
        """Sets a new password, and ends every other sign-in of the agent. Returns a new session's
        cookie. Raises BadRequest, Unprocessable, TooManyRequests.
        """
        agent = principal.agent
        await self._access.passwords.check(agent, present, address)
        values = {
            "password_hash": await self._access.passwords.hash(new),
            "valid_after": self._database.clock.now_us(),
        }
        await self._write(actor_of(principal), agent.id, "agent.password", values)
        cookie, _ = await self._access.open_session(agent.id, principal.origin)
        return cookie

    async def set_password(self, actor: Actor, agent_id: int, password: str) -> None:
        """Sets a password for an operator of the server. Ends every sign-in of the agent."""
        values = {
            "password_hash": await self._access.passwords.hash(password),
            "valid_after": self._database.clock.now_us(),
        }
        await self._write(actor, agent_id, "agent.password", values)

    async def sign_out_everywhere(self, actor: Actor, agent_id: int) -> None:
        """Ends everything issued to the agent before now. Raises NotFound."""
        await self._write(
            actor, agent_id, "agent.sign-out", {"valid_after": self._database.clock.now_us()}
        )

    async def reset_second_factor(self, actor: Actor, agent_id: int) -> None:
        """Removes the factor of an agent whose phone and recovery codes are gone. Ends every
        sign-in of the agent. Raises NotFound.
        """

        async def drop(connection: Connection) -> None:
            if not await second_factors.delete_second_factor(connection, agent_id):
                raise NotFound(Problem.of("second_factor.none", id=agent_id))

        await self._write(
            actor,
            agent_id,
            "second-factor.reset",
            {"valid_after": self._database.clock.now_us()},
            beside=drop,
        )

    async def policy(self, company_id: int) -> bool:
        """Whether every agent with a password must have a second factor."""
        return await self._database.read(
            lambda c: second_factors.requires_second_factor(c, company_id)
        )

    async def set_policy(self, actor: Actor, *, requires_second_factor: bool) -> None:
        """Sets whether each agent needs a second factor at the next sign-in; if so, those without
        one are signed out now, but not the one who asks.
        """

        async def write(connection: Connection) -> None:
            now_us = await self._database.clock.read(connection)
            await second_factors.set_requirement(
                connection, actor.company_id, is_required=requires_second_factor, now_us=now_us
            )
            act = "policy.second-factor"
            await audit_log.append_act(connection, actor, act, is_required=requires_second_factor)
            if requires_second_factor:
                for agent_id in await second_factors.agents_without(connection, actor.company_id):
                    if agent_id != actor.agent_id:
                        await agent_rows.update_agent(
                            connection, agent_id, {"valid_after": now_us}, now_us
                        )

        await self._database.transaction(write)
        await self._access.refresh_changed()

    async def with_second_factor(self, company_id: int) -> set[int]:
        """The agents of a company who have one."""
        return await self._database.read(lambda c: second_factors.agents_with(c, company_id))

    async def change(
        self, actor: Actor, agent_id: int, *, is_active: bool | None = None, role: str | None = None
    ) -> None:
        """Changes role or access; with the access an agent's own tokens of Chatwoot are forgotten.
        Raises NotFound, BadRequest; Unprocessable for an administrator who would lock out
        themselves.
        """
        if agent_id == actor.agent_id and (is_active is False or role == "agent"):
            raise Unprocessable(Problem.of("person.not_yourself"))
        if role is not None:
            check_role(role)
        values: dict[str, Any] = {
            name: value
            for name, value in (("is_active", is_active), ("role", role))
            if value is not None
        }
        if not values:
            raise BadRequest("Say what to change: isActive or role")
        told = dict(values)

        async def forget_tokens(connection: Connection) -> None:
            await own_token_rows.delete_own_tokens(connection, agent_id)

        beside = None
        if is_active is False:
            values["valid_after"] = self._database.clock.now_us()
            beside = forget_tokens
        await self._write(actor, agent_id, "agent.change", values, beside, **told)

    async def _write(
        self,
        actor: Actor,
        agent_id: int,
        act: str,
        values: dict[str, Any],
        beside: Callable[[Connection], Awaitable[None]] | None = None,
        **detail: Any,
    ) -> None:
        async def write(connection: Connection) -> None:
            known = await agent_rows.read_agent(connection, agent_id)
            if known is None or known.company_id != actor.company_id:
                raise NotFound(Problem.of("person.unknown", id=agent_id))
            if beside is not None:
                await beside(connection)
            now_us = await self._database.clock.read(connection)
            # everything issued before this moment ends: by the clock that sessions are stamped with
            stamped = values | ({"valid_after": now_us} if "valid_after" in values else {})
            await agent_rows.update_agent(connection, agent_id, stamped, now_us)
            ended = 0
            if "valid_after" in values or values.get("role") == "agent":
                # a new password ends links that would set another; those for other people stay
                made_by = None if act == "agent.password" else agent_id
                ended = await invitations.end_invitations_of(
                    connection,
                    known.company_id,
                    known.email,
                    made_by,
                    self._database.clock.now_us(),
                )
            about = detail | ({"invitations_ended": ended} if ended else {})
            await audit_log.append_act(connection, actor, act, f"agent {agent_id}", **about)

        await self._database.transaction(write)
        await self._access.refresh_changed()  # here at once; other processes within seconds


async def _put_agent(
    connection: Connection, invitation: Invitation, name: str, hashed: str, now_us: int
) -> int:
    known = await agent_rows.read_agent_by_email(connection, invitation.email)
    if known is None:
        return await agent_rows.add_agent(
            connection,
            invitation.company_id,
            invitation.email,
            name,
            invitation.role,
            hashed,
            now_us,
        )
    if known.company_id != invitation.company_id or not known.is_active:
        raise NotFound(Problem.of("invitation.used"))
    values = {"name": name, "password_hash": hashed, "valid_after": now_us}
    await agent_rows.update_agent(connection, known.id, values, now_us)
    return known.id


def checked_email(text: str) -> str:
    """The address in lower case. Raises BadRequest where it is none."""
    email = text.strip().lower()
    name, _, host = email.rpartition("@")
    if (
        not name
        or "." not in host
        or len(email) > _MAX_EMAIL_CHARACTERS
        or any(character.isspace() for character in email)
    ):
        raise BadRequest(Problem.of("person.email"))
    return email


def check_role(role: str) -> None:
    """Raises BadRequest for a role that there is not."""
    if role not in ROLES:
        raise BadRequest(Problem.of("person.role"))


def checked_name(text: str) -> str:
    """The name without surplus spaces. Raises BadRequest where it is empty or too long."""
    name = " ".join(text.split())
    if not 0 < len(name) <= _MAX_NAME_CHARACTERS:
        raise BadRequest(Problem.of("person.name", most=_MAX_NAME_CHARACTERS))
    return name


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
