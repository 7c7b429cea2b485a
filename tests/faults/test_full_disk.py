"""The disk is full, at the spool and at SQLite: senders are told so, agents see nothing of it, and
it heals when there is room.
"""

import asyncio
from pathlib import Path

from tests.faults.cluster import ACCOUNT, COMPANY, INBOX, Cluster, clustered
from tests.faults.crowd import crowd, crowd_of, fetch_snapshot, follow, wait_level
from tests.faults.figures import told
from tests.faults.oracle import check_crowd, check_stored, wait_drained
from tests.faults.server_reports import metric, readyz, wait_problem, wait_ready
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.small_disk import SmallDisk, small_disk


async def test_disk_of_the_spool_is_full(cluster: Cluster, tmp_path: Path) -> None:
    """Row 28: the database away, and no room for the spool: 503, said in `/readyz` and the log,
    agents stay; with room again all is well, and everything that was acknowledged is there.
    """
    with small_disk(tmp_path / "disk") as disk:
        async with clustered(cluster):
            await cluster.prepare()
            server = cluster.add_server(env={"DATABASE_WAIT_SECONDS": "2", **_on(disk)})
            await cluster.start(server)
            flow = Flow([server], rate=100)
            async with crowd(crowd_of([server], 2)) as agents:
                await flow.run(0.5)
                await asyncio.to_thread(cluster.mariadb.kill)
                async with flow.running():
                    await wait_problem(server, "spool")
                    await asyncio.to_thread(disk.fill, server.process.pid)
                    await eventually(lambda: flow.statuses()[503] > 10, limit=20)
                    assert (await wait_problem(server, "webhooks are refused"))[
                        "status"
                    ] == "unavailable"
                    assert "could not be kept" in server.log
                    await asyncio.to_thread(disk.free, server.process.pid)
                    await _is_kept_again(flow)
                await asyncio.to_thread(cluster.mariadb.start)
                await wait_drained(cluster, flow, limit=20)
                await wait_ready(server)
                await wait_level(agents, cluster.head)
                check_crowd(agents, cluster.check_log())
                assert all(agent.welcomes.total() == 1 for agent in agents)
            check_stored(cluster, flow)
            told(
                "28 spool",
                refused=flow.statuses()[503],
                kept=len(flow.acknowledged),
                is_mounted=disk.is_mounted,
            )


async def test_disk_of_the_spool_is_full_and_the_database_comes_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Row 61: deliveries wait in a spool that can neither take nor delete another one: as soon as
    the database is there it takes all that come, and what waited; nothing is refused any more,
    though the disk is still full.
    """
    with small_disk(tmp_path / "disk") as disk:
        async with clustered(cluster):
            await cluster.prepare()
            server = cluster.add_server(env={"DATABASE_WAIT_SECONDS": "2", **_on(disk)})
            await cluster.start(server)
            flow = Flow([server], rate=100)
            await asyncio.to_thread(cluster.mariadb.kill)
            await flow.run(1.0)
            assert (await readyz(server))["spooled"] > 0
            await asyncio.to_thread(disk.fill, server.process.pid)
            await asyncio.to_thread(cluster.mariadb.start)
            async with flow.running():
                await _is_kept_again(flow)
            await wait_drained(cluster, flow, limit=20)
            known = len(flow.posts)
            await flow.run(1.0)
            assert {post.status for post in flow.posts[known:]} == {200}
            report = await readyz(server)
            assert (report["spooled"], report["status"]) == (0, "degraded"), report
            assert [problem for problem in report["problems"] if "spool" in problem], report
            await asyncio.to_thread(disk.free, server.process.pid)
            await wait_ready(server)
            await wait_drained(cluster, flow, limit=20)
            check_stored(cluster, flow)


async def test_spool_is_damaged(cluster: Cluster, tmp_path: Path) -> None:
    """Row 61: the file is no database at the start: it is kept aside and said, a new one takes
    deliveries while the database is away.
    """
    async with clustered(cluster):
        await cluster.prepare()
        spool = tmp_path / "spool.db"
        spool.write_bytes(b"no database at all " * 1_000)
        server = cluster.add_server(env={"DATABASE_WAIT_SECONDS": "2", "SPOOL_PATH": str(spool)})
        await cluster.start(server, are_ready=False)
        assert (await wait_problem(server, "damaged"))["status"] == "degraded"
        assert await metric(server, "spool_damaged_total") == 1
        assert "spool damaged, begun anew" in server.log
        flow = Flow([server])
        await asyncio.to_thread(cluster.mariadb.kill)
        await flow.run(1.0)
        assert set(flow.statuses()) == {200}
        await asyncio.to_thread(cluster.mariadb.start)
        await wait_drained(cluster, flow, limit=20)
        await asyncio.to_thread(_remove, tmp_path)
        await wait_ready(server)
        check_stored(cluster, flow)


async def test_disk_of_sqlite_is_full(tmp_path: Path) -> None:
    """Row 28: the embedded database and the spool on one disk that is full: 503, agents stay and
    read; then all is as it was told.
    """
    with small_disk(tmp_path / "disk") as disk:
        server = Omni(tmp_path, database_url=f"sqlite:///{disk.path / 'omni.db'}", env=_on(disk))
        await asyncio.to_thread(server.prepare)
        await asyncio.to_thread(
            server.add_integration, company_id=COMPANY, account_id=ACCOUNT, inbox_id=INBOX
        )
        try:
            await asyncio.to_thread(server.start)
            async with follow(server) as agent:
                flow = Flow([server], rate=100)
                await flow.run(0.5)
                await fetch_snapshot(server)  # an agent seen for the first time is written down
                async with flow.running():
                    await asyncio.to_thread(disk.fill, server.process.pid)
                    await eventually(lambda: flow.statuses()[503] > 10, limit=20)
                    assert (await wait_problem(server, "webhooks are refused"))[
                        "status"
                    ] == "unavailable"
                    assert (await fetch_snapshot(server)).messages
                    await asyncio.to_thread(disk.free, server.process.pid)
                    await _is_kept_again(flow)
                await eventually(
                    lambda: (
                        set(flow.acknowledged)
                        <= {m["content"] for m in agent.model.messages.values()}
                    ),
                    limit=20,
                )
                await wait_ready(server, ignoring="integration")
                assert agent.is_open
                assert len(agent.frames_of("welcome")) == 1
                assert agent.model == await fetch_snapshot(server)
            told(
                "28 SQLite",
                refused=flow.statuses()[503],
                kept=len(flow.acknowledged),
                is_mounted=disk.is_mounted,
            )
        finally:
            await asyncio.to_thread(server.kill9)


def _remove(directory: Path) -> None:
    """What was set aside, as whoever has looked at it does."""
    for aside in directory.glob("spool.db.damaged-*"):
        aside.unlink()


def _on(disk: SmallDisk) -> dict[str, str]:
    # 8 MB are enough here
    return {"SPOOL_PATH": str(disk.path / "spool.db"), "DISK_LOW_BYTES": "1000000"}


async def _is_kept_again(flow: Flow) -> None:
    known = len(flow.acknowledged)
    await eventually(lambda: len(flow.acknowledged) > known + 20, limit=20)
