"""Gives each presence message of another process to the one it is for."""

from server.core.state.presence_state import parse_presence_message
from server.live.broadcast import Broadcast
from server.live.presence import Presence
from server.live.presence_channel import PresenceChannel


class PresenceReceiver:
    """Drops this process's own messages, and gives the others to `Broadcast` or `Presence`."""

    def __init__(self, channel: PresenceChannel, broadcast: Broadcast, presence: Presence) -> None:
        self._channel = channel
        self._broadcast = broadcast
        self._presence = presence

    def receive(self, company_id: int, text: str) -> None:
        """Deliver one message from the bus. Raises ValueError for what is no presence message."""
        message = parse_presence_message(text)
        if message.process == self._channel.process:
            return
        if not self._broadcast.accept(company_id, message):
            self._presence.accept(company_id, message)
