"""The writing side of a socket over plain ASGI messages, for servers that do not have our
protocol.
"""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from server.close_codes import CloseCode
from server.core.wire.websocket_frames import split_text_frames
from server.live.push_protocol import Push, Receiver
from server.tasks import spawn, stop


class AsgiPush:
    """The writing side over plain ASGI messages, for servers without our protocol: one queue and
    one task a socket, bounded.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._outgoing: asyncio.Queue[bytes | tuple[int, str]] = asyncio.Queue()
        self._bytes = 0
        self._high_water_bytes = 0
        self._receiver: Receiver | None = None
        self._is_paused = False

    def hand_over(self, receiver: Receiver, high_water_bytes: int) -> Push:
        self._receiver = receiver
        self._high_water_bytes = high_water_bytes
        return self

    def write(self, frames: bytes) -> None:
        self._outgoing.put_nowait(frames)
        self._bytes += len(frames)
        if (
            self._receiver is not None
            and not self._is_paused
            and self._bytes > self._high_water_bytes
        ):
            self._is_paused = True
            self._receiver.on_pause()

    def close(self, code: int, reason: str = "") -> None:
        self._outgoing.put_nowait((code, reason))

    async def run(self, receiver: Receiver) -> None:
        """Send and receive until the end."""
        sender = spawn(self._send(), "asgi-sender")
        code = int(CloseCode.ABNORMAL)
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    code = message.get("code") or CloseCode.NO_STATUS
                    return
                text = message.get("text")
                receiver.on_binary() if text is None else receiver.on_text(text.encode())
        finally:
            receiver.on_lost(code)
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
                and self._receiver is not None
            ):
                self._is_paused = False
                self._receiver.on_resume()
