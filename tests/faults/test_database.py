"""The database fails while webhooks arrive: they are kept, sockets stay, and everything is drained
in order when it is back.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from tests.faults.cluster import COMPANY, Cluster, clustered, running
from tests.faults.crowd import crowd, crowd_of, wait_level
from tests.faults.figures import sized, told
from tests.faults.oracle import check_conversation_order, check_crowd, check_stored, wait_drained
from tests.faults.server_reports import wait_problem, wait_ready
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.tcp_proxy import Direction, TcpProxy

_OUTAGE_SECONDS = sized(6.0, 60.0)
# a reader's patience of 5 s would only make the test long
_PATIENCE = {"DATABASE_WAIT_SECONDS": "2"}


async def _kill(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.mariadb.kill)
    await asyncio.sleep(_OUTAGE_SECONDS)
    await asyncio.to_thread(cluster.mariadb.start)


async def _freeze(cluster: Cluster) -> None:
    cluster.mariadb.freeze()
    await asyncio.sleep(_OUTAGE_SECONDS)
    cluster.mariadb.thaw()


@pytest.mark.parametrize("fault", [_kill, _freeze], ids=lambda fault: fault.__name__.strip("_"))
async def test_database_fails(
    cluster: Cluster, fault: Callable[[Cluster], Coroutine[None, None, None]]
) -> None:
    """Rows 21 and 22: every webhook 200, sockets stay, REST 503 with Retry-After, `/readyz` says
    so, drained in order within 10 s.
    """
    async with running(cluster, env=_PATIENCE) as [server]:
        flow = Flow([server])
        async with crowd(crowd_of([server], 4)) as agents:
            async with flow.running():
                await asyncio.sleep(1.0)
                async with asyncio.TaskGroup() as group:
                    group.create_task(fault(cluster))
                    group.create_task(_is_refused(server))
                    group.create_task(wait_problem(server, "database", limit=_OUTAGE_SECONDS))
                back_at = len(flow.posts)
            back = time.monotonic()
            drained_seconds = await wait_drained(cluster, flow)
            await wait_level(agents, cluster.head)
            shown_seconds = time.monotonic() - back
            await wait_ready(server)
            check_crowd(agents, cluster.check_log())
            check_stored(cluster, flow)
            for agent in agents:
                check_conversation_order(agent.texts)
                assert agent.welcomes.total() == 1, "a socket was lost"
        told(
            f"21/22 {fault.__name__}",
            webhooks=len(flow.posts),
            statuses=dict(flow.statuses()),
            slowest=flow.slowest_seconds,
            drained_seconds=drained_seconds,
            at_all_agents_seconds=shown_seconds,
        )
        assert set(flow.statuses()) == {200}
        assert back_at > 0
        assert cluster.states() == {"done": len(flow.posts)}


async def _is_refused(server: Omni) -> None:
    """REST says 503 and when to come again, once the database is gone."""

    async def answers_503() -> bool:
        async with server.client(server.token(COMPANY)) as http:
            answer = await http.get("/api/conversations")
        assert answer.status_code == 503, answer.status_code
        assert int(answer.headers["Retry-After"]) > 0
        return True

    await eventually(answers_503, limit=_OUTAGE_SECONDS)


async def test_server_killed_while_deliveries_are_spooled(cluster: Cluster) -> None:
    """Row 21: our own kill -9 while the spool holds deliveries; the next start drains them, in
    order, without loss.
    """
    async with running(cluster, env=_PATIENCE) as [server]:
        flow = Flow([server])
        await flow.run(0.5)
        await asyncio.to_thread(cluster.mariadb.kill)
        async with flow.running():
            await asyncio.sleep(1.5)
            await asyncio.to_thread(server.kill9)
        await cluster.start(server, are_ready=False)
        assert (await wait_problem(server, "spool"))["spooled"] > 0
        await flow.run(0.5)  # behind what waits there
        await asyncio.to_thread(cluster.mariadb.start)
        seconds = await wait_drained(cluster, flow)
        await wait_ready(server)
        cluster.check_log()
        check_stored(cluster, flow)
        check_conversation_order(
            [
                row["content"]
                for row in cluster.sql("SELECT content FROM social_messages ORDER BY id")
            ]
        )
        told(
            "21 own kill",
            webhooks=len(flow.acknowledged),
            unanswered=flow.statuses()[0],
            drained_seconds=seconds,
        )


async def test_database_absent_at_start(cluster: Cluster) -> None:
    """Row 22: starts without a database, says so, keeps webhooks; when it comes, what was kept is
    judged, taken in and shown.
    """
    async with clustered(cluster):
        await cluster.prepare()
        await asyncio.to_thread(cluster.mariadb.kill)
        server = cluster.add_server(env=_PATIENCE)
        await cluster.start(server, are_ready=False)
        assert (await wait_problem(server, "database cannot be reached"))["status"] == "degraded"
        flow = Flow([server])
        await flow.run(1.0)
        assert set(flow.statuses()) == {200}
        await asyncio.to_thread(cluster.mariadb.start)
        await wait_drained(cluster, flow)
        await wait_ready(server)
        async with crowd(crowd_of([server], 2)) as agents:
            await flow.run(0.5)
            await wait_drained(cluster, flow)
            await wait_level(agents, cluster.head)
            check_crowd(agents, cluster.check_log())
        check_stored(cluster, flow)


async def test_pooled_connections_are_killed(cluster: Cluster) -> None:
    """Row 23: KILL of all pooled connections, over and over, then a restart of the server: no
    webhook fails or is lost.
    """
    async with running(cluster) as [server]:
        flow = Flow([server])
        async with crowd(crowd_of([server], 4)) as agents:
            async with flow.running():
                for _ in range(10):
                    await asyncio.sleep(random.uniform(0.05, 0.4))
                    await asyncio.to_thread(cluster.mariadb.drop_connections)
                await asyncio.to_thread(cluster.mariadb.restart)
            await wait_drained(cluster, flow)
            await wait_level(agents, cluster.head)
            check_crowd(agents, cluster.check_log())
            assert all(agent.welcomes.total() == 1 for agent in agents)
        check_stored(cluster, flow)
        assert set(flow.statuses()) == {200}
        told("23", webhooks=len(flow.posts), slowest=flow.slowest_seconds)


async def test_spool_cannot_be_written(cluster: Cluster, tmp_path: Path) -> None:
    """Row 28: neither journal nor spool: 503 to the sender, `/readyz` says unavailable, agents
    stay; all is well again afterwards.
    """
    async with clustered(cluster):
        await cluster.prepare()
        spool = tmp_path / "spool-that-is-a-directory"
        spool.mkdir()
        server = cluster.add_server(env={**_PATIENCE, "SPOOL_PATH": str(spool)})
        await cluster.start(server, are_ready=False)
        await wait_problem(server, "spool")  # said before it is needed
        flow = Flow([server])
        async with crowd(crowd_of([server], 2)) as agents:
            await flow.run(0.5)
            assert set(flow.statuses()) == {200}
            await asyncio.to_thread(cluster.mariadb.kill)
            refused = Flow([server], conversations=3)
            await refused.run(1.0)
            assert set(refused.statuses()) == {503}
            assert (await wait_problem(server, "spool"))["status"] == "unavailable"
            spool.rmdir()
            await asyncio.to_thread(cluster.mariadb.start)
            await wait_ready(server)
            assert all(agent.welcomes.total() == 1 for agent in agents)
            await wait_level(agents, cluster.head)
            check_crowd(agents, cluster.check_log())
        told("28", slowest_refusal=refused.slowest_seconds)


async def test_processes_are_killed_while_webhooks_are_acknowledged(cluster: Cluster) -> None:
    """Rows 20 and 27: kill -9 at random moments, each process in turn: every acknowledged webhook
    processed once, the log gapless.
    """
    async with running(cluster, 2) as servers:
        flow = Flow(servers, rate=80)
        async with crowd(crowd_of(servers, 6)) as agents:
            async with flow.running():
                for number in range(8):
                    await asyncio.sleep(random.uniform(0.1, 0.5))
                    await asyncio.to_thread(servers[number % 2].kill9)
                    await asyncio.to_thread(servers[number % 2].start)
            await wait_drained(cluster, flow)
            await eventually(lambda: all(agent.is_live for agent in agents), limit=10)
            await wait_level(agents, cluster.head)
            check_crowd(agents, cluster.check_log())
        check_stored(cluster, flow)
        assert set(cluster.states()) == {"done"}
        told("20/27", kills=8, acknowledged=len(flow.acknowledged), unanswered=flow.statuses()[0])


async def test_killed_at_every_step_of_a_delivery(cluster: Cluster) -> None:
    """Rows 20 and 27: the line to the database ends at a chosen byte, either way, and the process
    dies there: before, in and after the journal's commit and ingest's. Another process's agents see
    everything acknowledged, once.
    """
    async with clustered(cluster), TcpProxy(cluster.mariadb.port) as proxy:
        await cluster.prepare()
        victim, other = (
            cluster.add_server(env=_PATIENCE, database_port=proxy.port),
            cluster.add_server(),
        )
        await cluster.start(victim, other)
        flow = Flow([victim])
        directions: tuple[Direction, ...] = ("to_server", "to_client")
        async with crowd(crowd_of([other], 2)) as agents:
            for direction in directions:
                for byte_count in (0, 300, 1_500, 6_000):
                    await flow.run(0.1)
                    async with flow.running():
                        cuts = proxy.cut_count
                        proxy.refuse_new()
                        proxy.cut_after(byte_count, direction)
                        # awaited at once
                        await eventually(lambda: proxy.cut_count > cuts, limit=30)  # noqa: B023
                        await asyncio.to_thread(victim.kill9)
                    proxy.accept_new()
                    await asyncio.to_thread(victim.start)
            await wait_drained(cluster, flow, limit=20)
            await wait_level(agents, cluster.head)
            check_crowd(agents, cluster.check_log())
        check_stored(cluster, flow)
        assert set(cluster.states()) == {"done"}
        told(
            "20/27 steps",
            kills=8,
            acknowledged=len(flow.acknowledged),
            unanswered=flow.statuses()[0],
        )
