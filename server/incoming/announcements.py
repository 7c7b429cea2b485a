"""Announces what deliveries brought, once they are committed: events to the feeds, typing to
presence, spans to a trace, a line to the log.
"""

from collections.abc import Callable, Mapping, Sequence

from server import metrics
from server.core.state.presence_state import TypingNews
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch
from server.db.engine.clock import DatabaseClock
from server.incoming.incoming_changes import IncomingChange
from server.message_observer import MessageObserver

Publish = Callable[[EventBatch], None]
OnTyping = Callable[[int, TypingNews], None]
# Company -> (conversation, agent in Chatwoot or None: its customer) -> whether they type: shown,
# and kept nowhere but in the journal
Typing = Mapping[int, TypingNews]


class Announcements:
    """Announces committed transactions of the ingester."""

    def __init__(
        self, clock: DatabaseClock, publish: Publish, on_typing: OnTyping, observer: MessageObserver
    ) -> None:
        self._clock = clock
        self._publish = publish
        self._on_typing = on_typing
        self._observer = observer

    def announce(
        self,
        batches: Sequence[EventBatch],
        typing: Typing,
        incoming: Sequence[IncomingChange],
        began_us: int,
    ) -> None:
        """Call it after the commit. `incoming`: the changes that came to these events."""
        now_us = self._clock.now_us()
        for company_id, news in typing.items():
            self._on_typing(company_id, news)
        for batch in batches:
            metrics.webhook_to_publish_seconds.observe((now_us - batch.received_us) / SECOND)
            if self._observer.is_on:
                own = [one for one in incoming if one.source.company_id == batch.company_id]
                self._publish_observed(batch, own, began_us, now_us)
            else:
                self._publish(batch)

    def _publish_observed(
        self,
        batch: EventBatch,
        incoming: Sequence[IncomingChange],
        began_us: int,
        committed_us: int,
    ) -> None:
        traceparents = [one.traceparent for one in incoming]
        batch = self._observer.on_committed(batch, traceparents, began_us, committed_us)
        self._publish(batch)
        self._observer.on_published(
            batch,
            [one.delivery_id for one in incoming],
            began_us,
            committed_us,
            self._clock.now_us(),
        )
