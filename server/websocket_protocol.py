"""uvicorn's WebSocket protocol, with what push needs beside ASGI.

`scope["extensions"]["omni.push"]` is a `Push`: the endpoint that has said welcome hands the socket over to a receiver and returns. From
then on there is no task, no queue and no ASGI message for this socket: frames made once are written as they are, and what the
client sends, the state of the output buffer and the end of the connection are told by plain calls. Under any other server the
extension is absent and the endpoint uses ASGI messages (`connection.AsgiPush`).

It also closes two holes of uvicorn 0.54: a peer that stops reading can hold `close` and the shutdown for ever, and one that sends Close
while output is pending makes the shutdown raise.
"""

import socket
from typing import Any, Protocol

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from server.core.frames import close_frame

EXTENSION = "omni.push"
_FLUSH_GRACE_SECONDS = 2.0  # after a close frame: time to flush and to answer, then the connection is cut
_KERNEL_BUFFER_BYTES = 131_072  # else the kernel takes up to tcp_wmem[2] (4 MB) for a peer that does not read


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


class Push(Protocol):
    """The writing side of a socket."""

    def hand_over(self, receiver: Receiver, high_water_bytes: int) -> None: ...

    def write(self, frames: bytes) -> None:
        """Complete frames; never waits. Ignored when the connection is over."""

    def close(self, code: int, reason: str = "") -> None: ...


class PushWebSocketProtocol(WebSocketsSansIOProtocol):
    """Use as `uvicorn.Config(ws=PushWebSocketProtocol)`."""

    receiver: Receiver | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if getattr(self, "scope", None) is not None:  # the application's task has not begun yet
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    # -- Push ------------------------------------------------------------------------------------------------------

    def hand_over(self, receiver: Receiver, high_water_bytes: int) -> None:
        self.receiver = receiver
        self.transport.set_write_buffer_limits(high=high_water_bytes)
        waiting = []
        while not self.queue.empty():
            waiting.append(self.queue.get_nowait())
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        for message in waiting:
            if message["type"] == "websocket.receive":
                text = message.get("text")
                receiver.on_binary() if text is None else receiver.on_text(text.encode())
            elif message["type"] == "websocket.disconnect":
                self._lose(message.get("code") or 1005)

    def write(self, frames: bytes) -> None:
        if not self.close_sent and not self.disconnected and not self.transport.is_closing():
            self.transport.write(frames)

    def close(self, code: int, reason: str = "") -> None:
        if self.close_sent or self.transport.is_closing():
            return
        self.transport.write(close_frame(code, reason))
        self.close_sent = True
        self._lose(code)
        self._abort_later()

    # -- what uvicorn calls ----------------------------------------------------------------------------------------

    async def run_asgi(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        if self.receiver is not None:
            return
        if not self.handshake_complete:
            self.send_500_response()
        if self.close_timer is None:
            self.transport.close()
        if self.transport.is_closing():
            self._abort_later()

    def send_receive_event_to_app(self) -> None:
        if self.receiver is None:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "text":
            self.receiver.on_text(data)
        else:
            self.receiver.on_binary()

    def handle_close(self, event: Frame) -> None:
        if self.receiver is not None and not self.close_sent:
            self._lose(self.conn.close_rcvd.code if self.conn.close_rcvd else 1005)
        if self.close_sent:
            self.transport.close()
        super().handle_close(event)
        if self.transport.is_closing():
            self._abort_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.receiver is not None:
            self.receiver.on_pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.receiver is not None:
            self.receiver.on_resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(1006)
        super().connection_lost(exc)

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._lose(self.conn.close_sent.code if self.conn.close_sent else 1002)
        self._abort_later()

    async def send(self, message: Any) -> None:
        try:
            await super().send(message)
        except RuntimeError:
            if self.close_sent:  # closed by the shutdown meanwhile: not the application's mistake
                raise ClientDisconnected from None
            raise

    def shutdown(self) -> None:
        """Say 1012 and give the peer a moment; the stock form raises when the peer has just sent its own close."""
        is_open = self.handshake_complete and not self.close_sent and self.conn.state is State.OPEN and not self.transport.is_closing()
        if self.receiver is not None:
            self.close(1012) if is_open else self._abort_later()
        elif is_open:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012, "reason": ""})
            self.transport.write(close_frame(1012))
            self.close_sent = True
            self._abort_later()
        elif self.transport.is_closing() or self.close_sent:
            self._abort_later()
        else:
            super().shutdown()

    def _lose(self, code: int) -> None:
        receiver, self.receiver = self.receiver, _GONE if self.receiver is not None else None
        if receiver is not None:
            receiver.on_lost(code)

    def _abort_later(self) -> None:
        self.loop.call_later(_FLUSH_GRACE_SECONDS, self.transport.abort)


class _Gone:
    """Receiver of a socket whose end has been told: what still comes is for nobody."""

    def on_text(self, text: bytes) -> None: ...

    def on_binary(self) -> None: ...

    def on_pause(self) -> None: ...

    def on_resume(self) -> None: ...

    def on_lost(self, code: int) -> None: ...


_GONE = _Gone()
