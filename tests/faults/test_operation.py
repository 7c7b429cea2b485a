"""What a newcomer finds from `/readyz`, the log and the commands alone: each fault says what it is
and what follows from it.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.faults.cluster import ACCOUNT, INBOX, Cluster, clustered
from tests.faults.server_reports import metric, readyz, wait_problem, wait_ready
from tests.kit.eventually import eventually, scaled
from tests.kit.omni import COMMAND, Omni
from tests.kit.tcp_proxy import TcpProxy


async def test_a_slow_database_is_called_slow_and_not_away(cluster: Cluster) -> None:
    """Every answer comes half a second late; `/readyz` says slow, and is well again when it is
    over.
    """
    async with clustered(cluster), TcpProxy(cluster.mariadb.port) as proxy:
        await cluster.prepare()
        server = cluster.add_server(database_port=proxy.port)
        await cluster.start(server)
        async with _slowed(proxy, 0.8):
            report = await wait_problem(server, "the database is slow", limit=20)
            assert report["status"] == "degraded"
            assert "look at its load" in str(report["problems"])
        await wait_ready(server, limit=25)
        assert await metric(server, "database_seconds_count", kind="read") > 0


async def test_a_disk_that_fills_is_told_before_it_is_full(cluster: Cluster) -> None:
    """With what is left, and what to do; in the log as well."""
    async with clustered(cluster):
        await cluster.prepare()
        server = cluster.add_server(env={"DISK_LOW_BYTES": str(10**15)})
        await cluster.start(server, are_ready=False)
        report = await wait_problem(server, "MB left", limit=15)
        assert "Make room" in str(report["problems"])
        assert '"disk"' in server.log


async def test_the_doctor_names_what_is_wrong_and_the_remedy(cluster: Cluster) -> None:
    """All well first; then a weaker setting, too many processes, and Redis gone."""
    async with clustered(cluster):
        await cluster.prepare()
        server = cluster.add_server(env={"SOCKETS_PER_PROCESS": "100"})
        found = await _doctor(server)
        assert {finding["state"] for finding in found.values()} == {"ok"}
        cluster.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        try:
            found = await _doctor(server, "--processes", "1000")
        finally:
            cluster.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        assert found["innodb_flush_log_at_trx_commit"]["state"] == "warning"
        assert "max_connections" in found["max_connections"]["remedy"]
        away = cluster.add_server(redis_port=1)
        assert (await _doctor(away))["bus"]["state"] == "failed"


async def test_a_serving_process_looks_once_after_its_start(cluster: Cluster) -> None:
    """What the doctor would say stands in its log, with the remedy."""
    async with clustered(cluster):
        await cluster.prepare()
        server = cluster.add_server(env={"WEBHOOK_MAX_BYTES": "16000000"})
        await cluster.start(server)

        async def is_logged() -> bool:
            assert "max_allowed_packet" in server.log
            return True

        await eventually(is_logged)
        assert "SET GLOBAL max_allowed_packet" in server.log


async def test_a_stop_in_the_middle_of_a_round_gives_the_lease_back(cluster: Cluster) -> None:
    """Else what fell into a deploy would be looked for three quarters of a minute late."""
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with clustered(cluster), serving(sim):
        sim.switches.set(latency_seconds=5.0)
        await cluster.prepare(sim.base_url, sim.admin.access_token)
        server = cluster.add_server()
        await cluster.start(server)

        async def is_held() -> bool:
            assert (
                cluster.sql("SELECT omni_lease_until FROM integrations")[0]["omni_lease_until"]
                > time.time() * 1e6
            )
            return True

        await eventually(is_held, limit=15)
        await asyncio.to_thread(server.terminate)
        assert (
            cluster.sql("SELECT omni_lease_until FROM integrations")[0]["omni_lease_until"]
            < time.time() * 1e6
        )


async def test_drain_stops_the_server_on_its_port_and_waits_for_its_end(cluster: Cluster) -> None:
    """And says that nobody listens where nobody does."""
    async with clustered(cluster):
        await cluster.prepare()
        server = cluster.add_server()
        await cluster.start(server)
        done = await _run("drain", "--port", str(server.port), env=server.env)
        assert (done.returncode, done.stdout.strip()) == (
            0,
            f"port {server.port} is drained and free",
        )
        assert not server.process.is_running
        again = await _run("drain", "--port", str(server.port), env=server.env)
        assert again.returncode == 1
        assert "No process of this user" in again.stderr


async def test_a_well_server_has_no_problems_and_no_notes(cluster: Cluster) -> None:
    """Else nobody would look at them."""
    async with clustered(cluster):
        await cluster.prepare()
        server = cluster.add_server()
        await cluster.start(server)
        report = await readyz(server)
        assert report["status"] == "ready"
        assert report["problems"] == []


@asynccontextmanager
async def _slowed(proxy: TcpProxy, seconds: float) -> AsyncIterator[None]:
    """Hold everything back for so long, let it through, and again."""

    async def pulse() -> None:
        while True:
            proxy.freeze()
            await asyncio.sleep(seconds)
            proxy.thaw()
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(pulse())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            proxy.thaw()


async def _doctor(server: Omni, *options: str) -> dict[str, dict[str, Any]]:
    done = await _run("doctor", "--json", *options, env=server.env)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    assert done.returncode == (1 if any(line["state"] == "failed" for line in lines) else 0)
    return {line["name"]: line for line in lines}


async def _run(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    done = await asyncio.to_thread(
        subprocess.run,
        [str(COMMAND), *arguments],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    return done
