"""The feeds of this process: one for each company that is watched here.

Once a second all heads are compared with the database in one query: that repairs a lost last
message, and is the whole of working without a bus.
"""

import asyncio
import time
from collections.abc import Callable

from server import metrics
from server.core.state.presence_state import is_presence_message
from server.core.wire.event_frames import EventBatch, encode_batch, parse_batch
from server.db.engine.database import Database
from server.db.state import eventlog
from server.errors import Unavailable
from server.live.bus import Bus
from server.live.feed import Feed, FeedLimits
from server.live.hub import Hub
from server.live.log_marks import LogMarks, Mark
from server.tasks import spawn

_MAX_IDLE_SECONDS = 90.0  # a company nobody asked for is closed after this
_OPEN_TIMEOUT_SECONDS = 3.0

# company, the message's text
OnPresence = Callable[[int, str], None]
# company, last seq, traceparent
OnTraced = Callable[[int, int, str], None]


class Feeds:
    """Opens, compares and closes this process's feeds."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        hub: Hub,
        limits: FeedLimits,
        check_seconds: float,
        *,
        on_presence: OnPresence = lambda company_id, text: None,
        on_subscribed: Callable[[int], None] = lambda company_id: None,
        on_traced: OnTraced | None = None,
    ) -> None:
        """`on_presence` gets what the bus brings besides batches; `on_subscribed` is called when a
        company's messages come from now on; `on_traced` before a batch of a trace is accepted.
        """
        self._database = database
        self._bus = bus
        self._hub = hub
        self._limits = limits
        self._check_seconds = check_seconds
        self._feeds: dict[int, Feed] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._checked_at = 0.0
        self._marks = LogMarks(database)
        self._on_presence = on_presence
        self._on_subscribed = on_subscribed
        self._on_traced = on_traced
        self._wake = asyncio.Event()

    def get(self, company_id: int) -> Feed | None:
        """Return the feed if it is open and was compared lately, so that its head may answer
        without a query; else None.
        """
        feed = self._feeds.get(company_id)
        if feed is None or not self.is_fresh:
            return None
        feed.used_at = time.monotonic()
        return feed

    @property
    def is_fresh(self) -> bool:
        """Whether heads were compared within three intervals: older than that they prove
        nothing.
        """
        return time.monotonic() - self._checked_at < 3 * self._check_seconds

    async def watch(self, company_id: int) -> Feed:
        """Return the feed, opening it where it is not open. Raises Unavailable while the database
        is away. Cancelling is safe: the opening goes on.
        """
        while (feed := self._feeds.get(company_id)) is None:
            task = self._opening.get(company_id)
            if task is None:
                task = self._opening[company_id] = spawn(
                    self._open(company_id), f"feed-open-{company_id}"
                )
            await asyncio.wait({task}, timeout=_OPEN_TIMEOUT_SECONDS)
            # one that is not done stays: a second feed of the company would leave the first one's
            # sockets deaf
            if task.done() and self._opening.get(company_id) is task:
                del self._opening[company_id]
            if company_id not in self._feeds:
                raise Unavailable
        feed.used_at = time.monotonic()
        return feed

    @property
    def companies(self) -> list[int]:
        """The companies whose feeds are open."""
        return list(self._feeds)

    def publish(self, batch: EventBatch) -> None:
        """Give a committed batch to our own agents at once, and to the other processes by the
        bus.
        """
        metrics.events_appended.inc(len(batch.bodies))
        if self._marks.record_batch(batch):
            spawn(self._marks.try_compare(), f"marks-{batch.company_id}")
        self._accept(batch, "local")
        self._bus.publish(batch.company_id, encode_batch(batch))

    def check_soon(self) -> None:
        """Compare heads now, not at the next interval: the bus has just come (back) up."""
        self._wake.set()

    async def run(self) -> None:
        """Compare heads every second, twice as often while the bus is down; close idle feeds."""
        while True:
            seconds = self._check_seconds if self._bus.is_up else self._check_seconds / 2
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            self.evict_idle()
            await self.check()
            await self._marks.try_compare()

    async def check(self) -> None:
        """Compare all heads with the database once; a database that is away is no error here."""
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
                    lambda c: eventlog.lock_streams(c, [company_id])
                )
            stream = await self._marks.verify(company_id, streams[company_id])
        except Unavailable:
            self._bus.unsubscribe(company_id)
            return
        if not self._feeds:
            self._checked_at = time.monotonic()
        self._feeds[company_id] = Feed(company_id, stream, self._database, self._hub, self._limits)
        self._on_subscribed(company_id)

    def _listener(self, company_id: int) -> Callable[[str], None]:
        def on_message(text: str) -> None:
            if is_presence_message(text):
                self._on_presence(company_id, text)
                return
            if company_id in self._feeds:
                self._accept(parse_batch(text), "bus")

        return on_message

    def _accept(self, batch: EventBatch, source: str) -> None:
        if (feed := self._feeds.get(batch.company_id)) is not None:
            if batch.traceparent is not None and self._on_traced is not None:
                self._on_traced(batch.company_id, batch.last_seq, batch.traceparent)
            feed.accept(batch, source)

    def evict_idle(self) -> None:
        """Close the feeds of companies that have no socket here and were not asked for lately."""
        edge = time.monotonic() - _MAX_IDLE_SECONDS
        for company_id, feed in list(self._feeds.items()):
            if feed.used_at < edge and not self._hub.members(company_id):
                self._bus.unsubscribe(company_id)
                self._marks.record(company_id, Mark(feed.epoch, feed.head))
                del self._feeds[company_id]
