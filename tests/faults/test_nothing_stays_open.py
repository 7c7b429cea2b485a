"""Whatever is cut between us and the database, nothing of it stays open: connections, and the files
of the spool that stands in.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx

from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.faults.oracle import wait_drained
from tests.faults.server_reports import wait_problem, wait_ready
from tests.faults.webhook_flow import Flow
from tests.kit.descriptors import nothing_more_than, settled_descriptors
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.tcp_proxy import Direction, TcpProxy

_DIRECTIONS: tuple[Direction, ...] = ("to_server", "to_client")


async def test_a_database_that_is_cut_at_any_byte_leaves_nothing_open(cluster: Cluster) -> None:
    """Within a question, within its answer, or silent, while webhooks come and agents read; it is
    back at once, or stays away.
    """
    env = {"DATABASE_WAIT_SECONDS": "1"}
    async with clustered(cluster), TcpProxy(cluster.mariadb.port) as proxy:
        await cluster.prepare()
        server = cluster.add_server(env=env, database_port=proxy.port)
        await cluster.start(server)
        flow = Flow([server])
        await flow.run(0.3)
        await wait_drained(cluster, flow, limit=60)
        before = await settled_descriptors(server, most_sockets=40)
        connections = proxy.open_count
        for direction, byte_count, stays_away in zip(
            _DIRECTIONS * 3, (0, 0, 300, 300, 3_000, 3_000), (True, False) * 3, strict=True
        ):
            async with flow.running(), _reading(server):
                cuts = proxy.cut_count
                if stays_away:
                    proxy.refuse_new()
                proxy.cut_after(byte_count, direction)
                # awaited at once
                await eventually(lambda: proxy.cut_count > cuts, limit=60)  # noqa: B023
                if stays_away:
                    await wait_problem(server, "database", limit=60)
            proxy.accept_new()
            await wait_ready(server, limit=60)
        for _ in range(2):  # nothing is cut: whoever waits gives up, and must hang up as well
            async with flow.running(), _reading(server):
                proxy.freeze()
                await wait_problem(server, "database", limit=60)
            proxy.thaw()
            await wait_ready(server, limit=60)
        await wait_drained(cluster, flow, limit=60)
        await flow.run(0.3)
        await wait_drained(cluster, flow, limit=60)
        await nothing_more_than(server, before)
        await eventually(lambda: proxy.open_count <= connections, limit=60)
        assert set(cluster.states()) == {"done"}
        assert set(flow.statuses()) == {200}


@contextlib.asynccontextmanager
async def _reading(server: Omni) -> AsyncIterator[None]:
    """An agent who asks again and again, whatever is answered, and goes in the middle of the last
    question.
    """

    async def read(http: httpx.AsyncClient) -> None:
        while True:
            answer = await http.get("/api/conversations")
            assert answer.status_code in (200, 503), answer.text

    async with (
        server.client(server.token(company_id=COMPANY)) as http,
        asyncio.TaskGroup() as group,
    ):
        reading = group.create_task(read(http))
        try:
            yield
        finally:
            reading.cancel()
