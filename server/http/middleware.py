"""What every answer passes: a count, a log line where something went wrong, safe headers,
compression where it pays.

Plain ASGI: a middleware class of Starlette's costs more than the whole hot path.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import log, metrics
from server.errors import OmniError
from server.http.responses import problem_answer

Unchanged = Callable[[Scope], list[tuple[bytes, bytes]] | None]

_logger = log.get(__name__)
_GZIP_LEVEL = 5
_GZIP_FROM_BYTES = 1_000
_SLOW_SECONDS = 1.0
_WENT_AWAY = 499  # nobody is there to be answered; counted by the number that nginx made usual
_NOSNIFF = (b"x-content-type-options", b"nosniff")
# what an answer that is no page needs: it is shown in nobody's frame, and nothing in it runs
_SAFE = (
    _NOSNIFF,
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
# files are compressed already, and a part of one must stay that part
_PLAIN = ("/api/webhooks/", "/livez", "/api/attachments/")


class RequestMiddleware:
    """Passes every request on and counts it. Successful ones are not logged: a line for each poll
    would cost more than the poll.
    """

    def __init__(
        self,
        app: ASGIApp,
        unchanged: Unchanged,
        direct: Mapping[tuple[str, str], ASGIApp],
        *,
        is_https: bool = False,
    ) -> None:
        """`direct`: applications reached by method and path at once; asking every route in turn
        costs more than they do.

        They are for programs. Each sends a 200, which carries of what keeps browsers safe what it
        says itself, or raises OmniError, which is answered here.
        """
        self._plain = app
        self._unchanged = unchanged
        self._direct = direct
        self._safe = (*_SAFE, _HTTPS_ONLY) if is_https else _SAFE
        self._compressing = GZipMiddleware(
            app, minimum_size=_GZIP_FROM_BYTES, compresslevel=_GZIP_LEVEL
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._plain(scope, receive, send)
            return
        path: str = scope["path"]
        direct = self._direct.get((scope["method"], path))
        if direct is None and (headers := self._unchanged(scope)) is not None:
            _count(path, 304)
            await send(
                {"type": "http.response.start", "status": 304, "headers": [*headers, _NOSNIFF]}
            )
            await send({"type": "http.response.body", "body": b""})
            return
        app = direct or (self._plain if path.startswith(_PLAIN) else self._compressing)
        await self._pass_on(app, scope, receive, send, is_direct=direct is not None)

    async def _pass_on(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, is_direct: bool
    ) -> None:
        started, path = time.monotonic(), scope["path"]
        status, is_answered, request_id = 200 if is_direct else 500, False, ""

        async def send_on(message: Message) -> None:
            nonlocal status, is_answered, request_id
            if message["type"] == "http.response.start":
                status, is_answered = message["status"], True
                headers = message["headers"]
                given = {name for name, _ in headers}  # pages have a policy of their own
                headers += [header for header in self._safe if header[0] not in given]
                if status >= 400:
                    request_id = request_id or _new_id()
                    headers.append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await app(scope, receive, send if is_direct else send_on)
        except ClientDisconnect:
            status = _WENT_AWAY
        except OmniError as error:
            await problem_answer(error)(scope, receive, send_on)
        # something we did not think of: people get a sentence, the log the traceback, both the same
        # id
        except Exception:
            request_id = _new_id()
            _logger.exception("request died", path=path, request_id=request_id)
            if is_answered:
                raise
            await problem_answer(OmniError())(scope, receive, send_on)
        finally:
            seconds = time.monotonic() - started
            _count(path, status)
            if status >= 400 or seconds > _SLOW_SECONDS:
                _log_request(scope, status, seconds, request_id)


class Application(Starlette):
    """Starlette with `RequestMiddleware` around all of it, in place of its own outermost layer:
    each layer is paid for by every webhook and every poll.
    """

    def __init__(self, around: Callable[[ASGIApp], ASGIApp], **given: Any) -> None:
        """`around`: what stands outside of routing. `given`: as Starlette takes it."""
        super().__init__(**given)
        self._around = around

    def build_middleware_stack(self) -> ASGIApp:
        """Return the application that Starlette serves: ours around its routes and exception
        handlers.
        """
        return self._around(ExceptionMiddleware(self.router, handlers=self.exception_handlers))


def _log_request(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    """Write a line for what went wrong, or was slow."""
    log_line = _logger.warning if status >= 500 else _logger.info
    about = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "seconds": round(seconds, 3),
    }
    log_line("request", **about, request_id=request_id or None)


def _new_id() -> str:
    """Return an id that is short enough to be read out on the telephone."""
    return uuid.uuid4().hex[:12]


def _count(path: str, status: int) -> None:
    """Count a request by the path's first two parts, from a closed set; the counters are kept, as
    looking them up costs more than counting.
    """
    head = "/".join(path.split("/", 3)[:3])
    key = (head if head in _KINDS else "other", status)
    counter = _counters.get(key)
    if counter is None:
        counter = _counters[key] = metrics.requests.labels(key[0], str(status))
    counter.inc()


_counters: dict[tuple[str, int], Counter] = {}


_KINDS = frozenset(
    {
        "/api/webhooks",
        "/api/conversations",
        "/api/events",
        "/api/chatwoot",
        "/api/sessions",
        "/api/me",
        "/api/canned-replies",
        "/api/agents",
        "/api/integrations",
        "/api/people",
        "/api/deliveries",
        "/api/attachments",
        "/inbox",
        "/livez",
        "/readyz",
    }
)
