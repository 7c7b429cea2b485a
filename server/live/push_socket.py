"""A socket after its welcome, straight on the transport: no task, no queue and no ASGI message."""

import asyncio
import logging
import os
import ssl
import time
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, State
from websockets.protocol import Protocol as FrameParser

from server.close_codes import CloseCode
from server.core.token_buckets import Bucket
from server.core.wire.websocket_bytes import are_whole_frames, close_frame
from server.live.socket_ports import SocketHandler, SocketWriter

MAX_MESSAGE_BYTES = 65_536  # a client says hello, pong, and little else
# after a close frame: time to flush and to answer, then the connection is cut
FLUSH_GRACE_SECONDS = 2.0
# protocol pings and fragments a second, and at once: they are no messages, so nobody above counts
# them
SMALL_FRAMES_BUDGET = (50.0, 500.0)
_logger = logging.getLogger("websockets.server")
_write = os.write


class PushSocket(asyncio.Protocol):
    """Reads and writes a handed-over socket. Holds nothing while the client is silent: the frame
    parser lives only while a frame is incomplete.
    """

    __slots__ = (
        "_connections",
        "_descriptor",
        "_fragments",
        "_handler",
        "_is_closed",
        "_is_direct",
        "_parser",
        "_small_frames",
        "_transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        connections: set[Any],
        handler: SocketHandler,
        parser: FrameParser | None = None,
    ) -> None:
        self._transport = transport
        self._connections = connections
        self._handler = handler
        self._parser = parser
        self._descriptor = _plain_descriptor(transport)
        self._fragments: list[Frame] | None = None
        self._small_frames: Bucket | None = None  # most clients never send one
        self._is_closed = False
        # whether it is open and the transport's buffer known to be empty: only we fill it
        self._is_direct = False
        connections.add(self)

    def hand_over(self, handler: SocketHandler, high_water_bytes: int) -> SocketWriter:
        """Raise RuntimeError: a socket is handed over once."""
        raise RuntimeError("the socket was handed over already")

    def write(self, frames: bytes) -> None:
        """Write frames straight to the descriptor while nothing is buffered: the transport would
        put the same call off to the end of the tick.

        A descriptor that was closed may belong to someone else by now, another company's agent
        among them. Both loops close it only after `connection_lost`, whatever ended the connection,
        and that ends direct writing before it returns.
        """
        if self._is_direct or self._may_be_direct():
            try:
                written = _write(self._descriptor, frames)
            except OSError:  # full, or lost: the transport knows what to do
                written = 0
            if written == len(frames):
                return
            frames = frames[written:]
        if not self._is_closed and not self._transport.is_closing():
            self._is_direct = False
            self._transport.write(frames)

    def close(self, code: int, reason: str = "") -> None:
        """Write a close frame, call `on_lost`, and cut the connection after the grace. Later calls
        are ignored.
        """
        if not self._is_closed and not self._transport.is_closing():
            self._is_direct = False
            self._transport.write(close_frame(code, reason))
            self._end(code)
            if code == CloseCode.TOO_FAST:
                self._transport.pause_reading()  # the rest of the flood stays in the kernel

    def shutdown(self) -> None:
        """Ask the handler to end it: uvicorn stops, and waits until the last connection is gone."""
        if not self._is_closed:
            self._handler.on_shutdown()

    # -- what the transport calls
    # ---

    def data_received(self, data: bytes) -> None:
        """Give whole messages to the handler; answer pings and a close."""
        parser, is_new = self._parser, self._parser is None
        if parser is None:
            parser = FrameParser(SERVER, state=OPEN, max_size=MAX_MESSAGE_BYTES, logger=_logger)
        parser.receive_data(data)
        for event in parser.events_received():
            if isinstance(event, Frame):
                self._accept(event, parser)
        if (
            (answer := b"".join(parser.data_to_send()))
            and not self._transport.is_closing()
            and not self._is_closed
        ):
            self._is_direct = False
            # pongs, and the close frame that answers a close or a broken frame
            self._transport.write(answer)
        if parser.parser_exc is not None or parser.state is not State.OPEN:
            self._end(_close_code(parser))
            self._transport.close()
        self._parser = None if is_new and are_whole_frames(data) else parser

    def pause_writing(self) -> None:
        """The transport holds more than its high water: the handler stops."""
        if not self._is_closed:
            self._handler.on_pause()

    def resume_writing(self) -> None:
        """The transport's buffer is low again: the handler goes on."""
        if not self._is_closed:
            self._handler.on_resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End direct writing first, as the descriptor may be someone else's afterwards."""
        self._is_direct = False
        self._connections.discard(self)
        self._end(CloseCode.ABNORMAL)

    def _may_be_direct(self) -> bool:
        if not self._is_closed and self._descriptor >= 0 and not self._transport.is_closing():
            self._is_direct = not self._transport.get_write_buffer_size()
        return self._is_direct

    def _accept(self, frame: Frame, parser: FrameParser) -> None:
        if (
            self._is_closed
            or not self._may_pass(frame)
            or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
        ):
            return
        if not frame.fin or self._fragments is not None:
            self._fragments = self._fragments or []
            self._fragments.append(frame)
            if not frame.fin:
                return
            first = self._fragments[0]
            frame = Frame(first.opcode, b"".join(bytes(part.data) for part in self._fragments))
            self._fragments = None
        if frame.opcode is not Opcode.TEXT:
            self._handler.on_binary()
            return
        try:
            bytes(frame.data).decode()
        except UnicodeDecodeError:
            self.close(CloseCode.INVALID_TEXT, CloseCode.INVALID_TEXT.reason)
            return
        self._handler.on_text(bytes(frame.data))

    def _may_pass(self, frame: Frame) -> bool:
        """Count a ping or fragment, which have a budget of their own: else they cost a client
        nothing, and us CPU and memory without end.
        """
        if frame.opcode is Opcode.CLOSE or (
            frame.fin and frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        ):
            return True
        now = time.monotonic()
        self._small_frames = self._small_frames or Bucket(*SMALL_FRAMES_BUDGET, now)
        if self._small_frames.try_take(now):
            return True
        self.close(CloseCode.TOO_FAST, CloseCode.TOO_FAST.reason)
        return False

    def _end(self, code: int) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._is_direct = False
            self._handler.on_lost(int(code))
            self._abort_later()

    def _abort_later(self) -> None:
        asyncio.get_running_loop().call_later(FLUSH_GRACE_SECONDS, self._transport.abort)


def _plain_descriptor(transport: asyncio.Transport) -> int:
    """Return the descriptor to write to, or -1 where bytes must pass through the transport
    (TLS).
    """
    raw = transport.get_extra_info("socket")
    is_plain = raw is not None and not isinstance(
        transport.get_extra_info("ssl_object"), ssl.SSLObject
    )
    return int(raw.fileno()) if is_plain else -1


def _close_code(parser: FrameParser) -> int:
    if parser.close_rcvd is not None:
        return parser.close_rcvd.code
    return parser.close_sent.code if parser.close_sent is not None else int(CloseCode.ABNORMAL)
