"""The database and the bus are lost at the same moment: what happens to webhooks, to access, and to
pages.
"""

import time

import pytest

from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.faults.crowd import follow
from tests.faults.oracle import check_stored, wait_drained
from tests.faults.server_reports import readyz, wait_ready
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.tcp_proxy import TcpProxy

_LIMIT = 60.0
_PROMISE_SECONDS = 5.5  # access ends within five, and a little


@pytest.mark.parametrize("how", ["silent", "cut"])
async def test_database_and_bus_are_lost_at_once(cluster: Cluster, how: str) -> None:
    """Webhooks are taken and spooled; nobody is sent anything that their access was not confirmed
    for; REST and pages say 503 and when to come again. Afterwards whoever lost access meanwhile is
    out, and the other has every message once.
    """
    async with (
        clustered(cluster),
        TcpProxy(cluster.mariadb.port) as database,
        TcpProxy(cluster.redis.port) as bus,
    ):
        await cluster.prepare()
        env = {"DATABASE_WAIT_SECONDS": "1"}
        server = cluster.add_server(database_port=database.port, redis_port=bus.port, env=env)
        await cluster.start(server)
        flow = Flow([server], rate=20)
        async with follow(server, "gone") as gone, follow(server, "stays") as stays:
            async with flow.running():
                await stays.wait_for(lambda _event: True, limit=_LIMIT)
                await gone.wait_for(lambda _event: True, limit=_LIMIT)
                _lose(how, database, bus)
                await _disable_in_the_database(cluster, "gone")
                until = time.monotonic() + _PROMISE_SECONDS
                await eventually(lambda: time.monotonic() > until, limit=_LIMIT)
                heard, count = len(gone.events), len(flow.posts)
                await eventually(lambda: len(flow.posts) > count + 20, limit=_LIMIT)
                assert len(gone.events) == heard
                await eventually(lambda: _says_503(server, "/api/conversations"), limit=_LIMIT)
                await eventually(lambda: _says_503(server, "/inbox"), limit=_LIMIT)
                assert await _status(server, "/livez") == 200
                problems = " ".join((await readyz(server))["problems"])
                assert "database" in problems, problems
                assert "bus" in problems, problems
            _find_again(how, database, bus)
            assert await gone.wait_closed(limit=_LIMIT) == 4003
            assert len(gone.events) == heard
            assert set(flow.statuses()) == {200}
            await wait_drained(cluster, flow, limit=_LIMIT)
            await wait_ready(server, limit=_LIMIT)
            head = cluster.check_log()
            await stays.wait_for_seq(head, limit=_LIMIT)
            check_stored(cluster, flow)


def _lose(how: str, *lines: TcpProxy) -> None:
    for line in lines:
        if how == "silent":
            line.freeze()
        else:
            line.refuse_new()
            line.cut_all()


def _find_again(how: str, *lines: TcpProxy) -> None:
    for line in lines:
        if how == "silent":
            line.thaw()
        else:
            line.accept_new()


async def _disable_in_the_database(cluster: Cluster, subject: str) -> None:
    """By the CRM, past every process."""
    cluster.sql(
        "UPDATE omni_agents SET is_active = 0 WHERE company_id = %s AND subject = %s",
        COMPANY,
        subject,
    )


async def _says_503(server: Omni, path: str) -> bool:
    async with server.client(server.token(COMPANY, "stays"), timeout=_LIMIT) as http:
        answer = await http.get(path)
    return answer.status_code == 503 and int(answer.headers.get("Retry-After", "0")) > 0


async def _status(server: Omni, path: str) -> int:
    async with server.client(timeout=_LIMIT) as http:
        return (await http.get(path)).status_code
