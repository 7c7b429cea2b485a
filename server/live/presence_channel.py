"""What processes send each other, besides events, of a company's agents and customers."""

import uuid

from server.core.state.presence_state import (
    PresenceMessage,
    encode_presence_message,
)
from server.live.bus import Bus


class PresenceChannel:
    """The bus, for presence messages. `process` is this process's name in them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.process = uuid.uuid4().hex[:12]

    @property
    def is_shared(self) -> bool:
        """Whether there can be other processes."""
        return self._bus.is_shared

    def publish(self, company_id: int, message: PresenceMessage) -> None:
        """Queue a message for the other processes; does nothing where there can be none."""
        if self._bus.is_shared:
            self._bus.publish(company_id, encode_presence_message(message))
