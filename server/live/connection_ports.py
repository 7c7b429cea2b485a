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
        """Return frames after `seq` from the ring and the last seq among them; None when the ring
        does not reach back so far.
        """

    async def fetch_after(self, seq: int) -> tuple[bytes, int] | None:
        """Return the same from the log, a page; None when the log does not reach back so far any
        more.
        """


class PresencePort(Protocol):
    """What the agents of a company see of each other, as a connection uses it. No call waits."""

    def join(self, viewer: Viewer) -> None:
        """Count a welcomed socket, and send it a snapshot soon."""

    def leave(self, viewer: Viewer) -> None:
        """Forget a socket that has left the hub."""

    def request_snapshot(self, viewer: Viewer) -> None:
        """Send the socket a snapshot, within a second."""

    def view(self, viewer: Viewer, conversation_id: int | None) -> None:
        """Record which conversation the socket shows; None for none."""

    def type(
        self, viewer: Viewer, conversation_id: int, *, on: bool, to_customer: bool = False
    ) -> None:
        """Record that the agent types in a conversation, or no longer does; `to_customer`: a
        reply.
        """


class SocketTimings(msgspec.Struct, frozen=True):
    """Limits from the settings for every socket, in seconds unless the name says bytes."""

    ping: float
    silence: float
    slow: float
    high_water_bytes: int
    drain: float = 0.0


class SocketAccess(msgspec.Struct, frozen=True):
    """What a socket's agent may do, and until when: by the sign-in, then by each new token."""

    expires_at: float | None  # unix seconds; None for a sign-in that does not end by itself
    token_key: str | None = None  # the name of the key that verified the token
    issued_us: int = 0
    is_admin: bool = False


Renew = Callable[[str], Awaitable[SocketAccess]]
