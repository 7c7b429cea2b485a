"""The bus fails while webhooks flow: agents of two processes see every event once, in order, within
about a second.
"""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from server.core.wire.envelope import derive
from server.live.bus import Bus
from server.tasks import Services
from tests.faults.cluster import Cluster, running
from tests.faults.crowd import crowd, crowd_of, wait_level
from tests.faults.figures import sized, told
from tests.faults.oracle import (
    check_conversation_order,
    check_crowd,
    check_stored,
    delays,
    wait_drained,
)
from tests.faults.server_reports import wait_problem, wait_ready
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.redis import Redis

# longer than the canary's patience, so that degraded mode is reached
_OUTAGE_SECONDS = sized(7.0, 60.0)


async def _kill(cluster: Cluster) -> None:
    """Dead for a while, then there again, empty."""
    await asyncio.to_thread(cluster.redis.kill)
    await asyncio.sleep(_OUTAGE_SECONDS)
    await asyncio.to_thread(cluster.redis.start)


async def _freeze(cluster: Cluster) -> None:
    """Half-open: connections stand, nobody answers."""
    cluster.redis.freeze()
    await asyncio.sleep(_OUTAGE_SECONDS)
    cluster.redis.thaw()


async def _drop_connections(cluster: Cluster) -> None:
    """CLIENT KILL, several times, as Redis does with a full output buffer; then killed and at once
    there again, empty, twice.
    """
    for _ in range(4):
        await asyncio.to_thread(cluster.redis.drop_connections)
        await asyncio.sleep(0.5)
    for _ in range(2):
        await asyncio.to_thread(cluster.redis.kill)
        await asyncio.to_thread(cluster.redis.start)
        await asyncio.sleep(0.7)


@pytest.mark.parametrize(
    "fault", [_kill, _freeze, _drop_connections], ids=lambda fault: fault.__name__.strip("_")
)
async def test_bus_fails(
    cluster: Cluster, fault: Callable[[Cluster], Coroutine[None, None, None]]
) -> None:
    """Rows 15 and 17: Redis killed, half-open, cutting us, restarted empty; changes arrive within
    about 1.1 s, nothing is missing.
    """
    async with running(cluster, 2) as servers:
        flow = Flow(servers[:1])  # the other process hears of it by the bus, or not at all
        async with crowd(crowd_of(servers, 4)) as agents:
            async with flow.running():
                await asyncio.sleep(1.0)
                async with asyncio.TaskGroup() as group:
                    group.create_task(fault(cluster))
                    if fault in (_kill, _freeze):
                        group.create_task(_sees_degraded(servers))
                await asyncio.sleep(1.0)
            await wait_drained(cluster, flow)
            await wait_level(agents, cluster.head)
            for server in servers:
                await wait_ready(server)
            check_crowd(agents, cluster.check_log())
            check_stored(cluster, flow)
            for agent in agents:
                check_conversation_order(agent.texts)
        assert set(flow.statuses()) == {200}
        late = delays(flow, agents)
        told(
            f"15/17 {fault.__name__}",
            webhooks=len(flow.posts),
            worst=late[-1],
            p50=late[len(late) // 2],
            slowest_ack=flow.slowest_seconds,
        )
        assert late[-1] < 2.5


async def _sees_degraded(servers: list[Omni]) -> None:
    for server in servers:
        report = await wait_problem(server, "bus", limit=_OUTAGE_SECONDS)
        assert report["status"] == "degraded"


async def test_bus_absent_at_start(cluster: Cluster) -> None:
    """Row 18: both processes start without Redis, say so, show every change, and heal by themselves
    when it comes.
    """
    await asyncio.to_thread(cluster.redis.kill)
    async with running(cluster, 2, are_ready=False) as servers:
        for server in servers:
            assert (await wait_problem(server, "bus"))["status"] == "degraded"
        flow = Flow(servers[:1])
        async with crowd(crowd_of(servers, 4)) as agents:
            async with flow.running():
                await asyncio.sleep(2.0)
                await asyncio.to_thread(cluster.redis.start)
                for server in servers:
                    await wait_ready(server)
                await asyncio.sleep(1.0)
            await wait_drained(cluster, flow)
            await wait_level(agents, cluster.head)
            check_crowd(agents, cluster.check_log())
            check_stored(cluster, flow)
        late = delays(flow, agents)
        told("18", webhooks=len(flow.posts), worst=late[-1], p50=late[len(late) // 2])
        assert late[-1] < 2.5


async def test_channel_wished_while_connecting(redis_server: Redis) -> None:
    """Row 18: a channel asked for while the connection is being made is subscribed as well: the
    canary comes back at once.
    """
    for _ in range(10):
        async with Bus(redis_server.url) as bus, Services() as services:
            bus.identify(derive("test", "secret", ""))
            services.start("bus", bus.run)
            services.start("bus-canary", bus.run_canary)
            await _comes_up(bus)


async def _comes_up(bus: Bus) -> None:
    await eventually(lambda: bus.is_up, limit=4)
