"""Frames that are no events: what customers type, and how far a sync is.

Written at once to the sockets that have room, and by the bus to those of other processes. Nothing
keeps them: a socket without room misses them.
"""

from server.core.state.entities import Json
from server.core.state.presence_state import (
    PresenceMessage,
    TypingNews,
    encode_sync,
    encode_typing,
    message_of_typing,
    typing_of,
)
from server.core.wire.websocket_bytes import text_frame
from server.live.hub import Hub, for_each_cooperatively
from server.live.presence_channel import PresenceChannel


class Broadcast:
    """Sends frames that are no events, here and at the other processes."""

    def __init__(self, hub: Hub, channel: PresenceChannel) -> None:
        self._hub = hub
        self._channel = channel

    def show_typing(self, company_id: int, typing: TypingNews) -> None:
        """Send who types, customers and agents in Chatwoot, to the company's sockets of all
        processes.
        """
        self._send_typing(company_id, typing)
        self._channel.publish(company_id, message_of_typing(self._channel.process, typing))

    def show_sync(self, company_id: int, run: Json) -> None:
        """Send a sync's progress to the company's administrators on all processes."""
        self._send_sync(company_id, run)
        self._channel.publish(company_id, PresenceMessage(self._channel.process, sync=run))

    def accept(self, company_id: int, message: PresenceMessage) -> bool:
        """Send on what another process says of typing or a sync. Returns False for any other
        message.
        """
        if message.customers or message.writers:
            self._send_typing(company_id, typing_of(message))
        elif message.sync is not None:
            self._send_sync(company_id, message.sync)
        else:
            return False
        return True

    def _send_typing(self, company_id: int, typing: TypingNews) -> None:
        """Write once to each socket, however many type."""
        frames = b"".join(text_frame(encode_typing(*place, on=on)) for place, on in typing.items())
        self._hub.send_ephemeral(company_id, frames, _nothing)

    def _send_sync(self, company_id: int, run: Json) -> None:
        frame = text_frame(encode_sync(run))
        administrators = [member for member in self._hub.members(company_id) if member.is_admin]
        for_each_cooperatively(
            administrators, lambda member: member.send_ephemeral(frame), _nothing
        )


def _nothing() -> None:
    return
