"""ASGI middleware in front of the simulated API: does to requests and answers what the switches
say.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.lab.chatwoot_sim.state import ChatwootSim

_PLAIN = "text/plain"


@dataclass
class Faults:
    """Touches only `/api/`. What cuts connections needs uvicorn; under an in-process transport it
    raises ConnectionError.
    """

    app: ASGIApp
    sim: ChatwootSim
    _minutes: Counter[int] = field(default_factory=Counter)
    _writes: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        switches = self.sim.switches
        if switches.stands_still or switches.write_seconds:
            receive = await self._in_backlog(scope, receive)
        if switches.latency_seconds:
            await asyncio.sleep(switches.latency_seconds)
        if self._is_over_limit():
            # rack-attack 6.7 configuration.rb: plain text, and no Retry-After
            await _answer(send, 429, b"Retry later\n", _PLAIN)
        elif self._fails_at_once(scope):
            await self._fail(send)
        else:
            with self.sim.questions.asked(_question(scope)):
                await self._pass_on(scope, receive, send)

    async def _in_backlog(self, scope: Scope, receive: Receive) -> Receive:
        """Wait for the request's turn. Its body is here already, so that it is worked off whether
        or not its client is still there.
        """
        body = await _read_body(receive)
        if scope["method"] == "GET":
            await self._go_on()
        else:
            async with self._writes:
                await self._go_on()
                await asyncio.sleep(self.sim.switches.write_seconds)
        return _repeating(body, receive)

    async def _go_on(self) -> None:
        # a switch is a field that anybody sets
        while self.sim.switches.stands_still:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _is_over_limit(self) -> bool:
        switches = self.sim.switches
        minute = int(self.sim.now() // 60)
        self._minutes[minute] += 1
        for old in [m for m in self._minutes if m != minute]:
            del self._minutes[old]
        is_over = 0 < switches.requests_per_minute < self._minutes[minute]
        return switches.count_down("limit_next") or switches.rate_limited or is_over

    def _fails_at_once(self, scope: Scope) -> bool:
        switches = self.sim.switches
        if switches.fail_matching and switches.fail_matching in _question(scope):
            return True
        return (
            self._may_fail(scope)
            and not switches.fail_after_commit
            and switches.count_down("fail_next")
        )

    def _may_fail(self, scope: Scope) -> bool:
        is_aside = scope["path"].endswith(("/update_last_seen", "/unread", "/toggle_typing_status"))
        return not self.sim.switches.fail_writes_only or (scope["method"] != "GET" and not is_aside)

    async def _fail(self, send: Send) -> None:
        status = self.sim.switches.fail_status
        await _answer(
            send,
            status,
            b'{"status":%d,"error":"Internal Server Error"}' % status,
            "application/json",
        )

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the app, then spoil its answer as the switches say."""
        switches = self.sim.switches
        is_sending = scope["method"] == "POST" and scope["path"].endswith(("/messages", "/retry"))
        fails = (
            switches.fail_after_commit
            and self._may_fail(scope)
            and switches.count_down("fail_next")
        )
        hangs = is_sending and switches.count_down("hang_next")
        loses = is_sending and switches.count_down("lose_next")
        truncates = switches.count_down("truncate_next")
        if not (fails or hangs or loses or truncates):
            await self.app(scope, receive, send)
            return
        answer: list[Message] = []
        await self.app(scope, receive, _collector(answer))
        if hangs:
            await _wait_for_disconnect(receive, switches.hang_seconds)
        if fails:
            await self._fail(send)
        elif loses:
            await _cut(receive, at_once=True)
        elif truncates:
            await _send_half(answer, receive, send)
        else:
            for message in answer:
                await send(message)


def _question(scope: Scope) -> str:
    return f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}"


async def _answer(send: Send, status: int, body: bytes, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


def _repeating(body: bytes, receive: Receive) -> Receive:
    """As the server's `receive`, with a body that was read before."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def repeat() -> Message:
        return left.pop() if left else await receive()

    return repeat


def _collector(into: list[Message]) -> Send:
    async def collect(message: Message) -> None:
        into.append(message)

    return collect


async def _send_half(answer: list[Message], receive: Receive, send: Send) -> None:
    """The announced length is right, half of the bytes come, and then the connection ends."""
    body = b"".join(message.get("body", b"") for message in answer[1:])
    await send(answer[0])
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await _cut(receive, at_once=False)


async def _cut(receive: Receive, *, at_once: bool) -> None:
    """End the connection below HTTP. ASGI has no word for it; uvicorn's `receive` belongs to the
    object with the transport.
    """
    transport: asyncio.Transport | None = getattr(
        getattr(receive, "__self__", None), "transport", None
    )
    if transport is None:
        raise ConnectionAbortedError("the simulated Chatwoot cut the connection")
    if at_once:
        transport.abort()
    else:
        transport.close()
    await _wait_for_disconnect(receive, 5.0)


async def _wait_for_disconnect(receive: Receive, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
