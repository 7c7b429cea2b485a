"""What is called as a message passes through this process: from a webhook to the sockets, from an
agent's reply to Chatwoot.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from server.core.state.fan_out import FanOut
from server.core.wire.event_frames import EventBatch

CARRIED = "traceparent"  # the header, and key of a delivery's headers, that a trace travels in
_NOTHING: AbstractContextManager[None] = nullcontext()


class Span(Protocol):
    """An act that is being timed."""

    def end(self, ended_us: int, error: str | None = None) -> None:
        """`error`: the code of what went wrong, when it failed."""


class MessageObserver:
    """Does nothing: for a process without traces, above the log level DEBUG.

    Callers look at `is_on` before they gather what a call takes, so that being off costs one look.
    """

    is_on = False
    has_traces = False  # whether headers with a trace are to be kept

    def webhook_began(self, received_us: int, headers: MutableMapping[str, str]) -> Span | None:
        """A delivery was accepted, and is about to be recorded. Afterwards `headers` carries the
        trace that what follows belongs to.
        """

    def on_recorded(
        self,
        uids: Sequence[str],
        headers: Sequence[Mapping[str, str]],
        began_us: int,
        ended_us: int,
        spooled: int,
    ) -> None:
        """Deliveries were written to the disk together. `spooled`: how many wait in the spool."""

    def on_committed(
        self,
        batch: EventBatch,
        traceparents: Sequence[str | None],
        began_us: int,
        committed_us: int,
    ) -> EventBatch:
        """Deliveries became events. Returns the batch, as part of their trace."""
        return batch

    def on_published(
        self,
        batch: EventBatch,
        delivery_ids: Sequence[int | None],
        began_us: int,
        committed_us: int,
        published_us: int,
    ) -> None:
        """The batch was given to this process's feed and to the bus."""

    def on_accepted(self, company_id: int, last_seq: int, traceparent: str) -> None:
        """Called when events up to there go to the sockets; they belong to that trace."""

    def on_fanned_out(self, fan_out: FanOut) -> None:
        """Events were written to the sockets of this process."""

    def taking_reply(self, key: str, traceparent: str | None) -> AbstractContextManager[None]:
        """Around taking a reply in; `key` is what it will be known by at Chatwoot."""
        return _NOTHING

    def sending_reply(self, key: str, files: int) -> AbstractContextManager[None]:
        """Around one attempt to send a reply with so many files."""
        return _NOTHING

    def close(self) -> None:
        """Send what is waiting; blocks for seconds at most."""
