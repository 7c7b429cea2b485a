"""`POST /api/webhooks/chatwoot`: keep the delivery, answer, and nothing else.

Plain ASGI: a request object, a route and a response object together cost as much as keeping the delivery.
"""

import os
import time

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server import metrics
from server.core.limits import Buckets
from server.core.payloads import read_address, strip_credentials
from server.core.times import SECOND
from server.db.journal import Delivery
from server.directory import DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Directory
from server.endpoints.answers import problem_answer, receive_body
from server.errors import BadRequest, HeaderTooLarge, OmniError, TooManyRequests, UnsupportedMedia
from server.recorder import Recorder
from server.traces import CARRIED, OpenSpan, Traces

# What each of these can be at most, in bytes. Longer ones are refused, as nothing may be cut that is judged later; a longer
# `traceparent` is left out, as its specification asks of what cannot be read.
_KEPT_HEADERS = {
    SIGNATURE_HEADER.encode(): (SIGNATURE_HEADER, 71),  # sha256= and 64 digits
    TIMESTAMP_HEADER.encode(): (TIMESTAMP_HEADER, 12),
    DELIVERY_HEADER.encode(): (DELIVERY_HEADER, 64),
}
_TRACE_HEADER, _TRACE_BYTES = CARRIED.encode(), 55
_ENCODING, _LENGTH = b"content-encoding", b"content-length"
_RECEIVED = b"EVENT_RECEIVED"
_ANSWER = ((_LENGTH, str(len(_RECEIVED)).encode()), (b"content-type", b"text/plain; charset=utf-8"))
_accepted = metrics.deliveries_received.labels("accepted")


class Webhook:
    """The ASGI application of the address, with what it was given at the start."""

    def __init__(
        self, recorder: Recorder, directory: Directory, most_bytes: int, strangers_per_minute: int, traces: Traces | None = None
    ) -> None:
        self._recorder, self._directory, self._most_bytes, self._traces = recorder, directory, most_bytes, traces
        self._strangers = Buckets(strangers_per_minute / 60, float(strangers_per_minute)) if strangers_per_minute else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span: OpenSpan | None = None
        try:
            delivery = await self._delivery(scope, receive)
            if self._traces is not None:
                span = self._traces.open("webhook", delivery.received_us, delivery.headers)
            await self._recorder.append(delivery)
        except ClientDisconnect:
            return  # it went away before all was said: nothing was taken, and nobody waits for an answer
        except OmniError as error:
            metrics.deliveries_received.labels(error.code).inc()
            if span is not None:
                span.end(int(time.time() * SECOND), error.code)
            await problem_answer(error)(scope, receive, send)
            return
        _accepted.inc()
        await send({"type": "http.response.start", "status": 200, "headers": list(_ANSWER)})
        await send({"type": "http.response.body", "body": _RECEIVED})
        if span is not None:
            span.end(int(time.time() * SECOND))

    async def _delivery(self, scope: Scope, receive: Receive) -> Delivery:
        """Read and judge. Raises BadRequest, TooLarge, HeaderTooLarge, UnsupportedMedia for what cannot be kept,
        BadSignature for what must not be."""
        received_us = int(time.time() * SECOND)
        headers, length = dict[str, str](), b""
        for name, value in scope["headers"]:
            if (kept := _KEPT_HEADERS.get(name)) is not None:
                if len(value) > kept[1]:
                    raise HeaderTooLarge(f"The header {kept[0]} is longer than {kept[1]} bytes")
                headers[kept[0]] = value.decode("latin-1")
            elif name == _TRACE_HEADER and self._traces is not None:
                if len(value) <= _TRACE_BYTES:
                    headers[CARRIED] = value.decode("latin-1")
            elif name == _LENGTH:
                length = value
            elif name == _ENCODING and value != b"identity":
                raise UnsupportedMedia
        body = await receive_body(receive, length, self._most_bytes)
        try:
            account_id, inbox_id = read_address(body)
        except ValueError:
            raise BadRequest("The body must be JSON in UTF-8") from None
        # an integration that was added a moment ago is not known here yet: judged by ingest, which waits for the directory
        is_judged = self._directory.is_loaded and self._directory.knows(account_id, inbox_id)
        if not is_judged and self._directory.is_loaded:
            self._admit_stranger(scope)
        integration_id = self._directory.verify(account_id, inbox_id, headers, body) if is_judged else None
        return Delivery(
            uid=os.urandom(16).hex(),
            received_us=received_us,
            body=_text(strip_credentials(body) if is_judged else body),
            headers=headers,
            integration_id=integration_id,
            is_verified=is_judged,
        )


    def _admit_stranger(self, scope: Scope) -> None:
        """Whoever knows the address could fill the journal with what belongs to nobody. Raises TooManyRequests."""
        address = scope["client"][0] if scope.get("client") else ""
        if self._strangers is not None and self._strangers.wait(address, time.monotonic()):
            raise TooManyRequests("Too many webhooks that no integration takes")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except ValueError:
        raise BadRequest("The body must be JSON in UTF-8") from None
