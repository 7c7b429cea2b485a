"""The writing side of a socket over plain ASGI messages, for servers that do not have our
protocol.
"""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from server.close_codes import CloseCode
from server.core.wire.websocket_bytes import split_text_frames
from server.live.socket_ports import SocketHandler, SocketWriter
from server.tasks import spawn, stop


class AsgiSocketWriter:
    """Writes frames as ASGI messages, through one queue and one task a socket. The handler's pause
    bounds the queue, as it bounds any output.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._outgoing: asyncio.Queue[bytes | tuple[int, str]] = asyncio.Queue()
        self._bytes = 0
        self._high_water_bytes = 0
        self._handler: SocketHandler | None = None
        self._is_paused = False

    def hand_over(self, handler: SocketHandler, high_water_bytes: int) -> SocketWriter:
        """Set who is called back, and the bytes beyond which the output counts as full. Returns
        itself.
        """
        self._handler = handler
        self._high_water_bytes = high_water_bytes
        return self

    def write(self, frames: bytes) -> None:
        """Queue complete frames; pauses the handler when more than its high water is waiting."""
        self._outgoing.put_nowait(frames)
        self._bytes += len(frames)
        if (
            self._handler is not None
            and not self._is_paused
            and self._bytes > self._high_water_bytes
        ):
            self._is_paused = True
            self._handler.on_pause()

    def close(self, code: int, reason: str = "") -> None:
        """Queue a close frame behind what is waiting."""
        self._outgoing.put_nowait((code, reason))

    async def run(self, handler: SocketHandler) -> None:
        """Send and receive until the connection ends; then the handler hears `on_lost`."""
        sender = spawn(self._send(), "asgi-sender")
        code = int(CloseCode.ABNORMAL)
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    code = message.get("code") or CloseCode.NO_STATUS
                    return
                text = message.get("text")
                handler.on_binary() if text is None else handler.on_text(text.encode())
        finally:
            handler.on_lost(code)
            await stop(sender)

    async def _send(self) -> None:
        while True:
            item = await self._outgoing.get()
            try:
                if isinstance(item, tuple):
                    await self._websocket.close(*item)
                    return
                for payload in split_text_frames(item):
                    await self._websocket.send_text(payload.decode())
            except (WebSocketDisconnect, RuntimeError):
                return
            self._bytes -= len(item)
            if (
                self._is_paused
                and self._bytes <= self._high_water_bytes // 4
                and self._handler is not None
            ):
                self._is_paused = False
                self._handler.on_resume()
