"""Withdrawn access ends within seconds, whatever is down: nothing is sent that was not confirmed a
moment ago, and nothing is lost.
"""

import asyncio
import time

import httpx

from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.faults.crowd import fetch_snapshot, follow
from tests.faults.oracle import wait_drained
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket
from tests.kit.tcp_proxy import TcpProxy

_LIMIT = 30.0
_PAST_SECONDS = 5.5  # the promise, and a little


async def test_disabled_while_the_process_has_lost_the_database_but_not_the_bus(
    cluster: Cluster,
) -> None:
    """Row 62: the bus says so, and the agent's socket is closed. A colleague's events wait there as
    well, as nobody knows what else was withdrawn; they follow, each once.
    """
    async with clustered(cluster), TcpProxy(cluster.mariadb.port) as line:
        await cluster.prepare()
        cut_off, well = cluster.add_server(database_port=line.port), cluster.add_server()
        await cluster.start(cut_off, well)
        flow = Flow([well])
        async with (
            follow(cut_off, "gone") as gone,
            follow(cut_off, "stays") as stays,
            flow.running(),
        ):
            await stays.wait_for(lambda _event: True, limit=_LIMIT)
            line.freeze()
            await _disable(well, gone)
            assert await gone.wait_closed(limit=_LIMIT) == 4003
            await _past(_PAST_SECONDS)
            heard = len(gone.events), len(stays.events)
            count = len(flow.posts)
            await eventually(lambda: len(flow.posts) > count + 20, limit=_LIMIT)
            assert (len(gone.events), len(stays.events)) == heard
            assert stays.is_open
            assert await _status(cut_off, "stays") == 503
            line.thaw()
            await stays.wait_for(lambda _event: len(stays.events) > heard[1], limit=_LIMIT)


async def test_disabled_while_the_process_has_lost_the_database_and_hears_nothing(
    cluster: Cluster,
) -> None:
    """As above, with the words of the others lost as well: events that still come by the bus are
    held back until somebody knows.
    """
    async with clustered(cluster), TcpProxy(cluster.mariadb.port) as line:
        await cluster.prepare()
        cut_off, well = cluster.add_server(database_port=line.port), cluster.add_server()
        await cluster.start(cut_off, well)
        flow = Flow([well])
        async with follow(cut_off, "gone") as gone, flow.running():
            await gone.wait_for(lambda _event: True, limit=_LIMIT)
            line.freeze()
            await _delete(cluster, gone)
            await _past(_PAST_SECONDS)
            heard, count = len(gone.events), len(flow.posts)
            await eventually(lambda: len(flow.posts) > count + 20, limit=_LIMIT)
            assert len(gone.events) == heard
            line.thaw()
            assert await gone.wait_closed(limit=_LIMIT) == 4003
            assert len(gone.events) == heard


async def test_disabled_while_the_process_stood_still(cluster: Cluster) -> None:
    """A process that was stopped looks again before it sends anything of what has come meanwhile;
    no word on the bus told it to.
    """
    async with clustered(cluster):
        await cluster.prepare()
        stopped, well = cluster.add_server(), cluster.add_server()
        await cluster.start(stopped, well)
        flow = Flow([well])
        async with follow(stopped, "gone") as gone, follow(stopped, "stays") as stays:
            await flow.run(0.5)
            await wait_drained(cluster, flow)
            await stays.wait_for_seq(cluster.head(), limit=_LIMIT)
            await gone.wait_for_seq(cluster.head(), limit=_LIMIT)
            heard = len(gone.events)
            await asyncio.to_thread(stopped.freeze)
            await _delete(cluster, gone)
            await flow.run(_PAST_SECONDS)
            await asyncio.to_thread(stopped.thaw)
            assert await gone.wait_closed(limit=_LIMIT) == 4003
            await wait_drained(cluster, flow)
            await stays.wait_for_seq(cluster.head(), limit=_LIMIT)
            assert len(gone.events) == heard
            assert stays.model == await fetch_snapshot(well)


async def _disable(server: Omni, agent: AgentSocket) -> None:
    done = await asyncio.to_thread(
        server.cli, "agent", "disable", "--agent-id", str(agent.welcome["agent"]["id"])
    )
    assert done.returncode == 0, done.stderr


async def _delete(cluster: Cluster, agent: AgentSocket) -> None:
    """By hand, as an administrator of the database would: nobody says so on the bus."""
    await asyncio.to_thread(
        cluster.sql, "DELETE FROM omni_agents WHERE id = %s", agent.welcome["agent"]["id"]
    )


async def _past(seconds: float) -> None:
    """Let the time of the promise pass while webhooks go on."""
    until = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() > until, limit=10 * seconds)


async def _status(server: Omni, subject: str) -> int:
    async with server.client(server.token(COMPANY, subject), timeout=httpx.Timeout(_LIMIT)) as http:
        return (await http.get("/api/conversations", params={"limit": 1})).status_code
