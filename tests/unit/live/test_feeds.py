"""The feeds of a process: opened once, compared with the log, fed by the bus, let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.close_codes import CloseCode
from server.core.wire.event_frames import encode_batch
from server.core.wire.websocket_bytes import split_text_frames, text_frame
from server.db.engine.database import Database
from server.errors import Unavailable
from server.live.bus import Bus
from server.live.feeds import Feeds
from server.live.hub import Hub
from tests.kit.eventually import eventually
from tests.unit.live.event_log import (
    COMPANY,
    LIMITS,
    Gated,
    Written,
    wait_whole,
)
from tests.unit.sockets import connect, event, tick


@asynccontextmanager
async def _feeds(log: Written, check_seconds: float = 1.0) -> AsyncIterator[tuple[Feeds, Hub]]:
    hub = Hub()
    async with Bus("memory://") as bus:
        yield Feeds(log.database, bus, hub, LIMITS, check_seconds), hub


async def test_a_company_is_opened_once(log: Written) -> None:
    """However many ask at once; a company without a log gets one."""
    async with _feeds(log) as (feeds, _):
        assert feeds.get(COMPANY) is None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(feeds.watch(COMPANY)) for _ in range(5)]
        assert len({id(task.result()) for task in tasks}) == 1
        assert feeds.get(COMPANY) is tasks[0].result()
        assert (await feeds.watch(99)).head == 0


async def test_a_database_that_answers_late_does_not_make_two_feeds(
    log: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets of the first would hear nothing of what the second takes in."""
    monkeypatch.setattr("server.live.feeds._OPEN_TIMEOUT_SECONDS", 0.02)
    gate = asyncio.Event()
    async with _feeds(log) as (feeds, hub):
        gated = Gated(log.database, gate)
        feeds._database = gated  # type: ignore[assignment]
        for _ in range(2):
            with pytest.raises(Unavailable):
                await feeds.watch(COMPANY)
        gate.set()
        feed = await eventually(lambda: feeds._feeds.get(COMPANY))
        _, socket = connect(hub, feed, 3)
        await tick(20)
        assert await feeds.watch(COMPANY) is feed
        feeds.publish(await log.append())
        await tick(3)
        assert socket.seqs == [4]
        assert gated.reads == 1


async def test_a_database_that_is_away_is_said_and_tried_again(log: Written) -> None:
    """Nobody waits for long."""
    async with _feeds(log) as (feeds, _):
        feeds._database = Database("mysql://a:b@127.0.0.1:1/none", wait_seconds=0.05)
        with pytest.raises(Unavailable):
            await feeds.watch(COMPANY)
        await feeds.check()
        feeds._database = log.database
        assert (await feeds.watch(COMPANY)).head == 3


async def test_a_comparison_overtaken_by_an_event_resets_nobody(log: Written) -> None:
    """The same race as above, through the whole of it."""
    gate = asyncio.Event()
    async with _feeds(log) as (feeds, hub), asyncio.TaskGroup() as group:
        feed = await feeds.watch(COMPANY)
        _, socket = connect(hub, feed, 3)
        gated = Gated(log.database, gate)
        feeds._database = gated  # type: ignore[assignment]
        checking = group.create_task(feeds.check())
        await eventually(lambda: gated.is_waiting)
        feeds.publish(await log.append())
        gate.set()
        await checking
        await tick(2)
        assert [message["type"] for message in socket.messages] == ["event"]


async def test_what_another_process_publishes_arrives_by_the_bus(log: Written) -> None:
    """And what the bus lost, by comparison; an unreadable message does no harm."""
    async with _feeds(log, check_seconds=0.05) as (feeds, hub), asyncio.TaskGroup() as group:
        services = [group.create_task(run()) for run in (feeds.run, feeds._bus.run)]
        feed = await feeds.watch(COMPANY)
        _, socket = connect(hub, feed, 3)
        feeds._bus.publish(COMPANY, "garbage")
        feeds._bus.publish(COMPANY, encode_batch(await log.append()))
        await wait_whole(feed, socket, log)
        await log.append(2)
        feeds.check_soon()
        await wait_whole(feed, socket, log)
        assert feeds.is_fresh
        for service in services:
            service.cancel()


async def test_a_company_nobody_watches_is_let_go(log: Written) -> None:
    """After a while, and never under a socket."""
    async with _feeds(log) as (feeds, hub):
        feed = await feeds.watch(COMPANY)
        connection, _ = connect(hub, feed, 3)
        feed.used_at -= 1000
        feeds.evict_idle()
        assert feeds.get(COMPANY) is feed
        feed.used_at -= 1000
        connection.close(CloseCode.NORMAL)
        feeds.evict_idle()
        assert feeds.get(COMPANY) is None


def test_frames_and_events_agree() -> None:
    """The kit of these tests writes what the server writes."""
    assert split_text_frames(text_frame(event(5))) == [event(5)]
