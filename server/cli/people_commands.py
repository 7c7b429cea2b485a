"""Commands for agents: the same acts as on their page, for whoever runs the server. Every process
notices within seconds.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from server.access.authentication import ROLES
from server.access.passwords import PASSWORD_LEAST
from server.access.people_administration import checked_email
from server.composition.application import Application
from server.core.times import iso
from server.db.access import accounts, audit_log
from server.db.access.audit_log import Actor, server_actor
from server.db.engine.database import Connection
from server.errors import ConfigurationError, NotFound

WithParts = Callable[[Callable[[Application], Awaitable[Any]]], Any]
_COMPANY = click.option("--company-id", type=click.IntRange(1), required=True)
_AGENT = click.option("--agent-id", type=click.IntRange(1), required=True)
_ROLE = click.option("--role", type=click.Choice(ROLES), default="agent", show_default=True)
_PASSWORD = click.option(
    "--password-stdin", is_flag=True, required=True, help="Read the password from standard input."
)


def agent_group(with_parts: WithParts) -> click.Group:
    @click.group()
    def agent() -> None:
        """People who read and answer."""

    _add(agent, with_parts)
    _look(agent, with_parts)
    _access(agent, with_parts)
    return agent


def _add(group: click.Group, with_parts: WithParts) -> None:
    @group.command("add")
    @_COMPANY
    @click.option("--email", required=True)
    @click.option("--name", required=True)
    @_ROLE
    @_PASSWORD
    def add(company_id: int, email: str, name: str, role: str, password_stdin: bool) -> None:
        """Add an agent who signs in with a password. Prints JSON: id."""
        password, email = _read_password(), checked_email(email)

        async def run(parts: Application) -> int:
            hashed, now_us = (
                await parts.access.access.hash(password),
                parts.resources.database.clock.now_us(),
            )

            async def write(connection: Connection) -> int:
                agent_id = await accounts.add_agent(
                    connection, company_id, email, name, role, hashed, now_us
                )
                await audit_log.append_act(
                    connection,
                    server_actor(company_id),
                    "agent.add",
                    f"agent {agent_id}",
                    role=role,
                )
                return agent_id

            return await parts.resources.database.transaction(write)

        click.echo(json.dumps({"id": with_parts(run)}))

    @group.command("invite")
    @_COMPANY
    @click.option("--email", required=True)
    @click.option("--name", required=True)
    @_ROLE
    def invite(company_id: int, email: str, name: str, role: str) -> None:
        """Make a link by which somebody becomes an agent, or an agent sets a new password. Prints
        JSON: link, expiresAt.
        """
        link, expires_us = with_parts(
            lambda parts: parts.access.people.invite(server_actor(company_id), email, name, role)
        )
        click.echo(json.dumps({"link": link, "expiresAt": iso(expires_us)}))


def _look(group: click.Group, with_parts: WithParts) -> None:
    @group.command("list")
    @_COMPANY
    def list_(company_id: int) -> None:
        """A JSON line for each agent of a company."""
        for one in with_parts(lambda parts: parts.access.people.list_all(company_id)):
            values = {
                "id": one.id,
                "name": one.name,
                "email": one.email,
                "role": one.role,
                "isActive": one.is_active,
            }
            click.echo(json.dumps(values, ensure_ascii=False))


def _access(group: click.Group, with_parts: WithParts) -> None:
    def act(agent_id: int, call: Callable[[Application, Actor], Awaitable[None]]) -> None:
        async def run(parts: Application) -> None:
            known = await parts.resources.database.read(lambda c: accounts.read_agent(c, agent_id))
            if known is None:
                raise NotFound(f"There is no agent {agent_id}")
            await call(parts, server_actor(known.company_id))

        with_parts(run)

    @group.command("password")
    @_AGENT
    @_PASSWORD
    def password(agent_id: int, password_stdin: bool) -> None:
        """Set a new password; everything issued to the agent before ends."""
        given = _read_password()
        act(agent_id, lambda parts, actor: parts.access.people.set_password(actor, agent_id, given))

    @group.command("role")
    @_AGENT
    @click.option("--role", type=click.Choice(ROLES), required=True)
    def role_(agent_id: int, role: str) -> None:
        """Make an agent an administrator, or an administrator an agent."""
        act(agent_id, lambda parts, actor: parts.access.people.change(actor, agent_id, role=role))

    @group.command("disable")
    @_AGENT
    def disable(agent_id: int) -> None:
        """Withdraw an agent's access: sockets close, tokens and sessions are refused."""
        act(
            agent_id,
            lambda parts, actor: parts.access.people.change(actor, agent_id, is_active=False),
        )

    @group.command("enable")
    @_AGENT
    def enable(agent_id: int) -> None:
        """Give a disabled agent access again; earlier sign-ins stay ended."""
        act(
            agent_id,
            lambda parts, actor: parts.access.people.change(actor, agent_id, is_active=True),
        )

    @group.command("sign-out")
    @_AGENT
    def sign_out(agent_id: int) -> None:
        """End everything issued to an agent before now."""
        act(agent_id, lambda parts, actor: parts.access.people.sign_out_everywhere(actor, agent_id))


def _read_password() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < PASSWORD_LEAST:
        raise ConfigurationError(f"The password must have at least {PASSWORD_LEAST} characters")
    return password
