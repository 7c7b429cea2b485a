"""One company's feed: the verified tail of its event log as ready frames.

Batches come from this process's own transactions, from the bus, and from the log itself. A batch
that continues the head is accepted, an older one is dropped, and one that leaves a gap makes the
feed catch up from the log.
"""

import asyncio
import time

import msgspec

from server import log, metrics
from server.core.state.cursors import Stream, is_older
from server.core.wire.event_frames import EventBatch
from server.core.wire.websocket_bytes import text_frame
from server.db.engine.database import Connection, Database
from server.db.state import eventlog
from server.errors import Unavailable
from server.live.hub import Hub
from server.live.ring import Ring
from server.tasks import spawn

_logger = log.get(__name__)
_PAGE_EVENTS = 500
_PAGE_BYTES = 1_000_000  # what one socket behind the ring is given at once, at most about
_PIECE_BYTES = 131_072  # from the ring the next piece costs nothing, so it is small
_GAP_DELAY_SECONDS = 0.005  # what came in the wrong order usually follows at once
# read this many more than asked for: sockets that lost their connection at the same moment ask for
# nearly the same
_MARGIN_EVENTS = 200
_WENT_BACK = "the event log went back: a backup was restored, or commits were lost"


class FeedLimits(msgspec.Struct, frozen=True):
    """Bounds of the ring of one company."""

    ring_events: int = 5_000
    ring_bytes: int = 8_000_000


