"""The feed: whatever comes in, in whatever order and how often, its head follows the log and every socket gets each seq once."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.bus import Bus
from server.core.events import EventBatch, encode_batch
from server.core.frames import split_text_frames, text_frame
from server.core.recovery import Stream
from server.db import eventlog
from server.db.database import Connection, Database
from server.errors import Unavailable
from server.feed import Feed, FeedLimits, Feeds, Ring
from server.hub import Hub
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite
from tests.unit.sockets import Socket, check_order, connect, event, tick

COMPANY = 1
LIMITS = FeedLimits(ring_events=1000, ring_bytes=1_000_000)


# -- the ring ----------------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 30),
    st.integers(1, 400),
    st.lists(st.lists(st.integers(1, 120), min_size=1, max_size=8), min_size=1, max_size=10),
)
def test_the_ring_is_bounded_and_whole(most_events: int, most_bytes: int, batches: list[list[int]]) -> None:
    """The newest stay, at least one; what it answers are consecutive frames from the place asked for."""
    ring, frames = Ring(1, most_events, most_bytes), list[bytes]()
    for sizes in batches:
        new = [bytes([len(frames) % 250]) * size for size in sizes]
        frames += new
        ring.append(new)
        kept = frames[ring.first - 1 :]
        assert 1 <= len(kept) <= most_events
        assert sum(map(len, kept)) <= most_bytes or len(kept) == 1
    assert ring.after(ring.first - 2, 100) is None
    assert ring.after(len(frames), 100) is None
    for seq, most in itertools.product(range(ring.first - 1, len(frames)), (1, 50, 10_000)):
        joined, last = ring.after(seq, most) or (b"", 0)
        assert joined == b"".join(frames[seq:last])
        assert last == seq + 1 or len(joined) <= most


def test_older_frames_go_in_front() -> None:
    """Up to the room there is; beyond that the oldest are let go again."""
    ring = Ring(6, 4, 1000)
    ring.append([b"6", b"7"])
    assert ring.room == 2
    ring.prepend(4, [b"4", b"5"])
    assert (ring.first, ring.after(3, 100), ring.room) == (4, (b"4567", 7), 0)
    ring.prepend(3, [b"3"])
    assert (ring.first, ring.after(2, 100)) == (4, None)


def test_a_ring_that_is_full_of_bytes_has_no_room() -> None:
    """However few events that are."""
    ring = Ring(1, 100, 10)
    ring.append([b"x" * 10])
    assert ring.room == 0


# -- a real log --------------------------------------------------------------------------------------------------------


class Written:
    """A company's event log in a real database, written as ingest writes it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.epoch, self.head = "e1", 0

    async def append(self, count: int = 1, content: str = "") -> EventBatch:
        """Commit events; returns what would be published."""
        bodies = tuple(event(self.head + n, self.epoch, content) for n in range(1, count + 1))
        batch = EventBatch(COMPANY, self.epoch, self.head + 1, bodies)

        async def write(c: Connection) -> None:
            await eventlog.lock_streams(c, [COMPANY], self.epoch)
            await eventlog.append_events(c, batch, 1)

        await self.database.transaction(write)
        self.head += count
        return batch

    async def stream(self) -> Stream:
        return (await self.database.read(lambda c: eventlog.read_streams(c, [COMPANY])))[COMPANY]

    async def restart(self, epoch: str) -> None:
        await self.database.transaction(lambda c: eventlog.start_epoch(c, COMPANY, epoch))
        self.epoch = epoch

    async def go_back(self, head: int) -> None:
        """As a restored backup does."""
        await self.database.transaction(lambda c: c.execute("DELETE FROM inbox_events WHERE seq > :head", {"head": head}))
        await self.database.transaction(lambda c: c.execute("UPDATE inbox_streams SET head = :head", {"head": head}))
        self.head = head

    async def feed(self, hub: Hub, limits: FeedLimits = LIMITS) -> Feed:
        return Feed(COMPANY, await self.stream(), self.database, hub, limits)


@asynccontextmanager
async def _open(directory: Path) -> AsyncIterator[Written]:
    async with Database(fresh_sqlite(directory / "feed.db")) as database:
        written = Written(database)
        await written.append(3)
        yield written


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Written]:
    """A log with three events."""
    async with _open(tmp_path) as written:
        yield written


