"""`omni-inbox token`."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from server.db.access.agent_rows import Agent
    from server.settings import Settings


@click.command()
@click.option("--company-id", type=click.IntRange(1), required=True)
@click.option("--agent-id", type=click.IntRange(1), required=True)
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=8.0, show_default=True)
def token(company_id: int, agent_id: int, hours: float) -> None:
    """Print a JWT for an agent, as the CRM would issue it."""
    import time

    import jwt

    from server.cli.environment import read_settings
    from server.core.subjects import LOCAL_CLAIM
    from server.errors import ConfigurationError
    from server.settings.setting_checks import JWT_SECRET_MIN_BYTES

    settings = read_settings()
    if len(settings.jwt_secret.encode()) < JWT_SECRET_MIN_BYTES:
        raise ConfigurationError(
            f"JWT_SECRET must be set, to at least {JWT_SECRET_MIN_BYTES} bytes: the server's own"
        )
    found = _read_agent(settings, agent_id)
    known = found if found is not None and found.company_id == company_id else None
    now = int(time.time())
    claims = {
        settings.jwt_subject_claim: known.subject if known else str(agent_id),
        LOCAL_CLAIM: True,
        settings.jwt_company_claim: company_id,
        "name": known.name if known else f"Agent {agent_id}",
        "role": known.role if known else "agent",
        "iat": now,
        "exp": now + int(hours * 3600),
    }
    click.echo(jwt.encode(claims, settings.jwt_secret, algorithm="HS256"))


def _read_agent(settings: "Settings", agent_id: int) -> "Agent | None":
    """The agent of this number, of whatever company. Opens the database alone."""
    import asyncio

    from server.cli.environment import prepare_database
    from server.db.access import agent_rows
    from server.db.engine.database import Database

    prepare_database(settings)

    async def read() -> "Agent | None":
        async with Database.from_settings(settings) as database:
            return await database.read(lambda c: agent_rows.read_agent(c, agent_id))

    return asyncio.run(read())
