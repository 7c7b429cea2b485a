"""Feeds: for each company watched here, the verified tail of its event log as ready frames.

Three ways lead in: the transaction of this very process, the bus, and the log itself. Whatever
comes in continues the head, or is older and dropped, or leaves a gap that is filled from the log.
Once a second all heads are compared with the database in one query: that repairs a lost last
message, and is the whole of working without a bus.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec

from server import log, metrics
from server.core.state.presence_state import is_note
from server.core.state.recovery import Stream, is_older
from server.core.wire.event_frames import EventBatch, encode_batch, parse_batch
from server.core.wire.websocket_frames import text_frame
from server.db.engine.database import Connection, Database
from server.db.state import eventlog, store
from server.errors import Unavailable
from server.live.bus import Bus
from server.live.hub import Hub
from server.live.log_marks import LogMarks, Mark
from server.tasks import spawn

_logger = log.get(__name__)
_PAGE_EVENTS = 500
_PAGE_BYTES = 1_000_000  # what one socket behind the ring is given at once, at most about
_PIECE_BYTES = 131_072  # from the ring the next piece costs nothing, so it is small
_GAP_SECONDS = 0.005  # what came in the wrong order usually follows at once
_IDLE_SECONDS = 90.0  # a company nobody asked for is let go after this
_OPEN_SECONDS = 3.0
# read this many more than asked for: whoever lost the line at the same moment asks for nearly the
# same
_MARGIN_EVENTS = 200
_WENT_BACK = "the event log went back: a backup was restored, or commits were lost"


class Ring:
    """Consecutive ready frames, bounded by count and bytes; the oldest go first."""

    def __init__(self, next_seq: int, most_events: int, most_bytes: int) -> None:
        self.first = next_seq
        self._frames: list[bytes] = []
        self._bytes = 0
        self._most_events = most_events
        self._most_bytes = most_bytes
        # the last answer: those who resume ask for the same
        self._slice: tuple[tuple[int, int, int], bytes, int] | None = None

    def append(self, frames: Iterable[bytes]) -> None:
        new = list(frames)
        self._frames += new
        self._bytes += sum(map(len, new))
        self._trim()

    def prepend(self, first: int, frames: list[bytes]) -> None:
        """Older frames that end where the ring begins."""
        self._frames[:0] = frames
        self.first = first
        self._bytes += sum(map(len, frames))
        self._trim()

    def after(self, seq: int, most_bytes: int) -> tuple[bytes, int] | None:
        """Frames from `seq + 1` on, at least one and at most about `most_bytes`; None when `seq +
        1` is no longer here.
        """
        start = seq + 1 - self.first
        if start < 0 or start >= len(self._frames):
            return None
        asked = (seq, self.first + len(self._frames), most_bytes)
        if self._slice is not None and self._slice[0] == asked:
            return self._slice[1], self._slice[2]
        size, end = 0, start
        while end < len(self._frames) and (
            size == 0 or size + len(self._frames[end]) <= most_bytes
        ):
            size += len(self._frames[end])
            end += 1
        joined = b"".join(self._frames[start:end])
        self._slice = (asked, joined, self.first + end - 1)
        return joined, self.first + end - 1

    def at(self, seq: int) -> bytes | None:
        """The frame of that seq, if it is here."""
        place = seq - self.first
        return self._frames[place] if 0 <= place < len(self._frames) else None

    @property
    def room(self) -> int:
        """How many more events may be put in front."""
        return (
            0 if self._bytes >= self._most_bytes else max(0, self._most_events - len(self._frames))
        )

    def _trim(self) -> None:
        drop = 0
        while len(self._frames) - drop > self._most_events or (
            self._bytes > self._most_bytes and len(self._frames) - drop > 1
        ):
            self._bytes -= len(self._frames[drop])
            drop += 1
        if drop:
            del self._frames[:drop]
            self.first += drop


class FeedLimits(msgspec.Struct, frozen=True):
    ring_events: int = 5_000
    ring_bytes: int = 8_000_000


class Feed:
    """One company's tail. `head` is verified: everything up to it is in the log."""

    def __init__(
        self, company_id: int, stream: Stream, database: Database, hub: Hub, limits: FeedLimits
    ) -> None:
        self.company_id = company_id
        self.epoch = stream.epoch
        self.head = stream.head
        self.floor = stream.floor
        self.used_at = time.monotonic()
        self._database = database
        self._hub = hub
        self._limits = limits
        self._ring = Ring(stream.head + 1, limits.ring_events, limits.ring_bytes)
        self._reading = asyncio.Lock()
        self._filling: asyncio.Task[None] | None = None

    @property
    def stream(self) -> Stream:
        return Stream(self.epoch, self.head, self.floor)

    @property
    def cursor(self) -> str:
        return f"{self.epoch}.{self.head}"

    def take(self, batch: EventBatch, source: str) -> None:
        """Take in a batch from wherever it comes."""
        if batch.epoch != self.epoch:
            self.fill("epoch")
        elif batch.first_seq > self.head + 1:
            self.fill(source)
        elif (
            batch.first_seq <= self.head
            and (source == "local" or batch.last_seq > self.head)
            and self._differs(batch)
        ):
            # numbers that we have shown are given away once more: the log went back
            self.fill("break")
        elif batch.last_seq > self.head:
            bodies = batch.bodies[self.head + 1 - batch.first_seq :]
            self._extend([text_frame(body) for body in bodies])

    def fill(self, source: str) -> None:
        """Read on from the head, soon; several reasons at once are one reading."""
        if self._filling is None:
            metrics.feed_gaps.labels(source).inc()
            self._filling = spawn(self._fill(), f"feed-fill-{self.company_id}")

    def ready_after(self, seq: int, most_bytes: int) -> tuple[bytes, int] | None:
        return self._ring.after(seq, most_bytes)

    async def fetch_after(self, seq: int) -> tuple[bytes, int] | None:
        """A page after `seq`, through the ring where it fits. None when the log does not reach
        back. Raises DatabaseUnavailable.
        """
        async with self._reading:
            if (ready := self._ring.after(seq, _PIECE_BYTES)) is not None:
                metrics.feed_reads.labels("ring").inc()
                return ready
            if seq < self.floor:
                return None
            metrics.feed_reads.labels("log").inc()
            missing = self._ring.first - 1 - seq
            if missing <= self._ring.room:
                await self._reach_back(
                    max(seq - _MARGIN_EVENTS, self.floor, self._ring.first - 1 - self._ring.room)
                )
                if (ready := self._ring.after(seq, _PIECE_BYTES)) is not None:
                    return ready  # else its bytes were too many for the ring
            return await self._page(seq)

    async def _page(self, seq: int) -> tuple[bytes, int] | None:
        events = await self._database.read(
            lambda c: eventlog.read_events(c, self.company_id, seq, _PAGE_EVENTS)
        )
        if not events or events[0][0] != seq + 1:
            return None
        frames, size = [], 0
        for _, body in events:
            frames.append(text_frame(body))
            size += len(body)
            if size >= _PAGE_BYTES:
                break
        return b"".join(frames), seq + len(frames)

    async def _reach_back(self, seq: int) -> None:
        wanted = self._ring.first - 1 - seq
        events = await self._database.read(
            lambda c: eventlog.read_events(c, self.company_id, seq, wanted)
        )
        frames = [text_frame(body) for number, body in events if number < self._ring.first]
        if frames and events[0][0] + len(frames) == self._ring.first:
            self._ring.prepend(events[0][0], frames)

    def check(self, stream: Stream, before: Stream) -> None:
        """Compare with what the database said. `before` is how we stood when it was asked: what was
        committed and shown while the answer was on its way is not in it, and is no step back of the
        log.
        """
        if before.epoch != self.epoch:
            return
        self.floor = stream.floor
        if is_older(stream.epoch, self.epoch) or (
            stream.epoch == self.epoch and stream.head < before.head
        ):
            self.fill("break")
        elif stream.epoch != self.epoch:
            self._restart(stream)
        elif stream.head > self.head:
            self.fill("head")

    def _extend(self, frames: list[bytes]) -> None:
        first = self.head + 1
        self._ring.append(frames)
        self.head += len(frames)
        self._hub.push(self.company_id, first, self.head, b"".join(frames))

    def _differs(self, batch: EventBatch) -> bool:
        """Whether a batch says of a seq that we have shown something else than we did."""
        seq = min(batch.last_seq, self.head)
        known = self._ring.at(seq)
        return known is not None and known != text_frame(batch.bodies[seq - batch.first_seq])

    def _restart(self, stream: Stream) -> None:
        """The log began a new life, or was trimmed beyond us: every client needs a snapshot."""
        reason = "epoch" if stream.epoch != self.epoch else "too_old"
        # whoever began the new epoch may not have known how far the log was
        about = {
            "company_id": self.company_id,
            "reason": reason,
            "head": self.head,
            "database_head": stream.head,
        }
        _logger.error(
            _WENT_BACK if stream.head < self.head else "event log does not continue", **about
        )
        self.epoch = stream.epoch
        self.head = stream.head
        self.floor = stream.floor
        self._ring = Ring(stream.head + 1, self._limits.ring_events, self._limits.ring_bytes)
        self._hub.forget(self.company_id)
        for member in self._hub.members(self.company_id):
            member.reset(reason)

    async def _fill(self) -> None:
        try:
            await asyncio.sleep(_GAP_SECONDS)
            while True:
                after, epoch = self.head, self.epoch
                streams, events = await self._database.read(
                    # awaited before `after` changes
                    lambda c: _read_on(c, self.company_id, after)  # noqa: B023
                )
                if self.epoch != epoch or self.head < after:
                    return  # begun anew meanwhile
                stream = streams.get(self.company_id)
                known = self._ring.at(after)
                is_broken = known is not None and any(
                    number == after and text_frame(body) != known for number, body in events
                )
                is_back = (
                    stream is not None
                    and stream.epoch == epoch
                    and (stream.head < after or is_broken)
                )
                if stream is not None and (is_back or is_older(stream.epoch, epoch)):
                    stream = await self._begin_anew()
                    if stream is None:
                        return
                # trimmed beyond what this process had: between the two reads, or before
                new = [(number, body) for number, body in events if number > after]
                is_cut = (bool(new) and new[0][0] > after + 1) or (
                    stream is not None and stream.floor > after
                )
                if stream is not None and (stream.epoch != self.epoch or is_cut):
                    self._restart(stream)
                    return
                # what came by another way meanwhile is not taken twice; the rest follows it
                if frames := [text_frame(body) for number, body in new if number > self.head]:
                    self._extend(frames)
                if len(events) < _PAGE_EVENTS:
                    return
        except Unavailable:
            return  # the next comparison tries again
        finally:
            self._filling = None

    async def _begin_anew(self) -> Stream | None:
        """The log does not go on from what we have shown: a backup was restored, or a server lost
        its last commits. Clients that are away hold cursors of what is gone and could not tell it
        from what came in its place: so the log gets a new epoch, from whichever process sees it
        first. Returns the stream as it is then; None when only the place we read from lags behind.
        Raises DatabaseUnavailable.
        """
        epoch, seen, known = self.epoch, self.head, self._ring.at(self.head)

        async def begin(connection: Connection) -> Stream | None:
            stream = (
                await eventlog.lock_streams(connection, [self.company_id], store.new_epoch())
            )[self.company_id]
            if is_older(epoch, stream.epoch):
                # another process was first, or this transaction's own COMMIT whose answer was lost
                return stream
            held = await eventlog.read_events(connection, self.company_id, seen - 1, 1)
            is_same = known is None or [(seen, known)] == [
                (number, text_frame(body)) for number, body in held
            ]
            if stream.epoch == epoch and stream.head >= seen and (is_same or stream.floor >= seen):
                return None
            return await eventlog.start_epoch(connection, self.company_id, store.new_epoch())

        stream = await self._database.transaction(begin)
        if stream is not None:
            _logger.error(_WENT_BACK, company_id=self.company_id, shown=seen)
        return stream


