"""A process's parts as one of two in a loop, with a bus that does as it is told and connections
that may stand still.
"""

import asyncio
import time
from collections.abc import Callable

from server.access.authentication import Access
from server.access.foreign_access import ForeignAccessLog
from server.core.wire.event_frames import EventBatch
from server.db.access.vault import Vault
from server.db.engine.clock import DatabaseClock
from server.db.engine.database import Connection, Database
from server.db.engine.lane_jobs import Call, T
from server.http.api.events import Events
from server.http.api.websocket import Sockets
from server.http.guard import Guard
from server.http.rate_limits import ApiLimits
from server.http.request_pipeline import RequestPipeline
from server.incoming.ingest import Ingester
from server.integrations.directory import Directory
from server.live.bus import Bus
from server.live.feed import FeedLimits
from server.live.feeds import Feeds
from server.live.hub import Hub
from server.settings import Settings
from tests.kit.eventually import scaled
from tests.unit.sockets import Alone

COMPANY = 1
# small enough that replay leaves the ring and goes to the log
_LIMITS = FeedLimits(ring_events=6, ring_bytes=100_000)


class FaultyBus(Bus):
    """What is published waits in `mail` of every other process, until a rule delivers, drops,
    doubles or swaps it.
    """

    def __init__(self, others: "list[FaultyBus]") -> None:
        super().__init__("memory://")
        self.mail: list[str] = []
        self._others = others
        self._listener: Callable[[str], None] | None = None

    def subscribe(self, company_id: int, on_message: Callable[[str], None]) -> None:
        self._listener = on_message

    def unsubscribe(self, company_id: int) -> None:
        self._listener = None

    def publish(self, company_id: int, message: str) -> None:
        for other in self._others:
            other.mail.append(message)  # our own as well, as Redis does

    def deliver(self) -> None:
        if self.mail and self._listener is not None:
            self._listener(self.mail.pop(0))


class OwnDatabase(Database):
    """A process's connections, under the process's own wall clock; one of its transactions may
    stand still before its COMMIT.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, wait_seconds=scaled(60))
        self.skew_seconds = 0.0
        self.clock = DatabaseClock(self.dialect, wall=lambda: time.time() + self.skew_seconds)
        # the next transaction is there; it may go on
        self.stands_at: tuple[asyncio.Event, asyncio.Event] | None = None

    async def transaction(
        self,
        call: Call[T],
        *,
        attempts: int = 4,
        wait_seconds: float | None = None,
        awaits_commit: bool = True,
        held_bytes: int = 0,
    ) -> T:
        stands_at, self.stands_at = self.stands_at, None

        async def stand_still(connection: Connection) -> T:
            result = await call(connection)
            if stands_at is not None:
                await connection.flush()
                stands_at[0].set()
                await stands_at[1].wait()
            return result

        return await super().transaction(
            stand_still,
            attempts=attempts,
            wait_seconds=wait_seconds,
            awaits_commit=awaits_commit,
            held_bytes=held_bytes,
        )


class Process:
    """One life of a process."""

    def __init__(self, database: OwnDatabase, buses: list[FaultyBus], settings: Settings) -> None:
        self.database = database
        self.hub = Hub()
        self.bus = FaultyBus(buses)
        self.feeds = Feeds(database, self.bus, self.hub, _LIMITS, check_seconds=1.0)
        self.directory = Directory(
            database, Vault(""), tolerance_seconds=300, require_signature=False
        )
        self.ingester = Ingester(database, self.directory, self._published, batch=10, attempts=1)
        access = Access(database, settings, lambda agent_id: None, lambda keys: None)
        self.is_draining = False
        # presence needs a running loop; this world acts between its turns
        self.sockets = Sockets(access, self.feeds, self.hub, Alone(), settings, self)
        guard = Guard(
            RequestPipeline(
                access,
                ApiLimits(agent_per_minute=0, company_per_minute=0),
                ForeignAccessLog(database),
            ),
            access,
            self.feeds,
        )
        self.events = Events(guard, self.feeds, database)
        self.dies_before_publish = False

    def _published(self, batch: EventBatch) -> None:
        if not self.dies_before_publish:
            self.feeds.publish(batch)

    async def forget_feeds(self) -> None:
        """Nobody has been connected for so long that the feeds are let go; what was seen of the log
        is known.
        """
        for feed in self.feeds._feeds.values():
            feed.used_at = float("-inf")
        self.feeds.evict_idle()
        await self.feeds._marks.compare()

    def has_seen(self, cursor: str) -> bool:
        """Whether its mark of the log is at that place."""
        mark = self.feeds._marks._marks.get(COMPANY)
        return mark is not None and f"{mark.epoch}.{mark.head}" == cursor

    async def compare_marks(self) -> None:
        """The company's turn has come."""
        await self.feeds._marks.compare([COMPANY])
