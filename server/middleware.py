"""What stands around every answer: a count, a log line where something went wrong, a safe header, compression where it pays.

Plain ASGI: a middleware class of Starlette's costs more than the whole hot path.
"""

import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import log, metrics

_logger = log.get(__name__)
_GZIP_LEVEL = 5
_GZIP_FROM_BYTES = 1_000
_SLOW_SECONDS = 1.0
_PLAIN = ("/api/webhooks/", "/livez")


class Outermost:
    """Every request passes here. Successful ones are counted, not logged: a line for each poll would cost more than the poll."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._compressing = GZipMiddleware(app, minimum_size=_GZIP_FROM_BYTES, compresslevel=_GZIP_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._plain(scope, receive, send)
            return
        path: str = scope["path"]
        started = time.monotonic()
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-content-type-options", b"nosniff"))
                if status >= 500:
                    MutableHeaders(scope=message)["X-Request-Id"] = request_id = uuid.uuid4().hex[:12]
                    _logger.warning("request failed", path=path, status=status, request_id=request_id)
            await send(message)

        app = self._plain if path.startswith(_PLAIN) else self._compressing
        try:
            await app(scope, receive, send_on)
        finally:
            seconds = time.monotonic() - started
            metrics.requests.labels(_kind(path), str(status)).inc()
            if status >= 400 or seconds > _SLOW_SECONDS:
                _logger.info("request", method=scope["method"], path=path, status=status, seconds=round(seconds, 3))


def _kind(path: str) -> str:
    """A path's first two parts, from a closed set."""
    head = "/".join(path.split("/", 3)[:3])
    return head if head in _KINDS else "other"


_KINDS = frozenset(
    {"/api/webhooks", "/api/conversations", "/api/events", "/api/chatwoot", "/api/sessions", "/api/me", "/inbox", "/livez", "/readyz"}
)
