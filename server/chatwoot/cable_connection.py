"""A connection to a Chatwoot's `/cable` that cannot keep the process busy with frames: `websockets`
bounds how large a message is, and not how many frames one read may hold, nor how many pings are
answered.
"""

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from server.core.token_buckets import Bucket

_PIECE_BYTES = 4_096
# of 256 KB at most; Chatwoot's have some hundred bytes, so that this is no Chatwoot
_FRAMES_A_READ = 4_000
# protocol pings, pongs and fragments: Chatwoot sends none
_PIECES_A_SECOND, _PIECES_BURST = 20.0, 1_000.0
_PIECES = (Opcode.PING, Opcode.PONG, Opcode.CONT)


class BoundedConnection(ClientConnection):
    """Ends at once, as if it were cut, when it is flooded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        loop = asyncio.get_running_loop()
        self._pieces = Bucket(_PIECES_A_SECOND, _PIECES_BURST, loop.time())
        self._frames_of_read = 0

    def data_received(self, data: bytes) -> None:
        """By small pieces, as a read may hold a hundred thousand frames, and all are taken apart
        before anybody could count them.
        """
        self._frames_of_read = 0
        for at in range(0, len(data), _PIECE_BYTES):
            super().data_received(data[at : at + _PIECE_BYTES])
            if self._frames_of_read > _FRAMES_A_READ or self._pieces.is_empty(self.loop.time()):
                self.transport.abort()
                return

    def process_event(self, event: Any) -> None:
        """Counts the frames of this read, and the control frames of this second."""
        if isinstance(event, Frame):
            self._frames_of_read += 1
            if event.opcode in _PIECES:
                self._pieces.spend(self.loop.time(), 1.0)
        super().process_event(event)
