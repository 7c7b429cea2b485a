"""What is told of deliveries once they are committed: events to the feeds, typing to presence,
spans to a trace, a line to the log.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from server import log, metrics
from server.core.state.presence_state import TypingNews
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch
from server.db.engine.clock import DatabaseClock
from server.incoming.incoming_changes import IncomingChange
from server.log import is_debug
from server.traces import Traces

_logger = log.get(__name__)

Publish = Callable[[EventBatch], None]
OnTyping = Callable[[int, TypingNews], None]
# Company -> (conversation, agent in Chatwoot or None: its customer) -> whether they type: shown,
# and kept nowhere but in the journal
Typing = Mapping[int, TypingNews]


class Announcements:
    """Announces committed transactions of the ingester."""

    def __init__(
        self, clock: DatabaseClock, publish: Publish, on_typing: OnTyping, traces: Traces | None
    ) -> None:
        self._clock = clock
        self._publish = publish
        self._on_typing = on_typing
        self._traces = traces

    def announce(
        self,
        batches: Sequence[EventBatch],
        typing: Typing,
        incoming: Sequence[IncomingChange],
        began_us: int,
    ) -> None:
        """Call it after the commit. `incoming`: the changes that came to these events."""
        now_us = self._clock.now_us()
        is_followed = self._traces is not None or is_debug()
        for company_id, news in typing.items():
            self._on_typing(company_id, news)
        for batch in batches:
            metrics.webhook_to_publish_seconds.observe((now_us - batch.received_us) / SECOND)
            if is_followed:
                own = [one for one in incoming if one.source.company_id == batch.company_id]
                self._publish_traced(batch, own, began_us, now_us)
            else:
                self._publish(batch)

    def _publish_traced(
        self,
        batch: EventBatch,
        incoming: Sequence[IncomingChange],
        began_us: int,
        committed_us: int,
    ) -> None:
        """With a line in the log and spans in a trace, for whoever follows single messages."""
        about = {
            "company_id": batch.company_id,
            "first_seq": batch.first_seq,
            "last_seq": batch.last_seq,
        }
        belongs_to = [one.traceparent for one in incoming]
        if self._traces is not None:
            ingest = self._traces.note(
                "ingest", began_us, committed_us, belongs_to, deliveries=len(incoming), **about
            )
            batch = replace(batch, traceparent=ingest)
        self._publish(batch)
        published_us = self._clock.now_us()
        if self._traces is not None and batch.traceparent is not None:
            self._traces.note("publish", committed_us, published_us, [batch.traceparent], **about)
        _logger.debug(
            "batch",
            **about,
            delivery_ids=[one.delivery_id for one in incoming],
            waited_ms=(began_us - batch.received_us) / 1e3,
            ingest_ms=(committed_us - began_us) / 1e3,
            publish_ms=(published_us - committed_us) / 1e3,
            trace_id=None if batch.traceparent is None else batch.traceparent.split("-")[1],
        )
