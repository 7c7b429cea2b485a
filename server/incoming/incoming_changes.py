"""A change to be applied to state, whatever brought it: a delivery, a sync, or reconcile."""

import msgspec

from server.core.chatwoot.changes import Change
from server.core.state.tracked import Result, Source
from server.incoming.unstored import Place


class IncomingChange(msgspec.Struct):
    """One change, where it comes from, and what became of it."""

    source: Source
    change: Change
    received_us: int
    delivery_id: int | None = None
    traceparent: str | None = None
    conversation: Result = Result.SAME
    message: Result = Result.SAME
    is_from_socket: bool = False  # of Chatwoot's agents, not a webhook
    problem: str = ""  # why it could not be stored

    @property
    def place(self) -> Place:
        """Where it stands in Chatwoot."""
        message = self.change.message
        return Place(
            self.source.integration_id,
            self.change.conversation.display_id,
            message.message_id if message else None,
        )