async def _whole(feed: Feed, socket: Socket, log: Written, start: int = 3) -> None:
    await eventually(lambda: feed.head == log.head and len(socket.seqs) == log.head - start)
    await tick(3)
    assert check_order(socket, start) == log.head


async def test_batches_in_order_go_straight_to_the_sockets(log: Written) -> None:
    """Without a look at the database."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    for count in (1, 4, 2):
        feed.take(await log.append(count), "local")
    await tick(2)
    assert check_order(socket, 3) == 10
    assert (feed.cursor, feed.stream) == ("e1.10", Stream("e1", 10, 0))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_repeated_reordered_and_lost_batches_are_each_shown_once(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """What Redis may do to up to fifty messages (rows 15 and 16); the last one lost is found by comparing heads."""

    async def play() -> None:
        async with _open(tmp_path_factory.mktemp("feed")) as log:
            hub = Hub()
            feed = await log.feed(hub)
            _, socket = connect(hub, feed, 3)
            batches = [await log.append(data.draw(st.integers(1, 3))) for _ in range(data.draw(st.integers(1, 15)))]
            for batch in data.draw(st.lists(st.sampled_from(batches), max_size=50)):
                feed.take(batch, "bus")
                await tick(data.draw(st.integers(0, 2)))
            feed.check(await log.stream(), feed.stream)
            await _whole(feed, socket, log)

    asyncio.run(play())


async def test_a_batch_that_overlaps_the_head_is_taken_from_there(log: Written) -> None:
    """Two processes may cut the same events differently."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    batch = await log.append(3)
    feed.take(EventBatch(COMPANY, "e1", 4, batch.bodies[:2]), "bus")
    feed.take(batch, "bus")
    await tick(2)
    assert check_order(socket, 3) == 6


@pytest.mark.parametrize("taken", [0, 1, 2, 3])
async def test_a_batch_that_comes_while_a_gap_is_filled(log: Written, taken: int) -> None:
    """The missing one turns up while the log is being read: nothing is left for the next comparison, nothing comes twice."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    batches = [await log.append() for _ in range(4)]
    held = asyncio.Event()
    gated = _Gated(log.database, held)
    feed._database = gated  # type: ignore[assignment]
    feed.take(batches[-1], "bus")
    await eventually(lambda: gated.is_waiting)
    for batch in batches[:taken]:
        feed.take(batch, "bus")
    held.set()
    await _whole(feed, socket, log)


class _Gated:
    """A database whose answers come, but late."""

    def __init__(self, database: Database, gate: asyncio.Event) -> None:
        self._database, self._gate, self.is_waiting, self.reads = database, gate, False, 0

    async def read(self, call: Any, **options: Any) -> Any:
        self.reads += 1
        answer = await self._database.read(call, **options)
        self.is_waiting = True
        await self._gate.wait()
        return answer


async def test_a_gap_longer_than_a_page_is_filled_whole(log: Written) -> None:
    """Page after page, without waiting for another reason."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    for _ in range(3):
        last = await log.append(400)
    feed.take(last, "bus")
    await _whole(feed, socket, log)


async def test_a_database_that_is_away_leaves_the_gap_for_later(log: Written) -> None:
    """The next comparison tries again."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    await log.append()
    feed._database = Database("mysql://a:b@127.0.0.1:1/none", wait_seconds=0.05)
    feed.fill("bus")
    await eventually(lambda: feed._filling is None)
    feed._database = log.database
    feed.check(await log.stream(), feed.stream)
    await _whole(feed, socket, log)


# -- comparing heads ---------------------------------------------------------------------------------------------------


async def test_events_that_come_during_a_comparison_are_no_step_back(log: Written) -> None:
    """The database said 3; before its answer was read, 4 was committed and shown."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    before, answer = feed.stream, await log.stream()
    feed.take(await log.append(), "local")
    feed.check(answer, before)
    await tick(2)
    assert socket.of_type("reset") == []
    assert socket.seqs == [4]


