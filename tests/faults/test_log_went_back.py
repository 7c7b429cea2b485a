"""The event log lost its last commits while nobody was connected: whoever comes back is told to
reset, and never given a gap in silence.
"""

import asyncio

from tests.faults.cluster import Cluster, running
from tests.faults.crowd import follow
from tests.faults.oracle import wait_drained
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.socket_client import AgentSocket

_LIMIT = 30.0


async def test_commits_are_lost_while_nobody_is_connected(cluster: Cluster) -> None:
    """Row 63: an agent has seen events that a failover loses. Nobody watches; the log grows past
    the agent's number, written by a process that holds no feed of the company; the agent comes back
    to another one, which knows nothing of the time before.
    """
    async with running(cluster, 2) as (writer, other):
        flow = Flow([writer])
        await flow.run(0.4)
        await wait_drained(cluster, flow)
        head, conversations = cluster.head(), cluster.sql("SELECT * FROM social_conversations")
        async with follow(other) as agent:
            await flow.run(0.4)
            await wait_drained(cluster, flow)
            await agent.wait_for_seq(cluster.head(), limit=_LIMIT)
            agent.cut()
            await agent.wait_closed()
            await asyncio.to_thread(other.kill9)
            _lose_commits(cluster, head, conversations)
            await _grow(cluster, Flow([writer], conversations=3, above=10_000), agent)
            await eventually(lambda: "went back" in writer.log, limit=_LIMIT)
            await asyncio.to_thread(other.start)
            assert (await agent.resume(limit=_LIMIT))["reason"] == "epoch"


def _lose_commits(cluster: Cluster, head: int, conversations: list[dict[str, object]]) -> None:
    """As a replica that lacks them, or a dump from before."""
    for row in conversations:
        names = ", ".join(f"{name} = %s" for name in row)
        cluster.sql(
            f"UPDATE social_conversations SET {names} WHERE id = %s", *row.values(), row["id"]
        )
    cluster.sql("DELETE FROM social_messages WHERE omni_seq > %s", head)
    cluster.sql("DELETE FROM omni_inbox_events WHERE seq > %s", head)
    cluster.sql("UPDATE omni_inbox_streams SET head = %s", head)


async def _grow(cluster: Cluster, flow: Flow, agent: AgentSocket) -> None:
    """Until the numbers that the agent has seen are given away once more."""
    while cluster.head() <= agent.seq:
        await flow.run(0.3)
    await wait_drained(cluster, flow)