class Feed:
    """Follows one company's log. `head` is verified: everything up to it is in the log."""

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
        self._catching_up: asyncio.Task[None] | None = None

    @property
    def stream(self) -> Stream:
        """Epoch, head and floor as known here."""
        return Stream(self.epoch, self.head, self.floor)

    @property
    def cursor(self) -> str:
        """The cursor of a client that has everything up to the head: `epoch.seq`."""
        return f"{self.epoch}.{self.head}"

    def accept(self, batch: EventBatch, source: str) -> None:
        """Append the events of a batch that are new. `source`: `local`, after a commit of this
        process, or `bus`.
        """
        if batch.epoch != self.epoch:
            self.catch_up("epoch")
        elif batch.first_seq > self.head + 1:
            self.catch_up(source)
        elif (
            batch.first_seq <= self.head
            and (source == "local" or batch.last_seq > self.head)
            and self._differs(batch)
        ):
            # numbers that we have shown are given away once more: the log went back
            self.catch_up("break")
        elif batch.last_seq > self.head:
            bodies = batch.bodies[self.head + 1 - batch.first_seq :]
            self._extend([text_frame(body) for body in bodies])

    def catch_up(self, source: str) -> None:
        """Schedule a read of the log after the head; several reasons at once make one reading.
        `source` names the reason in the metric.
        """
        if self._catching_up is None:
            metrics.feed_gaps.labels(source).inc()
            self._catching_up = spawn(self._read_log(), f"feed-catch-up-{self.company_id}")

    @property
    def is_catching_up(self) -> bool:
        """Whether a read of the log is scheduled or under way."""
        return self._catching_up is not None

    def ready_after(self, seq: int, max_bytes: int) -> tuple[bytes, int] | None:
        """Return frames after `seq` from the ring and the last seq among them; None when the ring
        does not hold `seq + 1`.
        """
        return self._ring.frames_after(seq, max_bytes)

    async def fetch_after(self, seq: int) -> tuple[bytes, int] | None:
        """Return a page after `seq`, through the ring where it fits; None when the log does not
        reach back. Raises DatabaseUnavailable.
        """
        async with self._reading:
            if (ready := self._ring.frames_after(seq, _PIECE_BYTES)) is not None:
                metrics.feed_reads.labels("ring").inc()
                return ready
            if seq < self.floor:
                return None
            metrics.feed_reads.labels("log").inc()
            missing = self._ring.first - 1 - seq
            if missing <= self._ring.room:
                await self._extend_ring(
                    max(seq - _MARGIN_EVENTS, self.floor, self._ring.first - 1 - self._ring.room)
                )
                if (ready := self._ring.frames_after(seq, _PIECE_BYTES)) is not None:
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

    async def _extend_ring(self, seq: int) -> None:
        wanted = self._ring.first - 1 - seq
        events = await self._database.read(
            lambda c: eventlog.read_events(c, self.company_id, seq, wanted)
        )
        frames = [text_frame(body) for number, body in events if number < self._ring.first]
        if frames and events[0][0] + len(frames) == self._ring.first:
            self._ring.prepend(events[0][0], frames)

    def check(self, stream: Stream, before: Stream) -> None:
        """Compare with what the database said of the log. `before` is the stream as it was here
        when the database was asked: what was committed and shown while the answer was on its way is
        not in it, and is no step back of the log.
        """
        if before.epoch != self.epoch:
            return
        self.floor = stream.floor
        if is_older(stream.epoch, self.epoch) or (
            stream.epoch == self.epoch and stream.head < before.head
        ):
            self.catch_up("break")
        elif stream.epoch != self.epoch:
            self._restart(stream)
        elif stream.head > self.head:
            self.catch_up("head")

    def _extend(self, frames: list[bytes]) -> None:
        first = self.head + 1
        self._ring.append(frames)
        self.head += len(frames)
        self._hub.push(self.company_id, first, self.head, b"".join(frames))

    def _differs(self, batch: EventBatch) -> bool:
        """Whether a batch says of a seq that we have shown something else than we did."""
        seq = min(batch.last_seq, self.head)
        known = self._ring.frame_at(seq)
        return known is not None and known != text_frame(batch.bodies[seq - batch.first_seq])

    def _restart(self, stream: Stream) -> None:
        """Go on from `stream`, of a new epoch or trimmed beyond the head: every client needs a
        snapshot.
        """
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
        self._hub.drop_pending(self.company_id)
        for member in self._hub.members(self.company_id):
            member.reset(reason)

    async def _read_log(self) -> None:
        """Append what the log holds after the head, page by page."""
        try:
            await asyncio.sleep(_GAP_DELAY_SECONDS)
            while True:
                after, epoch = self.head, self.epoch
                streams, events = await self._database.read(
                    # awaited before `after` changes
                    lambda c: _read_on(c, self.company_id, after)  # noqa: B023
                )
                if self.epoch != epoch or self.head < after:
                    return  # restarted meanwhile
                stream = streams.get(self.company_id)
                if stream is not None and self._went_back(stream, epoch, after, events):
                    stream = await self._start_new_epoch()
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
                # what the bus brought meanwhile is not appended twice; the rest follows it
                if frames := [text_frame(body) for number, body in new if number > self.head]:
                    self._extend(frames)
                if len(events) < _PAGE_EVENTS:
                    return
        except Unavailable:
            return  # the next comparison tries again
        finally:
            self._catching_up = None

    def _went_back(
        self, stream: Stream, epoch: str, after: int, events: list[tuple[int, bytes]]
    ) -> bool:
        """Whether the log, as it was read, does not go on from what was shown up to `after`."""
        if is_older(stream.epoch, epoch):
            return True
        known = self._ring.frame_at(after)
        is_broken = known is not None and any(
            number == after and text_frame(body) != known for number, body in events
        )
        return stream.epoch == epoch and (stream.head < after or is_broken)

    async def _start_new_epoch(self) -> Stream | None:
        """Begin a new epoch where the log does not go on from what was shown: a backup was
        restored, or a server lost its last commits. Clients that are away hold cursors of what is
        gone and could not tell it from what came in its place; whichever process sees it first
        begins the epoch. Returns the stream as it is then; None when only the replica that was read
        lags behind. Raises DatabaseUnavailable.
        """
        epoch, seen, known = self.epoch, self.head, self._ring.frame_at(self.head)

        async def begin(connection: Connection) -> Stream | None:
            stream = (await eventlog.lock_streams(connection, [self.company_id]))[self.company_id]
            if is_older(epoch, stream.epoch):
                # another process was first, or this transaction's own COMMIT whose answer was lost
                return stream
            stored = await eventlog.read_events(connection, self.company_id, seen - 1, 1)
            is_same = known is None or [(seen, known)] == [
                (number, text_frame(body)) for number, body in stored
            ]
            if stream.epoch == epoch and stream.head >= seen and (is_same or stream.floor >= seen):
                return None
            return await eventlog.start_epoch(connection, self.company_id)

        stream = await self._database.transaction(begin)
        if stream is not None:
            _logger.error(_WENT_BACK, company_id=self.company_id, shown=seen)
        return stream


async def _read_on(
    connection: Connection, company_id: int, after: int
) -> tuple[dict[int, Stream], list[tuple[int, bytes]]]:
    streams = await eventlog.read_streams(connection, [company_id])
    # from the last one we have, to see that the log goes on from it
    return streams, await eventlog.read_events(connection, company_id, after - 1, _PAGE_EVENTS)
