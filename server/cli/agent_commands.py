"""`omni-inbox agent`: the same acts as on the agents' page, for people who run the server.

Every process notices a change within seconds.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from server.core.choices import ROLES

if TYPE_CHECKING:
    from server.composition.application import Application
    from server.db.access.audit_log import Actor

_COMPANY = click.option("--company-id", type=click.IntRange(1), required=True)
_AGENT = click.option("--agent-id", type=click.IntRange(1), required=True)
_ROLE = click.option("--role", type=click.Choice(ROLES), default="agent", show_default=True)
_PASSWORD = click.option(
    "--password-stdin", is_flag=True, required=True, help="Read the password from standard input."
)


@click.group()
def agent() -> None:
    """People who read and answer."""


@agent.command("add")
@_COMPANY
@click.option("--email", required=True)
@click.option("--name", required=True)
@_ROLE
@_PASSWORD
def add(company_id: int, email: str, name: str, role: str, password_stdin: bool) -> None:
    """Add an agent who signs in with a password. Prints JSON: id."""
    from server.access.people_administration import checked_email
    from server.cli.environment import run_with_application
    from server.db.access import agent_rows, audit_log
    from server.db.engine.database import Connection

    password, email = _read_password(), checked_email(email)

    async def run(application: "Application") -> int:
        hashed, now_us = (
            await application.access.access.passwords.hash(password),
            application.resources.database.clock.now_us(),
        )

        async def write(connection: Connection) -> int:
            agent_id = await agent_rows.add_agent(
                connection, company_id, email, name, role, hashed, now_us
            )
            actor = audit_log.server_actor(company_id)
            await audit_log.append_act(
                connection, actor, "agent.add", f"agent {agent_id}", role=role
            )
            return agent_id

        return await application.resources.database.transaction(write)

    click.echo(json.dumps({"id": run_with_application(run)}))


@agent.command("invite")
@_COMPANY
@click.option("--email", required=True)
@click.option("--name", required=True)
@_ROLE
def invite(company_id: int, email: str, name: str, role: str) -> None:
    """Make a link by which somebody becomes an agent, or an agent sets a new password. Prints
    JSON: link, expiresAt.
    """
    from server.cli.environment import run_with_application
    from server.core.times import iso
    from server.db.access.audit_log import server_actor

    link, expires_us = run_with_application(
        lambda application: application.access.people.invite(
            server_actor(company_id), email, name, role
        )
    )
    click.echo(json.dumps({"link": link, "expiresAt": iso(expires_us)}))


@agent.command("list")
@_COMPANY
def list_(company_id: int) -> None:
    """A JSON line for each agent of a company."""
    from server.cli.environment import run_with_application

    for one in run_with_application(
        lambda application: application.access.people.list_all(company_id)
    ):
        values = {
            "id": one.id,
            "name": one.name,
            "email": one.email,
            "role": one.role,
            "isActive": one.is_active,
        }
        click.echo(json.dumps(values, ensure_ascii=False))


@agent.command("password")
@_AGENT
@_PASSWORD
def password(agent_id: int, password_stdin: bool) -> None:
    """Set a new password; everything issued to the agent before ends."""
    given = _read_password()
    _change(
        agent_id,
        lambda application, actor: application.access.people.set_password(actor, agent_id, given),
    )


@agent.command("role")
@_AGENT
@click.option("--role", type=click.Choice(ROLES), required=True)
def role_(agent_id: int, role: str) -> None:
    """Make an agent an administrator, or an administrator an agent."""
    _change(
        agent_id,
        lambda application, actor: application.access.people.change(actor, agent_id, role=role),
    )


@agent.command("disable")
@_AGENT
def disable(agent_id: int) -> None:
    """Withdraw an agent's access: sockets close, tokens and sessions are refused."""
    _change(
        agent_id,
        lambda application, actor: application.access.people.change(
            actor, agent_id, is_active=False
        ),
    )


@agent.command("enable")
@_AGENT
def enable(agent_id: int) -> None:
    """Give a disabled agent access again; earlier sign-ins stay ended."""
    _change(
        agent_id,
        lambda application, actor: application.access.people.change(
            actor, agent_id, is_active=True
        ),
    )


@agent.command("sign-out")
@_AGENT
def sign_out(agent_id: int) -> None:
    """End everything issued to an agent before now."""
    _change(
        agent_id,
        lambda application, actor: application.access.people.sign_out_everywhere(actor, agent_id),
    )


def _change(agent_id: int, call: "Callable[[Application, Actor], Awaitable[None]]") -> None:
    """Run `call` as the server's own act in the agent's company. Raises NotFound."""
    from server.cli.environment import run_with_application
    from server.db.access import agent_rows
    from server.db.access.audit_log import server_actor
    from server.errors import NotFound

    async def run(application: "Application") -> None:
        known = await application.resources.database.read(
            lambda c: agent_rows.read_agent(c, agent_id)
        )
        if known is None:
            raise NotFound(f"There is no agent {agent_id}")
        await call(application, server_actor(known.company_id))

    run_with_application(run)


def _read_password() -> str:
    from server.access.passwords import MIN_PASSWORD_CHARACTERS
    from server.errors import ConfigurationError

    password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise ConfigurationError(
            f"The password must have at least {MIN_PASSWORD_CHARACTERS} characters"
        )
    return password
