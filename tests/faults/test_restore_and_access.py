"""A restored backup, a new epoch, and access withdrawn while the bus is down."""

import asyncio
import time

from tests.faults.cluster import COMPANY, Cluster, running
from tests.faults.crowd import fetch_snapshot, follow
from tests.faults.figures import told
from tests.faults.oracle import wait_drained
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.socket_client import AgentSocket


async def test_restored_from_a_backup(cluster: Cluster) -> None:
    """Row 25: heads go back: the log gets a new epoch by itself, an alarm is logged; live agents
    and those who come when it has grown past them again are told to reset. Then a new epoch by
    command.
    """
    async with running(cluster, 2, env={"LOG_LEVEL": "ERROR"}) as servers:
        flow = Flow(servers)
        await flow.run(0.5)
        await wait_drained(cluster, flow)
        head, conversations = cluster.head(), cluster.sql("SELECT * FROM social_conversations")
        async with follow(servers[0]) as live, follow(servers[1]) as away:
            await flow.run(0.5)
            await wait_drained(cluster, flow)
            await away.wait_for_seq(cluster.head())
            away.cut()
            await away.wait_closed()
            for row in conversations:
                names = ", ".join(f"{name} = %s" for name in row)
                cluster.sql(
                    f"UPDATE social_conversations SET {names} WHERE id = %s",
                    *row.values(),
                    row["id"],
                )
            cluster.sql("DELETE FROM social_messages WHERE omni_seq > %s", head)
            cluster.sql("DELETE FROM omni_inbox_events WHERE seq > %s", head)
            cluster.sql("UPDATE omni_inbox_streams SET head = %s", head)
            assert (await live.wait_for_frame("reset"))["reason"] == "epoch"
            await eventually(lambda: any("went back" in server.log for server in servers))
            grown = Flow(servers, conversations=3, above=10_000)
            while cluster.head() <= away.seq:
                await grown.run(0.3)
            await wait_drained(cluster, grown)
            assert (await away.resume())["reason"] == "epoch"
            live.frames.clear()
            away.frames.clear()
            done = await asyncio.to_thread(
                servers[0].cli, "stream", "new-epoch", "--company-id", str(COMPANY)
            )
            assert done.returncode == 0, done.stderr
            for agent in (live, away):
                await _told_reset(agent, "epoch")
                agent.model = await fetch_snapshot(servers[0])
            await flow.run(0.3)
            await wait_drained(cluster, Flow(servers, posts=flow.posts[-5:]))
            for agent in (live, away):
                await agent.wait_for_seq(cluster.head())
                assert agent.model == await fetch_snapshot(servers[1])


async def test_agent_is_disabled_while_the_bus_is_down(cluster: Cluster) -> None:
    """Row 45: disabled, and signed out, by command while Redis is dead: their sockets at both
    processes are silent within 5 s.
    """
    await asyncio.to_thread(cluster.redis.kill)
    async with running(cluster, 2, are_ready=False) as servers:
        flow = Flow(servers)
        async with (
            follow(servers[0], "gone") as one,
            follow(servers[1], "gone") as two,
            follow(servers[1], "out") as out,
        ):
            async with follow(servers[0], "stays") as stays, flow.running():
                await out.wait_for(lambda event: True)
                for agent, command in ((one, "disable"), (out, "sign-out")):
                    number = str(agent.welcome["agent"]["id"])
                    done = await asyncio.to_thread(
                        servers[0].cli, "agent", command, "--agent-id", number
                    )
                    assert done.returncode == 0, done.stderr
                started = time.monotonic()
                codes = [await agent.wait_closed(limit=5) for agent in (one, two, out)]
                seconds = time.monotonic() - started
                heard = [len(agent.events) for agent in (one, two, out)]
                await _goes_on(flow)
                assert [len(agent.events) for agent in (one, two, out)] == heard
                assert stays.is_open
            assert codes == [4003, 4003, 4003]
            assert await _is_refused(one)
            assert await _is_refused(out)
        told("45", silent_after_seconds=seconds)
        await asyncio.to_thread(cluster.redis.start)


async def _told_reset(agent: AgentSocket, reason: str) -> None:
    await agent.wait_until(lambda: reason in [frame.get("reason") for frame in agent.frames])


async def _goes_on(flow: Flow) -> None:
    count = len(flow.posts)
    await eventually(lambda: len(flow.posts) > count + 20)


async def _is_refused(agent: AgentSocket) -> bool:
    await agent.open()
    await agent.say_hello()
    await agent.wait_for_frame("error")
    await agent.wait_closed()
    return len(agent.frames_of("welcome")) == 1
