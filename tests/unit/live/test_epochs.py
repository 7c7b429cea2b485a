"""The log goes back, begins a new life, or is trimmed beyond a feed: everyone is told, and nobody
without need.
"""

import pytest

from server.core.state.cursors import Stream
from server.core.wire.event_frames import EventBatch
from server.db.state import eventlog
from server.live.hub import Hub
from tests.kit.eventually import eventually
from tests.unit.live.event_log import COMPANY, Written
from tests.unit.sockets import check_order, connect, tick


async def test_a_log_that_went_back_begins_a_new_epoch(log: Written) -> None:
    """A restored backup (row 25): the first process that sees it gives the log a new epoch, once;
    everyone is told to reset, also those who are away and come when it has grown past their cursor.
    """
    hub = Hub()
    feeds = [await log.feed(hub), await log.feed(Hub())]
    sockets = [connect(hub, feeds[0], 3)[1], connect(hub, feeds[0], 1, is_replaying=True)[1]]
    await eventually(lambda: sockets[1].seqs == [2, 3])
    await log.go_back(2)
    for _ in range(2):
        for feed in feeds:
            feed.check(await log.stream(), feed.stream)
            await eventually(lambda: not feed.is_catching_up)  # noqa: B023 - awaited at once
    stream = await log.stream()
    assert stream.epoch != "e1"
    assert [feed.cursor for feed in feeds] == [f"{stream.epoch}.2"] * 2
    assert [message["cursor"] for socket in sockets for message in socket.of_type("reset")] == [
        f"{stream.epoch}.2"
    ] * 2
    assert [message["reason"] for socket in sockets for message in socket.of_type("reset")] == [
        "epoch"
    ] * 2


async def test_a_backup_from_an_earlier_epoch_begins_a_new_one(log: Written) -> None:
    """Cursors of that life are still about: the log must not grow into them once more."""
    feed = await log.feed(Hub())
    await log.restart("e2")
    feed.check(await log.stream(), feed.stream)
    assert feed.epoch == "e2"
    await log.restart("e1")
    feed.check(await log.stream(), feed.stream)
    await eventually(lambda: not feed.is_catching_up)
    assert feed.epoch not in ("e1", "e2")
    assert await log.stream() == feed.stream


async def test_an_answer_that_lags_behind_resets_nobody(log: Written) -> None:
    """A replica, or a read that took long: what the stream says under its lock counts."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.check(Stream("e1", 2, 0), feed.stream)
    await eventually(lambda: not feed.is_catching_up)
    assert socket.of_type("reset") == []
    assert await log.stream() == feed.stream


@pytest.mark.parametrize("way", ["local", "overlap", "head"])
async def test_a_log_that_went_back_and_has_grown_past_us(log: Written, way: str) -> None:
    """Before anybody looked: its numbers say something else now, whether we hear of it by our own
    commit, by the bus or by comparison.
    """
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.accept(await log.append(2), "local")
    await tick(2)
    await log.go_back(3)
    first = await log.append(2, "another life")
    if way == "local":
        feed.accept(first, "local")
    elif way == "overlap":
        more = await log.append(1, "another life")
        feed.accept(EventBatch(COMPANY, "e1", 4, first.bodies + more.bodies), "bus")
    else:
        await log.append(1, "another life")
        feed.check(await log.stream(), feed.stream)
    await eventually(lambda: socket.of_type("reset"))
    assert (await log.stream()).epoch == feed.epoch != "e1"
    await tick(2)
    assert socket.seqs == [4, 5]


async def test_a_new_life_of_the_log_resets_everyone(log: Written) -> None:
    """It is noticed by comparison, or by the first batch of it; nothing of the old life follows the
    reset.
    """
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.accept(await log.append(), "local")  # on its way to the sockets
    await log.restart("e2")
    feed.check(await log.stream(), feed.stream)
    await tick(2)
    assert [(message["reason"], message["cursor"]) for message in socket.of_type("reset")] == [
        ("epoch", "e2.4")
    ]
    feed.accept(await log.append(), "bus")
    await tick(2)
    assert check_order(socket, 3) == 5


async def test_a_batch_of_a_new_life_leads_to_it(log: Written) -> None:
    """Without waiting for the comparison."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    await log.restart("e2")
    feed.accept(await log.append(), "bus")
    await eventually(lambda: socket.of_type("reset"))
    assert feed.cursor == "e2.4"


async def test_a_log_trimmed_beyond_the_head_resets_everyone(log: Written) -> None:
    """A process that slept for days: there is no way on from where it stood."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    await log.append(5)
    await log.database.transaction(lambda c: eventlog.trim_events(c, COMPANY, 10, 5))
    feed.catch_up("head")
    await eventually(lambda: socket.of_type("reset"))
    assert [(message["reason"], message["cursor"]) for message in socket.messages] == [
        ("too_old", "e1.8")
    ]


async def test_frames_of_the_life_before_do_not_follow_a_reset(log: Written) -> None:
    """The head goes back to where those frames would fit."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.accept(await log.append(2), "local")
    feed.check(Stream("e2", 3, 3), feed.stream)
    await tick(3)
    assert [message["type"] for message in socket.messages] == ["reset"]
