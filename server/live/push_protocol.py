"""uvicorn's WebSocket protocol for the handshake, and a small one of our own for the life after it.

`scope["extensions"]["omni.push"]` is the connection's `Push`. The endpoint says welcome through it
and hands the socket over to a receiver: the transport gets a `PushSocket` as its protocol,
everything of the handshake (request, scope, task, parser) is let go, and from then on there is no
task, no queue and no ASGI message for this socket. Under any other server the extension is absent
and the endpoint uses ASGI messages (`asgi_push.AsgiPush`).

It also closes two holes of uvicorn 0.54: a peer that stops reading can hold `close` and the
shutdown for ever, and one that sends Close while output is pending makes the shutdown raise.
"""

import asyncio
import logging
import os
import socket
import ssl
import time
from typing import Any, Protocol

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SERVER, State
from websockets.protocol import Protocol as FrameParser

from server.close_codes import CloseCode
from server.core.token_buckets import Bucket
from server.core.wire.websocket_frames import are_whole_frames, close_frame

EXTENSION = "omni.push"
MESSAGE_MOST_BYTES = 65_536  # a client says hello, pong, and little else
# after a close frame: time to flush and to answer, then the connection is cut
_FLUSH_GRACE_SECONDS = 2.0
# protocol pings and fragments a second, and at once: they are no messages, so nobody above counts
# them
_SMALL_FRAMES = (50.0, 500.0)
# else the kernel takes up to tcp_wmem[2] (4 MB) for a peer that does not read
_KERNEL_BUFFER_BYTES = 131_072
_logger = logging.getLogger("websockets.server")
_write = os.write


class Receiver(Protocol):
    """Who a handed-over socket belongs to."""

    def on_text(self, text: bytes) -> None:
        """A whole text message, not yet decoded."""

    def on_binary(self) -> None:
        """A binary message, which this protocol does not know."""

    def on_pause(self) -> None:
        """The output buffer is full: write no more."""

    def on_resume(self) -> None:
        """The output buffer has room again."""

    def on_lost(self, code: int) -> None:
        """The connection is over; said once."""

    def on_shutdown(self) -> None:
        """The server stops: close, at once or within the drain's window."""


class Push(Protocol):
    """The writing side of a socket."""

    def hand_over(self, receiver: Receiver, high_water_bytes: int) -> "Push":
        """Give the socket to the receiver. What is written from now on goes through the returned
        object.
        """

    def write(self, frames: bytes) -> None:
        """Complete frames; never waits. Ignored when the connection is over."""

    def close(self, code: int, reason: str = "") -> None: ...