async def test_a_log_that_went_back_begins_a_new_epoch(log: Written) -> None:
    """A restored backup (row 25): the first process that sees it gives the log a new epoch, once; everyone is told to reset, also those
    who are away and come when it has grown past their cursor."""
    hub = Hub()
    feeds = [await log.feed(hub), await log.feed(Hub())]
    sockets = [connect(hub, feeds[0], 3)[1], connect(hub, feeds[0], 1, is_replaying=True)[1]]
    await eventually(lambda: sockets[1].seqs == [2, 3])
    await log.go_back(2)
    for _ in range(2):
        for feed in feeds:
            feed.check(await log.stream(), feed.stream)
            await eventually(lambda: feed._filling is None)  # noqa: B023 - awaited at once
    stream = await log.stream()
    assert stream.epoch != "e1"
    assert [feed.cursor for feed in feeds] == [f"{stream.epoch}.2"] * 2
    assert [message["cursor"] for socket in sockets for message in socket.of_type("reset")] == [f"{stream.epoch}.2"] * 2
    assert [message["reason"] for socket in sockets for message in socket.of_type("reset")] == ["epoch"] * 2


async def test_a_backup_from_an_earlier_epoch_begins_a_new_one(log: Written) -> None:
    """Cursors of that life are still about: the log must not grow into them once more."""
    feed = await log.feed(Hub())
    await log.restart("e2")
    feed.check(await log.stream(), feed.stream)
    assert feed.epoch == "e2"
    await log.restart("e1")
    feed.check(await log.stream(), feed.stream)
    await eventually(lambda: feed._filling is None)
    assert feed.epoch not in ("e1", "e2")
    assert await log.stream() == feed.stream


async def test_an_answer_that_lags_behind_resets_nobody(log: Written) -> None:
    """A replica, or a read that took long: what the stream says under its lock counts."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.check(Stream("e1", 2, 0), feed.stream)
    await eventually(lambda: feed._filling is None)
    assert socket.of_type("reset") == []
    assert await log.stream() == feed.stream


@pytest.mark.parametrize("way", ["local", "overlap", "head"])
async def test_a_log_that_went_back_and_has_grown_past_us(log: Written, way: str) -> None:
    """Before anybody looked: its numbers say something else now, whether we hear of it by our own commit, by the bus or by comparison."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.take(await log.append(2), "local")
    await tick(2)
    await log.go_back(3)
    first = await log.append(2, "another life")
    if way == "local":
        feed.take(first, "local")
    elif way == "overlap":
        more = await log.append(1, "another life")
        feed.take(EventBatch(COMPANY, "e1", 4, first.bodies + more.bodies), "bus")
    else:
        await log.append(1, "another life")
        feed.check(await log.stream(), feed.stream)
    await eventually(lambda: socket.of_type("reset"))
    assert (await log.stream()).epoch == feed.epoch != "e1"
    await tick(2)
    assert socket.seqs == [4, 5]


async def test_a_new_life_of_the_log_resets_everyone(log: Written) -> None:
    """It is noticed by comparison, or by the first batch of it; nothing of the old life follows the reset."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.take(await log.append(), "local")  # on its way to the sockets
    await log.restart("e2")
    feed.check(await log.stream(), feed.stream)
    await tick(2)
    assert [(message["reason"], message["cursor"]) for message in socket.of_type("reset")] == [("epoch", "e2.4")]
    feed.take(await log.append(), "bus")
    await tick(2)
    assert check_order(socket, 3) == 5


async def test_a_batch_of_a_new_life_leads_to_it(log: Written) -> None:
    """Without waiting for the comparison."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    await log.restart("e2")
    feed.take(await log.append(), "bus")
    await eventually(lambda: socket.of_type("reset"))
    assert feed.cursor == "e2.4"


async def test_a_log_trimmed_beyond_the_head_resets_everyone(log: Written) -> None:
    """A process that slept for days: there is no way on from where it stood."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    await log.append(5)
    await log.database.transaction(lambda c: eventlog.trim_events(c, COMPANY, 10, 5))
    feed.fill("head")
    await eventually(lambda: socket.of_type("reset"))
    assert [(message["reason"], message["cursor"]) for message in socket.messages] == [("too_old", "e1.8")]


async def test_frames_of_the_life_before_do_not_follow_a_reset(log: Written) -> None:
    """The head goes back to where those frames would fit."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    feed.take(await log.append(2), "local")
    feed.check(Stream("e2", 3, 3), feed.stream)
    await tick(3)
    assert [message["type"] for message in socket.messages] == ["reset"]


