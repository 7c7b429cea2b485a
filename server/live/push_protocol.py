"""uvicorn's WebSocket protocol, for the handshake.

`scope["extensions"]["omni.push"]` is the connection's `SocketWriter`. The endpoint says welcome
through it and hands the socket over to a handler: the transport gets a `PushSocket` as its
protocol, everything of the handshake (request, scope, task, parser) is dropped, and from then on
there is no task, no queue and no ASGI message for this socket. Under any other server the extension
is absent and the endpoint uses ASGI messages (`asgi_socket.AsgiSocketWriter`).

It also closes two holes of uvicorn 0.54: a peer that stops reading can hold `close` and the
shutdown for ever, and one that sends Close while output is pending makes the shutdown raise.
"""

import asyncio
import socket
import time
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from server.close_codes import CloseCode
from server.core.token_buckets import Bucket
from server.core.wire.websocket_bytes import are_whole_frames, close_frame
from server.live.push_socket import FLUSH_GRACE_SECONDS, SMALL_FRAMES_BUDGET, PushSocket
from server.live.socket_ports import SocketHandler, SocketWriter

EXTENSION = "omni.push"
# else the kernel takes up to tcp_wmem[2] (4 MB) for a peer that does not read
_KERNEL_BUFFER_BYTES = 131_072


class PushWebSocketProtocol(WebSocketsSansIOProtocol):
    """Use as `uvicorn.Config(ws=PushWebSocketProtocol)`."""

    is_handed_over = False
    is_failed = False
    is_mid_frame = False  # the parser may hold a part of a frame, so it must go on living

    def connection_made(self, transport: Any) -> None:
        """Bound the kernel's buffer, which else holds megabytes for a peer that does not read."""
        super().connection_made(transport)
        self.upgraded = transport.get_protocol()
        self.small_frames = Bucket(*SMALL_FRAMES_BUDGET, time.monotonic())
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and remember whether it may hold part of a frame."""
        is_whole = (
            are_whole_frames(data) if self.handshake_initiated else data.endswith(b"\r\n\r\n")
        )
        self.is_mid_frame = self.is_mid_frame or not is_whole
        super().data_received(data)

    def handle_connect(self, event: Request) -> None:
        """Offer the socket to the endpoint, as the extension of its scope."""
        super().handle_connect(event)
        if getattr(self, "scope", None) is not None:  # the application's task has not begun yet
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    # -- SocketWriter
    # ---

    def hand_over(self, handler: SocketHandler, high_water_bytes: int) -> SocketWriter:
        """Give the transport to a PushSocket; messages that came meanwhile are replayed to the
        handler.

        Raises ConnectionResetError when the client has gone: the handler would never hear of the
        socket's end.
        """
        if self.transport.is_closing():
            raise ConnectionResetError("the client went while it was welcomed")
        self.is_handed_over = True
        self.transport.set_write_buffer_limits(high=high_water_bytes)
        self.connections.discard(self)
        push = PushSocket(
            self.transport, self.connections, handler, self.conn if self.is_mid_frame else None
        )
        self.transport.set_protocol(push)
        asyncio.get_running_loop().call_soon(self._replay_queued, push, handler)
        return push

    def write(self, frames: bytes) -> None:
        """Write complete frames; ignored when the connection is over."""
        if not self.close_sent and not self.disconnected and not self.transport.is_closing():
            self.transport.write(frames)

    def close(self, code: int, reason: str = "") -> None:
        """Write a close frame once, and cut the connection after the grace."""
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(close_frame(code, reason))
            self.close_sent = True
            self._abort_later()

    def _replay_queued(self, push: PushSocket, handler: SocketHandler) -> None:
        while not self.queue.empty():
            message = self.queue.get_nowait()
            if message["type"] == "websocket.receive":
                text = message.get("text")
                handler.on_binary() if text is None else handler.on_text(text.encode())
            elif message["type"] == "websocket.disconnect":
                push.connection_lost(None)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _break_cycles(self) -> None:
        """Break the cycles among the handshake's objects, so that they are freed at once and not
        by some later collection: a company that comes back would leave eighty objects a socket
        behind, and the memory they held would stay scattered.
        """
        self.scope["extensions"].pop(EXTENSION, None)
        if hasattr(self.upgraded, "parser"):  # uvicorn's HTTP protocol, whose parser calls it back
            self.upgraded.parser = None
        if not self.is_mid_frame:
            self.conn.parser.close()

    # -- what uvicorn calls
    # ---

    async def run_asgi(self) -> None:
        """Run the endpoint until it has refused the socket or handed it over."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        if self.is_handed_over:
            self.loop.call_soon(self._break_cycles)
            return
        if not self.handshake_complete:
            self.send_500_response()
        if self.close_timer is None and not self.is_failed:
            self.transport.close()
        if self.transport.is_closing():
            self._abort_later()

    def send_receive_event_to_app(self) -> None:
        """Queue a whole message for the endpoint; text that is no UTF-8 closes the socket."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            # uvicorn would log a traceback of it
            self._fail(CloseCode.INVALID_TEXT, CloseCode.INVALID_TEXT.reason)
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """Accept a fragment within the budget of small frames."""
        if self._may_pass():
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer a ping within the budget of small frames."""
        if self._may_pass():
            super().handle_ping()

    def handle_close(self, event: Frame) -> None:
        """Answer the peer's close, and cut a connection that stays half open."""
        super().handle_close(event)
        if self.is_failed:
            self.transport.close()  # the peer has answered
        if self.transport.is_closing():
            self._abort_later()

    def handle_parser_exception(self) -> None:
        """Close for a broken frame, and cut the connection after the grace."""
        super().handle_parser_exception()
        self._abort_later()

    async def send(self, message: Any) -> None:
        """Carry out an ASGI message. Raises ClientDisconnected where the shutdown has closed the
        socket meanwhile.
        """
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
        """Count a small frame as `PushSocket` does, before the welcome."""
        if self.close_sent or self.transport.is_closing():
            return False
        if self.small_frames.try_take(time.monotonic()):
            return True
        self._fail(CloseCode.TOO_FAST, CloseCode.TOO_FAST.reason)
        return False

    def _fail(self, code: int, reason: str) -> None:
        """Close the socket; not at once, for the reset of a connection with unread bytes would
        overtake the close frame.
        """
        self.is_failed = True
        self.frames = []
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close(code, reason)
        if code == CloseCode.TOO_FAST:
            self.transport.pause_reading()

    def _abort_later(self) -> None:
        self.loop.call_later(FLUSH_GRACE_SECONDS, self.transport.abort)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
