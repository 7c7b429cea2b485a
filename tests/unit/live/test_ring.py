"""What is kept ready of the past: the ring, and reading back through it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from server.core.wire.websocket_bytes import split_text_frames
from server.db.state import eventlog
from server.live.feed import FeedLimits
from server.live.hub import Hub
from server.live.ring import Ring
from tests.kit.eventually import eventually
from tests.unit.live.event_log import COMPANY, Written, wait_whole
from tests.unit.sockets import connect, event, tick


@given(
    st.integers(1, 30),
    st.integers(1, 400),
    st.lists(st.lists(st.integers(1, 120), min_size=1, max_size=8), min_size=1, max_size=10),
)
def test_the_ring_is_bounded_and_whole(
    most_events: int, most_bytes: int, batches: list[list[int]]
) -> None:
    """The newest stay, at least one; what it answers are consecutive frames from the place asked
    for.
    """
    ring, frames = Ring(1, most_events, most_bytes), list[bytes]()
    for sizes in batches:
        new = [bytes([len(frames) % 250]) * size for size in sizes]
        frames += new
        ring.append(new)
        kept = frames[ring.first - 1 :]
        assert 1 <= len(kept) <= most_events
        assert sum(map(len, kept)) <= most_bytes or len(kept) == 1
    assert ring.frames_after(ring.first - 2, 100) is None
    assert ring.frames_after(len(frames), 100) is None
    for seq, most in itertools.product(range(ring.first - 1, len(frames)), (1, 50, 10_000)):
        joined, last = ring.frames_after(seq, most) or (b"", 0)
        assert joined == b"".join(frames[seq:last])
        assert last == seq + 1 or len(joined) <= most


def test_older_frames_go_in_front() -> None:
    """Up to the room there is; beyond that the oldest are let go again."""
    ring = Ring(6, 4, 1000)
    ring.append([b"6", b"7"])
    assert ring.room == 2
    ring.prepend(4, [b"4", b"5"])
    assert (ring.first, ring.frames_after(3, 100), ring.room) == (4, (b"4567", 7), 0)
    ring.prepend(3, [b"3"])
    assert (ring.first, ring.frames_after(2, 100)) == (4, None)


def test_a_ring_that_is_full_of_bytes_has_no_room() -> None:
    """However few events that are."""
    ring = Ring(1, 100, 10)
    ring.append([b"x" * 10])
    assert ring.room == 0


async def test_events_that_come_during_a_comparison_are_no_step_back(log: Written) -> None:
    """The database said 3; before its answer was read, 4 was committed and shown."""
    hub = Hub()
    feed = await log.feed(hub)
    _, socket = connect(hub, feed, 3)
    before, answer = feed.stream, await log.stream()
    feed.accept(await log.append(), "local")
    feed.check(answer, before)
    await tick(2)
    assert socket.of_type("reset") == []
    assert socket.seqs == [4]


def _numbers(page: tuple[bytes, int] | None) -> tuple[int, int]:
    assert page is not None
    payloads = split_text_frames(page[0])
    assert payloads == [event(page[1] - len(payloads) + n) for n in range(1, len(payloads) + 1)]
    return page[1] - len(payloads) + 1, page[1]


async def test_who_resumes_reads_through_the_ring(log: Written) -> None:
    """The ring reaches back for the first of them, so that the others need no query."""
    feed = await log.feed(Hub())
    feed.accept(await log.append(5), "local")
    assert feed.ready_after(0, 1000) is None
    assert _numbers(await feed.fetch_after(0)) == (1, 8)
    assert _numbers(feed.ready_after(2, 10_000)) == (3, 8)
    assert _numbers(await feed.fetch_after(5)) == (6, 8)


async def test_who_resumes_from_behind_the_ring_gets_pages(log: Written) -> None:
    """A ring that is full is not filled with the past."""
    feed = await log.feed(Hub(), FeedLimits(ring_events=4, ring_bytes=100_000))
    feed.accept(await log.append(10), "local")
    assert _numbers(await feed.fetch_after(2)) == (3, 13)
    assert feed.ready_after(2, 1000) is None


async def test_a_past_too_large_for_the_ring_comes_as_a_page(log: Written) -> None:
    """It has room for the number of events but not for their bytes: that is no reason for a
    reset.
    """
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
    """Whatever was asked for before, and from the log as from the ring: a slow reader holds no more
    than that.
    """
    hub = Hub()
    await log.append(60, "x" * 20_000)
    feed = await log.feed(hub, FeedLimits(ring_events=1000, ring_bytes=8_000_000))
    _, socket = connect(hub, feed, 3, is_replaying=True)
    await wait_whole(feed, socket, log)
    assert socket.largest_write < 200_000