class PushSocket(asyncio.Protocol):
    """A handed-over socket. Holds nothing while the client is silent: the frame parser lives only
    while a frame is incomplete.
    """

    __slots__ = (
        "_connections",
        "_descriptor",
        "_fragments",
        "_is_closed",
        "_is_direct",
        "_parser",
        "_receiver",
        "_small_frames",
        "_transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        connections: set[Any],
        receiver: Receiver,
        parser: FrameParser | None = None,
    ) -> None:
        self._transport = transport
        self._connections = connections
        self._receiver = receiver
        self._parser = parser
        self._descriptor = _plain_descriptor(transport)
        self._fragments: list[Frame] | None = None
        self._small_frames: Bucket | None = None  # most clients never send one
        self._is_closed = False
        # whether it is open and the transport's buffer known to be empty: only we fill it
        self._is_direct = False
        connections.add(self)

    def hand_over(self, receiver: Receiver, high_water_bytes: int) -> Push:
        raise RuntimeError("the socket was handed over already")

    def write(self, frames: bytes) -> None:
        """Straight to the descriptor while nothing is buffered: the transport would put the same
        call off to the end of the tick.

        A descriptor that was closed may belong to someone else by now, another company's agent
        among them. Both loops close it only after `connection_lost`, whatever ended the connection,
        and that ends the direct way before it returns.
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
        if not self._is_closed and not self._transport.is_closing():
            self._is_direct = False
            self._transport.write(close_frame(code, reason))
            self._end(code)
            if code == CloseCode.TOO_FAST:
                self._transport.pause_reading()  # the rest of the flood stays in the kernel

    def shutdown(self) -> None:
        """uvicorn stops, and waits until the last connection is gone."""
        if not self._is_closed:
            self._receiver.on_shutdown()

    # -- what the transport calls
    # ---

    def data_received(self, data: bytes) -> None:
        parser, is_new = self._parser, self._parser is None
        if parser is None:
            parser = FrameParser(SERVER, state=OPEN, max_size=MESSAGE_MOST_BYTES, logger=_logger)
        parser.receive_data(data)
        for event in parser.events_received():
            if isinstance(event, Frame):
                self._take(event, parser)
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
        if not self._is_closed:
            self._receiver.on_pause()

    def resume_writing(self) -> None:
        if not self._is_closed:
            self._receiver.on_resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_direct = False
        self._connections.discard(self)
        self._end(CloseCode.ABNORMAL)

    def _may_be_direct(self) -> bool:
        if not self._is_closed and self._descriptor >= 0 and not self._transport.is_closing():
            self._is_direct = not self._transport.get_write_buffer_size()
        return self._is_direct

    def _take(self, frame: Frame, parser: FrameParser) -> None:
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
            self._receiver.on_binary()
            return
        try:
            bytes(frame.data).decode()
        except UnicodeDecodeError:
            self.close(CloseCode.INVALID_TEXT, CloseCode.INVALID_TEXT.reason)
            return
        self._receiver.on_text(bytes(frame.data))

    def _may_pass(self, frame: Frame) -> bool:
        """Pings and fragments have a budget of their own: else they cost a client nothing, and us
        CPU and memory without end.
        """
        if frame.opcode is Opcode.CLOSE or (
            frame.fin and frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        ):
            return True
        now = time.monotonic()
        self._small_frames = self._small_frames or Bucket(*_SMALL_FRAMES, now)
        if self._small_frames.take(now):
            return True
        self.close(CloseCode.TOO_FAST, CloseCode.TOO_FAST.reason)
        return False

    def _end(self, code: int) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._is_direct = False
            self._receiver.on_lost(int(code))
            self._abort_later()

    def _abort_later(self) -> None:
        asyncio.get_running_loop().call_later(_FLUSH_GRACE_SECONDS, self._transport.abort)


class PushWebSocketProtocol(WebSocketsSansIOProtocol):
    """Use as `uvicorn.Config(ws=PushWebSocketProtocol)`."""

    is_handed_over = False
    is_failed = False
    is_mid_frame = False  # the parser may hold a part of a frame, so it must go on living

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.upgraded = transport.get_protocol()
        self.small_frames = Bucket(*_SMALL_FRAMES, time.monotonic())
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        is_whole = (
            are_whole_frames(data) if self.handshake_initiated else data.endswith(b"\r\n\r\n")
        )
        self.is_mid_frame = self.is_mid_frame or not is_whole
        super().data_received(data)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if getattr(self, "scope", None) is not None:  # the application's task has not begun yet
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    # -- Push
    # ---

    def hand_over(self, receiver: Receiver, high_water_bytes: int) -> Push:
        """The transport belongs to a PushSocket from here on; messages that came meanwhile are
        given on.

        Raises ConnectionResetError when the client has gone: whoever took the socket would never
        hear of its end.
        """
        if self.transport.is_closing():
            raise ConnectionResetError("the client went while it was welcomed")
        self.is_handed_over = True
        self.transport.set_write_buffer_limits(high=high_water_bytes)
        self.connections.discard(self)
        push = PushSocket(
            self.transport, self.connections, receiver, self.conn if self.is_mid_frame else None
        )
        self.transport.set_protocol(push)
        asyncio.get_running_loop().call_soon(self._give_on, push, receiver)
        return push

    def write(self, frames: bytes) -> None:
        if not self.close_sent and not self.disconnected and not self.transport.is_closing():
            self.transport.write(frames)

    def close(self, code: int, reason: str = "") -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(close_frame(code, reason))
            self.close_sent = True
            self._abort_later()

    def _give_on(self, push: PushSocket, receiver: Receiver) -> None:
        while not self.queue.empty():
            message = self.queue.get_nowait()
            if message["type"] == "websocket.receive":
                text = message.get("text")
                receiver.on_binary() if text is None else receiver.on_text(text.encode())
            elif message["type"] == "websocket.disconnect":
                push.connection_lost(None)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _let_go(self) -> None:
        """Break the circles among the handshake's objects, so that they go at once and not with
        some later collection: a company that comes back would leave eighty objects a socket behind,
        and the memory they held would stay scattered.
        """
        self.scope["extensions"].pop(EXTENSION, None)
        if hasattr(self.upgraded, "parser"):  # uvicorn's HTTP protocol, whose parser calls it back
            self.upgraded.parser = None
        if not self.is_mid_frame:
            self.conn.parser.close()

    # -- what uvicorn calls
    # ---

    async def run_asgi(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        if self.is_handed_over:
            self.loop.call_soon(self._let_go)
            return
        if not self.handshake_complete:
            self.send_500_response()
        if self.close_timer is None and not self.is_failed:
            self.transport.close()
        if self.transport.is_closing():
            self._abort_later()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            # uvicorn would log a traceback of it
            self._fail(CloseCode.INVALID_TEXT, CloseCode.INVALID_TEXT.reason)
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        if self._may_pass():
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if self._may_pass():
            super().handle_ping()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        if self.is_failed:
            self.transport.close()  # the peer has answered
        if self.transport.is_closing():
            self._abort_later()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._abort_later()

    async def send(self, message: Any) -> None:
        try:
            await super().send(message)
        except RuntimeError:
            if self.close_sent:  # closed by the shutdown meanwhile: not the application's mistake
                raise ClientDisconnected from None
            raise
        if message["type"] == "websocket.close":
            self._abort_later()

    def shutdown(self) -> None:
        """Say 1012 and give the peer a moment; the stock form raises when the peer has just sent
        its own close.
        """
        if (
            self.handshake_complete
            and not self.close_sent
            and self.conn.state is State.OPEN
            and not self.transport.is_closing()
        ):
            self.queue.put_nowait(
                {"type": "websocket.disconnect", "code": CloseCode.SERVICE_RESTART, "reason": ""}
            )
            self.close(CloseCode.SERVICE_RESTART)
        elif self.transport.is_closing() or self.close_sent:
            self._abort_later()
        else:
            super().shutdown()

    def _may_pass(self) -> bool:
        """As in `PushSocket`, for those who have not said hello yet."""
        if self.close_sent or self.transport.is_closing():
            return False
        if self.small_frames.take(time.monotonic()):
            return True
        self._fail(CloseCode.TOO_FAST, CloseCode.TOO_FAST.reason)
        return False

    def _fail(self, code: int, reason: str) -> None:
        """End it; not at once, for the reset of a connection with unread bytes would overtake the
        close frame.
        """
        self.is_failed = True
        self.frames = []
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close(code, reason)
        if code == CloseCode.TOO_FAST:
            self.transport.pause_reading()

    def _abort_later(self) -> None:
        self.loop.call_later(_FLUSH_GRACE_SECONDS, self.transport.abort)


def _plain_descriptor(transport: asyncio.Transport) -> int:
    """The descriptor to write to, or -1 where bytes must pass through the transport (TLS)."""
    raw = transport.get_extra_info("socket")
    is_plain = raw is not None and not isinstance(
        transport.get_extra_info("ssl_object"), ssl.SSLObject
    )
    return int(raw.fileno()) if is_plain else -1


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _close_code(parser: FrameParser) -> int:
    if parser.close_rcvd is not None:
        return parser.close_rcvd.code
    return parser.close_sent.code if parser.close_sent is not None else int(CloseCode.ABNORMAL)