# -- reading back ------------------------------------------------------------------------------------------------------


def _numbers(page: tuple[bytes, int] | None) -> tuple[int, int]:
    assert page is not None
    payloads = split_text_frames(page[0])
    assert payloads == [event(page[1] - len(payloads) + n) for n in range(1, len(payloads) + 1)]
    return page[1] - len(payloads) + 1, page[1]


async def test_who_resumes_reads_through_the_ring(log: Written) -> None:
    """The ring reaches back for the first of them, so that the others need no query."""
    feed = await log.feed(Hub())
    feed.take(await log.append(5), "local")
    assert feed.ready_after(0, 1000) is None
    assert _numbers(await feed.fetch_after(0)) == (1, 8)
    assert _numbers(feed.ready_after(2, 10_000)) == (3, 8)
    assert _numbers(await feed.fetch_after(5)) == (6, 8)


async def test_who_resumes_from_behind_the_ring_gets_pages(log: Written) -> None:
    """A ring that is full is not filled with the past."""
    feed = await log.feed(Hub(), FeedLimits(ring_events=4, ring_bytes=100_000))
    feed.take(await log.append(10), "local")
    assert _numbers(await feed.fetch_after(2)) == (3, 13)
    assert feed.ready_after(2, 1000) is None


async def test_a_past_too_large_for_the_ring_comes_as_a_page(log: Written) -> None:
    """It has room for the number of events but not for their bytes: that is no reason for a reset."""
    await log.append(4, "x" * 400)
    feed = await log.feed(Hub(), FeedLimits(ring_events=100, ring_bytes=1_000))
    page = await feed.fetch_after(1)
    assert page is not None
    assert split_text_frames(page[0])[0] == event(2)


async def test_below_the_floor_there_is_nothing(log: Written) -> None:
    """Trimmed events, also when the floor is heard of only while reading."""
    feed = await log.feed(Hub(), FeedLimits(ring_events=2, ring_bytes=1000))
    await log.append(3)
    feed.check(await log.stream(), feed.stream)
    await eventually(lambda: feed.head == 6)
    await log.database.transaction(lambda c: eventlog.trim_events(c, COMPANY, 10, 2))
    assert await feed.fetch_after(1) is None
    feed.check(await log.stream(), feed.stream)
    assert feed.floor == 2
    assert await feed.fetch_after(1) is None
    assert _numbers(await feed.fetch_after(2)) == (3, 6)


async def test_one_piece_for_one_socket_is_small(log: Written) -> None:
    """Whatever was asked for before, and from the log as from the ring: a slow reader holds no more than that."""
    hub = Hub()
    await log.append(60, "x" * 20_000)
    feed = await log.feed(hub, FeedLimits(ring_events=1000, ring_bytes=8_000_000))
    _, socket = connect(hub, feed, 3, is_replaying=True)
    await _whole(feed, socket, log)
    assert socket.largest_write < 200_000


# -- the feeds of a process --------------------------------------------------------------------------------------------


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


async def test_a_database_that_answers_late_does_not_make_two_feeds(log: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets of the first would hear nothing of what the second takes in."""
    monkeypatch.setattr("server.feed._OPEN_SECONDS", 0.02)
    gate = asyncio.Event()
    async with _feeds(log) as (feeds, hub):
        gated = _Gated(log.database, gate)
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
        gated = _Gated(log.database, gate)
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
        await _whole(feed, socket, log)
        await log.append(2)
        feeds.check_soon()
        await _whole(feed, socket, log)
        assert feeds.is_fresh
        for service in services:
            service.cancel()


async def test_a_company_nobody_watches_is_let_go(log: Written) -> None:
    """After a while, and never under a socket."""
    async with _feeds(log) as (feeds, hub):
        feed = await feeds.watch(COMPANY)
        connection, _ = connect(hub, feed, 3)
        feed.used_at -= 1000
        feeds._let_go()
        assert feeds.get(COMPANY) is feed
        feed.used_at -= 1000
        connection.close(1000)
        feeds._let_go()
        assert feeds.get(COMPANY) is None


def test_frames_and_events_agree() -> None:
    """The kit of these tests writes what the server writes."""
    assert split_text_frames(text_frame(event(5))) == [event(5)]
