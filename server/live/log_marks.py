"""Marks: how far each company's event log was, as this process wrote or saw it, also where nobody
is connected and no feed is held.

A log that does not go on from a mark went back: a backup was restored, or a server lost its last
commits. It gets a new epoch, so that clients that come back are told to reset; else they would be
given what came in the place of events they have, from their number on.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection

import msgspec

from server import log
from server.core.state.cursors import Stream, is_older
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import eventlog
from server.errors import Unavailable

_logger = log.get(__name__)
_MAX_MARKS = 100_000
_MAX_COMPARED = 500  # in one turn
# opening a feed compares its mark at once; the turn is for clients that come to other processes
_COMPARE_INTERVAL_SECONDS = 10.0


class Mark(msgspec.Struct, frozen=True):
    """How far a log was seen. `written_us`, when the event `head` was written (0: not known yet),
    distinguishes it from another one with its number.
    """

    epoch: str
    head: int
    written_us: int = 0


class LogMarks:
    """Keeps the marks of the companies this process has written for or watched, at most 100,000 of
    them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._marks: OrderedDict[int, Mark] = OrderedDict()  # compared longest ago first
        # contradicted by what came later: judged until the database has answered
        self._suspects: dict[int, Mark] = {}
        self._unfilled: set[int] = set()
        self._comparing = asyncio.Lock()
        self._compared_at = float("-inf")

    def record(self, company_id: int, mark: Mark) -> None:
        """Keep that the log was seen as far as `mark`; ignored where more is known."""
        known = self._marks.get(company_id)
        if known is not None and (
            is_older(mark.epoch, known.epoch)
            or (mark.epoch == known.epoch and mark.head < known.head)
        ):
            return
        if (
            known is not None
            and mark.epoch == known.epoch
            and mark.head == known.head
            and not mark.written_us
        ):
            return
        self._marks[company_id] = mark
        if len(self._marks) > _MAX_MARKS:
            self._unfilled.discard(self._marks.popitem(last=False)[0])
        self._unfilled.discard(company_id) if mark.written_us else self._unfilled.add(company_id)

    def record_batch(self, batch: EventBatch) -> bool:
        """Record a batch that our own transaction committed. Returns True where it contradicts the
        mark: numbers were given away twice, or the epoch is an older one; then `compare` has to be
        called. (Two transactions of ours may also be announced in the other order.)
        """
        known = self._marks.get(batch.company_id)
        is_odd = known is not None and (
            is_older(batch.epoch, known.epoch)
            or (batch.epoch == known.epoch and batch.first_seq <= known.head)
        )
        if known is not None and is_odd:
            self._suspects.setdefault(batch.company_id, known)
        self.record(batch.company_id, Mark(batch.epoch, batch.last_seq, batch.written_us))
        return is_odd

    async def compare(self, company_ids: Collection[int] = ()) -> None:
        """Compare these companies' marks with the log, or those that are due; a log that went back
        begins a new epoch. Raises Unavailable. Cancelling is safe.
        """
        async with self._comparing:
            marks = {
                one: self._marks[one] for one in (company_ids or self._due()) if one in self._marks
            } | self._suspects
            if not marks:
                return
            streams, written = await self._database.read(lambda c: _read(c, marks))
            for company_id, mark in marks.items():
                stream = streams.get(company_id)
                if stream is None or not _is_broken(mark, stream, written.get(company_id)):
                    self._suspects.pop(company_id, None)
                    if company_id in written and self._marks.get(company_id) == mark:
                        self.record(company_id, Mark(mark.epoch, mark.head, written[company_id]))
                    continue
                await self._start_new_epoch(company_id, mark)
                self._suspects.pop(company_id, None)

    def _due(self) -> list[int]:
        """Choose the companies to compare now: those whose event's time has yet to be read, and
        every ten seconds those that were compared longest ago.
        """
        chosen = list(self._unfilled)[:_MAX_COMPARED]
        if time.monotonic() - self._compared_at < _COMPARE_INTERVAL_SECONDS:
            return chosen
        self._compared_at = time.monotonic()
        for _ in range(min(len(self._marks), _MAX_COMPARED - len(chosen))):
            company_id = next(iter(self._marks))
            self._marks.move_to_end(company_id)
            chosen.append(company_id)
        return chosen

    async def _start_new_epoch(self, company_id: int, mark: Mark) -> None:
        """Begin a new epoch, unless the log goes on from the mark when read under the stream's
        lock: the replica that was read may only lag behind, or another process may have been first.
        """

        async def begin(connection: Connection) -> Stream | None:
            stream = (await eventlog.lock_streams(connection, [company_id]))[company_id]
            written = await eventlog.read_written(connection, {company_id: mark.head})
            if not _is_broken(mark, stream, written.get(company_id)):
                return None
            return await eventlog.start_epoch(connection, company_id)

        stream = await self._database.transaction(begin)
        if stream is not None:
            about = {"company_id": company_id, "seen": mark.head, "database_head": stream.head}
            _logger.error(
                "the event log went back: a backup was restored, or commits were lost", **about
            )
            self.record(company_id, Mark(stream.epoch, stream.head))

    async def verify(self, company_id: int, stream: Stream) -> Stream:
        """Return the stream to open a feed with: a log that went back since this process saw it has
        begun anew by then. Raises Unavailable.
        """
        mark = self._marks.get(company_id)
        if mark is not None:
            await self.compare([company_id])
            streams = await self._database.read(lambda c: eventlog.read_streams(c, [company_id]))
            stream = streams.get(company_id, stream)
        self.record(company_id, Mark(stream.epoch, stream.head))
        return stream

    async def try_compare(self) -> None:
        """Compare as `compare` does, without an error while the database is away: the next
        comparison tries again.
        """
        try:
            await self.compare()
        except Unavailable:
            return


async def _read(
    connection: Connection, marks: dict[int, Mark]
) -> tuple[dict[int, Stream], dict[int, int]]:
    written = await eventlog.read_written(
        connection, {company_id: mark.head for company_id, mark in marks.items()}
    )
    return await eventlog.read_streams(connection, marks), written


def _is_broken(mark: Mark, stream: Stream, written_us: int | None) -> bool:
    """Whether the log does not go on from the mark. `written_us` is of the event with the mark's
    number, None where there is none.
    """
    if stream.epoch != mark.epoch:
        return is_older(stream.epoch, mark.epoch)
    if stream.head < mark.head:
        return True
    if stream.floor >= mark.head or not mark.written_us:
        return False
    return written_us != mark.written_us
