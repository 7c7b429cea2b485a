"""Lines of sign-ins in the audit log of the agent's company, and of refused ones in the server's
log.
"""

from server import log
from server.core.times import SECOND
from server.db.access import agent_rows, audit_log
from server.db.access.agent_rows import Agent
from server.db.access.audit_log import Actor, Origin
from server.db.engine.database import Connection, Database

_logger = log.get(__name__)
# lines an hour and account in the audit log; the log of the server has them all
_MAX_FAILURES = 30
_HOUR_US = 3_600 * SECOND


class SignInAudit:
    """Writes acts of agents on their own sign-ins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, agent: Agent, origin: Origin, act: str, **detail: object) -> None:
        """Writes one act. Raises DatabaseUnavailable."""
        await self._database.transaction(
            lambda c: audit_log.append_act(
                c, own_actor(agent, origin), act, f"agent {agent.id}", **detail
            )
        )

    async def refused(self, agent_id: int, origin: Origin, what: str) -> None:
        """Logs a refused sign-in with its address, for operators; for a known account (not 0) a
        line goes to its company's audit log. Raises DatabaseUnavailable.
        """
        _logger.warning("sign-in refused", address=origin.address, client=origin.client, wrong=what)
        if not agent_id:
            return
        since_us = self._database.clock.now_us() - _HOUR_US

        async def write(connection: Connection) -> None:
            agent = await agent_rows.read_agent(connection, agent_id)
            if (
                agent is None
                or await audit_log.count_acts(
                    connection, agent_id, audit_log.SIGN_IN_FAILED, since_us
                )
                >= _MAX_FAILURES
            ):
                return
            actor, target = own_actor(agent, origin), f"agent {agent_id}"
            await audit_log.append_act(
                connection, actor, audit_log.SIGN_IN_FAILED, target, wrong=what
            )

        await self._database.transaction(write)


def own_actor(agent: Agent, origin: Origin) -> Actor:
    """The agent as the one who acts."""
    return Actor(agent.company_id, agent.email or agent.name, agent.id, origin)
