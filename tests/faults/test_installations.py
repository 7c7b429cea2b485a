"""Installations on one Redis know nothing of each other, and what nobody of ours has signed is
nothing.
"""

import asyncio
import re
from pathlib import Path

import httpx
from redis import asyncio as aioredis

from server.core.wire.event_frames import EventBatch, encode_batch
from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.faults.crowd import follow
from tests.faults.oracle import wait_drained
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.redis import Redis
from tests.unit.sockets import event

_LIMIT = 30.0


async def test_two_installations_on_one_redis(
    cluster: Cluster, tmp_path: Path, mariadb: MariaDB, redis_server: Redis
) -> None:
    """Row 66: on two of its databases, as pub/sub knows no database numbers. Neither agents nor
    events of the one reach the other.
    """
    (tmp_path / "other").mkdir()
    other = Cluster(tmp_path / "other", mariadb, redis_server)
    async with clustered(cluster), clustered(other):
        for one in (cluster, other):
            await one.prepare()
        ours, theirs = cluster.add_server(), other.add_server()
        theirs.env["BROADCAST_URL"] = theirs.env["BROADCAST_URL"].replace("/0", "/1")
        await cluster.start(ours)
        await other.start(theirs)
        async with follow(ours, "ours") as agent, follow(theirs, "theirs") as stranger:
            flow = Flow([theirs])
            await flow.run(0.5)
            await wait_drained(other, flow)
            await stranger.wait_for_seq(other.head(), limit=_LIMIT)
            conversation = min(stranger.model.conversations)
            await stranger.send("typing", conversationId=conversation, on=True)
            own = Flow([ours])
            await own.run(0.3)
            await wait_drained(cluster, own)
            await agent.wait_for_seq(cluster.head(), limit=_LIMIT)
            names = {
                one["name"] for frame in agent.frames_of("presence") for one in frame["agents"]
            }
            assert names == {agent.welcome["agent"]["name"]}
            figures = await _figures(ours.base_url)
            gaps = [
                f'omni_inbox_feed_gaps_total{{source="{source}"}}'
                for source in ("bus", "epoch", "break")
            ]
            assert [figures.get(name, 0.0) for name in gaps] == [0.0] * 3


async def test_what_is_written_into_redis_by_others_reaches_nobody(cluster: Cluster) -> None:
    """Events into a company's channel, with the epoch and the number that would fit: dropped,
    counted and logged.
    """
    async with clustered(cluster):
        await cluster.prepare()
        server = cluster.add_server()
        await cluster.start(server)
        async with follow(server) as agent:
            flow = Flow([server])
            await flow.run(0.3)
            await wait_drained(cluster, flow)
            await agent.wait_for_seq(cluster.head(), limit=_LIMIT)
            head, epoch = cluster.head(), agent.welcome["cursor"].split(".")[0]
            redis = aioredis.Redis.from_url(f"redis://127.0.0.1:{cluster.redis.port}/0")
            try:
                channels = [
                    name.decode() for name in await redis.pubsub_channels() if b"company" in name
                ]
                assert channels
                forged = encode_batch(
                    EventBatch(COMPANY, epoch, head + 1, (event(head + 1, epoch, "forged"),))
                )
                for channel in channels:
                    for text in (forged, f"s1 {'0' * 32} {forged}"):
                        await redis.publish(channel, text)
            finally:
                await redis.aclose()

            async def is_counted() -> bool:
                return (await _figures(server.base_url)).get(
                    "omni_inbox_bus_refused_total", 0.0
                ) >= 2.0

            await eventually(is_counted, limit=_LIMIT)
            await eventually(lambda: "not signed by this installation" in server.log, limit=_LIMIT)
            assert agent.seq == head
            more = Flow([server], conversations=2, above=10_000)
            await more.run(0.2)
            await wait_drained(cluster, more)
            await agent.wait_for_seq(cluster.head(), limit=_LIMIT)
            assert not agent.frames_of("reset")
            await asyncio.to_thread(cluster.check_log)


async def _figures(base_url: str) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=_LIMIT) as http:
        text = (await http.get("/metrics")).text
    return {
        name: float(value)
        for name, value in re.findall(r"^(omni_inbox_\S+) (\S+)$", text, re.MULTILINE)
    }
