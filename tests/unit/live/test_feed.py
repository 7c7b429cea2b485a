"""The feed: whatever comes in, in whatever order and how often, its head follows the log and every
socket gets each seq once.
"""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.state.cursors import Stream
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Database
from server.live.hub import Hub
from tests.kit.eventually import eventually
from tests.unit.live.event_log import (
    COMPANY,
    Gated,
    Written,
    opened_log,
    wait_whole,
)
from tests.unit.sockets import check_order, connect, tick


async def test_batches_in_order_go_straight_to_the_sockets(log: Written) -> None:
    """Without a look at the database."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    for count in (1, 4, 2):
        feed.accept(await log.append(count), "local")
    await tick(2)
    assert check_order(socket, 3) == 10
    assert (feed.cursor, feed.stream) == ("e1.10", Stream("e1", 10, 0))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_repeated_reordered_and_lost_batches_are_each_shown_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What Redis may do to up to fifty messages (rows 15 and 16); the last one lost is found by
    comparing heads.
    """

    async def play() -> None:
        async with opened_log(tmp_path_factory.mktemp("feed")) as log:
            hub = Hub()
            feed = await log.feed(hub)
            _, socket = connect(hub, feed, 3)
            batches = [
                await log.append(data.draw(st.integers(1, 3)))
                for _ in range(data.draw(st.integers(1, 15)))
            ]
            for batch in data.draw(st.lists(st.sampled_from(batches), max_size=50)):
                feed.accept(batch, "bus")
                await tick(data.draw(st.integers(0, 2)))
            feed.check(await log.stream(), feed.stream)
            await wait_whole(feed, socket, log)

    asyncio.run(play())


async def test_a_batch_that_overlaps_the_head_is_taken_from_there(log: Written) -> None:
    """Two processes may cut the same events differently."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    batch = await log.append(3)
    feed.accept(EventBatch(COMPANY, "e1", 4, batch.bodies[:2]), "bus")
    feed.accept(batch, "bus")
    await tick(2)
    assert check_order(socket, 3) == 6


@pytest.mark.parametrize("taken", [0, 1, 2, 3])
async def test_a_batch_that_comes_while_a_gap_is_filled(log: Written, taken: int) -> None:
    """The missing one turns up while the log is being read: nothing is left for the next
    comparison, nothing comes twice.
    """
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    batches = [await log.append() for _ in range(4)]
    held = asyncio.Event()
    gated = Gated(log.database, held)
    feed._database = gated  # type: ignore[assignment]
    feed.accept(batches[-1], "bus")
    await eventually(lambda: gated.is_waiting)
    for batch in batches[:taken]:
        feed.accept(batch, "bus")
    held.set()
    await wait_whole(feed, socket, log)


async def test_a_gap_longer_than_a_page_is_filled_whole(log: Written) -> None:
    """Page after page, without waiting for another reason."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    for _ in range(3):
        last = await log.append(400)
    feed.accept(last, "bus")
    await wait_whole(feed, socket, log)


async def test_a_database_that_is_away_leaves_the_gap_for_later(log: Written) -> None:
    """The next comparison tries again."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    await log.append()
    feed._database = Database("mysql://a:b@127.0.0.1:1/none", wait_seconds=0.05)
    feed.catch_up("bus")
    await eventually(lambda: not feed.is_catching_up)
    feed._database = log.database
    feed.check(await log.stream(), feed.stream)
    await wait_whole(feed, socket, log)