class Feeds:
    """The feeds of this process."""

    def __init__(
        self, database: Database, bus: Bus, hub: Hub, limits: FeedLimits, check_seconds: float
    ) -> None:
        self._database = database
        self._bus = bus
        self._hub = hub
        self._limits = limits
        self._check_seconds = check_seconds
        self._feeds: dict[int, Feed] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._checked_at = 0.0
        self._marks = LogMarks(database)
        # whoever listens to what else comes by the bus: notes, and that a company's come from now
        # on
        self.on_note: Callable[[int, str], None] = lambda company_id, text: None
        self.on_watch: Callable[[int], None] = lambda company_id: None
        # of batches that belong to a trace: company, last seq, traceparent
        self.on_traced: Callable[[int, int, str], None] = lambda company_id, last_seq, parent: None
        self._wake = asyncio.Event()

    def get(self, company_id: int) -> Feed | None:
        """The feed, if it is watched and was compared lately: then its head may answer without a
        query.
        """
        feed = self._feeds.get(company_id)
        if feed is None or not self.is_fresh:
            return None
        feed.used_at = time.monotonic()
        return feed

    @property
    def is_fresh(self) -> bool:
        """Whether heads were compared within three rounds: older than that they prove nothing."""
        return time.monotonic() - self._checked_at < 3 * self._check_seconds

    async def watch(self, company_id: int) -> Feed:
        """The feed, opened when it is not yet. Raises Unavailable while the database is away."""
        while (feed := self._feeds.get(company_id)) is None:
            task = self._opening.get(company_id)
            if task is None:
                task = self._opening[company_id] = spawn(
                    self._open(company_id), f"feed-open-{company_id}"
                )
            await asyncio.wait({task}, timeout=_OPEN_SECONDS)
            # one that is still at it stays: a second feed of the company would leave the first
            # one's sockets deaf
            if task.done() and self._opening.get(company_id) is task:
                del self._opening[company_id]
            if company_id not in self._feeds:
                raise Unavailable
        feed.used_at = time.monotonic()
        return feed

    @property
    def companies(self) -> list[int]:
        """Those that are watched."""
        return list(self._feeds)

    def publish(self, batch: EventBatch) -> None:
        """After the commit: to our own agents at once, to the other processes by the bus."""
        metrics.events_appended.inc(len(batch.bodies))
        if self._marks.note_batch(batch):
            spawn(self._marks.compare_soon(), f"marks-{batch.company_id}")
        self._take(batch, "local")
        self._bus.publish(batch.company_id, encode_batch(batch))

    def check_soon(self) -> None:
        """Compare heads now: the bus has just come (back) up."""
        self._wake.set()

    async def run(self) -> None:
        """Compare heads every second, twice as often while the bus is down; let idle companies
        go.
        """
        while True:
            seconds = self._check_seconds if self._bus.is_up else self._check_seconds / 2
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            self._let_go()
            await self.check()
            await self._marks.compare_soon()

    async def check(self) -> None:
        """One comparison of all heads; a database that is away is no error here."""
        before = {company_id: feed.stream for company_id, feed in self._feeds.items()}
        try:
            streams = await self._database.read(
                lambda c: eventlog.read_streams(c, before), wait_seconds=2 * self._check_seconds
            )
        except Unavailable:
            return
        self._checked_at = time.monotonic()
        for company_id, stream in streams.items():
            if (feed := self._feeds.get(company_id)) is not None:
                feed.check(stream, before[company_id])

    async def _open(self, company_id: int) -> None:
        self._bus.subscribe(company_id, self._listener(company_id))
        try:
            streams = await self._database.read(lambda c: eventlog.read_streams(c, [company_id]))
            if company_id not in streams:
                streams = await self._database.transaction(
                    lambda c: eventlog.lock_streams(c, [company_id], store.new_epoch())
                )
            stream = await self._marks.checked(company_id, streams[company_id])
        except Unavailable:
            self._bus.unsubscribe(company_id)
            return
        if not self._feeds:
            self._checked_at = time.monotonic()
        self._feeds[company_id] = Feed(company_id, stream, self._database, self._hub, self._limits)
        self.on_watch(company_id)

    def _listener(self, company_id: int) -> Callable[[str], None]:
        def on_message(text: str) -> None:
            if is_note(text):
                self.on_note(company_id, text)
                return
            if company_id in self._feeds:
                self._take(parse_batch(text), "bus")

        return on_message

    def _take(self, batch: EventBatch, source: str) -> None:
        if (feed := self._feeds.get(batch.company_id)) is not None:
            if batch.traceparent is not None:
                self.on_traced(batch.company_id, batch.last_seq, batch.traceparent)
            feed.take(batch, source)

    def _let_go(self) -> None:
        edge = time.monotonic() - _IDLE_SECONDS
        for company_id, feed in list(self._feeds.items()):
            if feed.used_at < edge and not self._hub.members(company_id):
                self._bus.unsubscribe(company_id)
                self._marks.note(company_id, Mark(feed.epoch, feed.head))
                del self._feeds[company_id]


async def _read_on(
    connection: Connection, company_id: int, after: int
) -> tuple[dict[int, Stream], list[tuple[int, bytes]]]:
    streams = await eventlog.read_streams(connection, [company_id])
    # from the last one we have, to see that the log goes on from it
    return streams, await eventlog.read_events(connection, company_id, after - 1, _PAGE_EVENTS)
