"""Sockets are cut, freeze, and lose their server: agents resume by their cursor, with every event
once and in order.
"""

import asyncio
import time

from server.core.times import SECOND, wall_now_us
from server.db.engine.database import Database
from server.operation.retention import Retention
from tests.faults.cluster import COMPANY, Cluster, running
from tests.faults.crowd import crowd, crowd_of, fetch_snapshot, follow, wait_level
from tests.faults.figures import sized, told
from tests.faults.oracle import check_crowd, check_stored, wait_drained
from tests.faults.server_reports import metric
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.tcp_proxy import TcpProxy


async def test_everyone_is_cut_again_and_again(cluster: Cluster) -> None:
    """Row 1: 200 agents, RST every 2 s, 50 events/s: 100.000 % delivered, in order, none twice (in
    full size 1,000 of them, 20 times).
    """
    count, cuts = int(sized(200, 1000)), int(sized(4, 20))
    async with running(cluster) as [server]:
        flow = Flow([server])
        async with crowd(crowd_of([server], count)) as agents:
            async with flow.running():
                for _ in range(cuts):
                    await asyncio.sleep(2.0)
                    for agent in agents:
                        agent.cut()
            await wait_drained(cluster, flow)
            await eventually(lambda: all(agent.is_live for agent in agents), limit=15)
            await wait_level(agents, cluster.head, limit=15)
            check_crowd(agents, cluster.check_log())
        expected = sum(cluster.head() - agent.first_seq for agent in agents)
        seen = sum(agent.events for agent in agents)
        told(
            "1",
            agents=len(agents),
            cuts=cuts,
            events=cluster.head(),
            expected=expected,
            seen=seen,
            percent=100 * seen / expected,
        )


async def test_server_dies_with_its_sockets(cluster: Cluster) -> None:
    """Row 19: two processes, one killed with its sockets under load: its agents resume at the
    other, nothing lost.
    """
    async with running(cluster, 2) as servers:
        flow = Flow(servers)
        async with crowd(crowd_of(servers, 60)) as agents:
            async with flow.running():
                await asyncio.sleep(1.0)
                started = time.monotonic()
                await asyncio.to_thread(servers[0].kill9)
                await eventually(lambda: any(not agent.is_live for agent in agents))
                await eventually(lambda: all(agent.is_live for agent in agents), limit=15)
                resumed_seconds = time.monotonic() - started
            await wait_drained(cluster, flow)
            await wait_level(agents, cluster.head)
            check_crowd(agents, cluster.check_log())
        check_stored(cluster, flow)
        told("19", agents=60, resumed_seconds=resumed_seconds, acknowledged=len(flow.acknowledged))


async def test_half_open_socket(cluster: Cluster) -> None:
    """Row 2: frozen both ways without FIN: the server closes it after the silence it allows;
    afterwards the client resumes.
    """
    async with running(cluster, env={"PING_SECONDS": "0.5", "SOCKET_SILENCE_SECONDS": "2"}) as [
        server
    ]:
        async with TcpProxy(server.port) as proxy, follow(server) as healthy:
            agent = follow(server)
            agent.url = f"ws://127.0.0.1:{proxy.port}/ws"
            async with agent:
                flow = Flow([server])
                await flow.run(0.3)
                proxy.freeze()
                started = time.monotonic()

                async def is_closed() -> bool:
                    return await metric(server, "sockets_open") == 1

                await eventually(is_closed, limit=10)
                seconds = time.monotonic() - started
                await flow.run(0.3)
                await wait_drained(cluster, flow)
                proxy.thaw()
                await agent.wait_closed()
                await agent.resume()
                await agent.wait_for_seq(cluster.head())
                await healthy.wait_for_seq(cluster.head())
                assert healthy.is_open
                assert agent.model.messages == healthy.model.messages
        told("2", closed_after_seconds=seconds)


async def test_asleep_until_the_floor_has_passed(cluster: Cluster) -> None:
    """Row 13: events are trimmed while an agent is away; it is told `too_old`, and its snapshot
    with what follows is right.
    """
    async with running(cluster, env={"FEED_RING_EVENTS": "5"}) as [server]:
        flow = Flow([server])
        async with follow(server) as agent, follow(server, "awake") as awake:
            await flow.run(0.5)
            agent.cut()
            await agent.wait_closed()
            await flow.run(1.0)
            await wait_drained(cluster, flow)
            trimmed = await _trim(cluster, keep=10)
            head = cluster.check_log(floor=trimmed)
            welcome = await agent.resume()
            if welcome["mode"] == "replay":  # the floor was not noticed yet: the log itself says so
                await agent.wait_for_frame("reset")
            reset = welcome if welcome["mode"] == "reset" else agent.frames_of("reset")[-1]
            assert reset["reason"] == "too_old"
            await awake.wait_for_seq(head)
            assert awake.frames_of("reset") == []
            agent.model = await fetch_snapshot(server)
            await flow.run(0.3)
            await wait_drained(cluster, flow)
            await agent.wait_for_seq(cluster.head())
            assert agent.model == await fetch_snapshot(server)
            await awake.wait_for_seq(cluster.head())


async def _trim(cluster: Cluster, keep: int) -> int:
    """Let all but the newest events grow old, and the retention see it; returns the floor."""
    edge, old_us = cluster.head() - keep, wall_now_us() - 10 * 86_400 * SECOND
    cluster.sql(
        "UPDATE omni_inbox_events SET created_at = %s WHERE company_id = %s AND seq <= %s",
        old_us,
        COMPANY,
        edge,
    )
    async with Database(cluster.database_url) as database:
        await Retention(database, event_days=7, journal_days=30).trim()
    assert int(cluster.sql("SELECT floor FROM omni_inbox_streams")[0]["floor"]) == edge
    return edge
