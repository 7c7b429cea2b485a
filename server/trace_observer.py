"""Follows single messages: with spans where traces are switched on, and with lines in the log at
level DEBUG.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from server import log
from server.core.state.fan_out import FanOut
from server.core.times import wall_now_us
from server.core.wire.event_frames import EventBatch
from server.errors import OmniError
from server.message_observer import CARRIED, MessageObserver, Span
from server.traces import Traces

_logger = log.get(__name__)


class TraceObserver(MessageObserver):
    """Writes spans and debug lines for each step of a message."""

    is_on = True

    def __init__(self, traces: Traces | None) -> None:
        """Without traces only the lines in the log are written."""
        self._traces = traces
        self.has_traces = traces is not None

    def webhook_began(self, received_us: int, headers: MutableMapping[str, str]) -> Span | None:
        """Opens the webhook's span, and writes its context into `headers`."""
        return None if self._traces is None else self._traces.open("webhook", received_us, headers)

    def on_recorded(
        self,
        uids: Sequence[str],
        headers: Sequence[Mapping[str, str]],
        began_us: int,
        ended_us: int,
        spooled: int,
    ) -> None:
        """Adds the span of one commit to the journal or the spool."""
        carried = [one.get(CARRIED) for one in headers]
        self._add_span("journal append", began_us, ended_us, carried, deliveries=len(uids))
        _logger.debug(
            "deliveries kept",
            uids=list(uids),
            ms=round((ended_us - began_us) / 1e3, 2),
            spooled=spooled,
        )

    def on_committed(
        self,
        batch: EventBatch,
        traceparents: Sequence[str | None],
        began_us: int,
        committed_us: int,
    ) -> EventBatch:
        """Adds the span of the ingest; the batch carries it on."""
        traceparent = self._add_span(
            "ingest",
            began_us,
            committed_us,
            traceparents,
            deliveries=len(traceparents),
            **_range_of(batch),
        )
        return replace(batch, traceparent=traceparent)

    def on_published(
        self,
        batch: EventBatch,
        delivery_ids: Sequence[int | None],
        began_us: int,
        committed_us: int,
        published_us: int,
    ) -> None:
        """Adds the span from commit to publish, and a debug line with all times."""
        about, parent = _range_of(batch), batch.traceparent
        self._add_span("publish", committed_us, published_us, [parent], **about)
        _logger.debug(
            "batch",
            **about,
            delivery_ids=list(delivery_ids),
            waited_ms=(began_us - batch.received_us) / 1e3,
            ingest_ms=(committed_us - began_us) / 1e3,
            publish_ms=(published_us - committed_us) / 1e3,
            trace_id=None if parent is None else parent.split("-")[1],
        )

    def on_accepted(self, company_id: int, last_seq: int, traceparent: str) -> None:
        """Keeps the trace of a batch that a feed accepts, for its fan-out."""
        if self._traces is not None:
            self._traces.keep((company_id, last_seq), traceparent)

    def on_fanned_out(self, fan_out: FanOut) -> None:
        """One span, whatever the number of sockets."""
        company_id, seqs = fan_out.company_id, range(fan_out.first_seq, fan_out.last_seq + 1)
        about = {
            "company_id": company_id,
            "first_seq": fan_out.first_seq,
            "last_seq": fan_out.last_seq,
            "sockets": fan_out.sockets,
        }
        if self._traces is not None:
            belongs_to = [self._traces.kept((company_id, seq)) for seq in seqs]
            self._add_span("fan-out", fan_out.first_us, fan_out.last_us, belongs_to, **about)
        _logger.debug("fan-out", **about, ms=(fan_out.last_us - fan_out.first_us) / 1e3)

    @contextmanager
    def taking_reply(self, key: str, traceparent: str | None) -> Iterator[None]:
        """Opens the reply's span for as long as it is taken in."""
        if self._traces is None:
            yield
            return
        carrier = {} if traceparent is None else {CARRIED: traceparent}
        span = self._traces.open("reply", wall_now_us(), carrier)
        self._traces.keep(key, span.traceparent)
        try:
            yield
        except OmniError as error:
            span.end(wall_now_us(), error.code)
            raise
        span.end(wall_now_us())

    @contextmanager
    def sending_reply(self, key: str, files: int) -> Iterator[None]:
        """A reply that another process took in, or that was taken in long ago, belongs to no trace
        here.
        """
        began_us, outcome = wall_now_us(), "sent"
        try:
            yield
        except OmniError as error:
            outcome = error.code
            raise
        finally:
            if self._traces is not None:
                belongs_to = [self._traces.kept(key)]
                self._add_span(
                    "send to Chatwoot",
                    began_us,
                    wall_now_us(),
                    belongs_to,
                    outcome=outcome,
                    files=files,
                )

    def close(self) -> None:
        """Sends the spans that wait."""
        if self._traces is not None:
            self._traces.close()

    def _add_span(
        self,
        name: str,
        began_us: int,
        ended_us: int,
        belongs_to: Sequence[str | None],
        **attributes: Any,
    ) -> str | None:
        if self._traces is None:
            return None
        return self._traces.add_span(name, began_us, ended_us, belongs_to, **attributes)


def _range_of(batch: EventBatch) -> dict[str, int]:
    return {
        "company_id": batch.company_id,
        "first_seq": batch.first_seq,
        "last_seq": batch.last_seq,
    }
