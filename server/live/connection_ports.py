"""What a live connection is given: its company's events, its colleagues, its timings, and how a new
token is verified.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from server.live.presence import Viewer


class EventSource(Protocol):
    """A company's feed, as a connection uses it."""

    company_id: int
    epoch: str
    head: int

    def ready_after(self, seq: int, max_bytes: int) -> tuple[bytes, int] | None:
        """Frames after `seq` from the ring and the last seq among them; None when the ring does not
        reach back so far.
        """

    async def fetch_after(self, seq: int) -> tuple[bytes, int] | None:
        """The same from the log, a page; None when the log does not reach back so far any more."""


class PresencePort(Protocol):
    """What the agents of a company see of each other, as a connection uses it."""

    def join(self, viewer: Viewer) -> None: ...

    def leave(self, viewer: Viewer) -> None: ...

    def request_snapshot(self, viewer: Viewer) -> None:
        """Send it the whole, soon."""

    def view(self, viewer: Viewer, conversation_id: int | None) -> None: ...

    def type(self, viewer: Viewer, conversation_id: int, *, on: bool) -> None: ...


class SocketTimings(msgspec.Struct, frozen=True):
    """Seconds from the settings that a connection lives by."""

    ping: float
    silence: float
    slow: float
    high_water_bytes: int
    drain: float = 0.0


class Renewal(msgspec.Struct, frozen=True):
    """What a new token gives a socket."""

    expires_at: float | None
    token_key: str | None
    issued_us: int
    is_admin: bool


Renew = Callable[[str], Awaitable[Renewal]]
