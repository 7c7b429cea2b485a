"""`POST /api/webhooks/chatwoot`: keep the delivery, answer, and nothing else.

Plain ASGI: a request object, a route and a response object together cost as much as keeping the
delivery.
"""

import asyncio
import itertools
import os

from starlette.types import Receive, Scope, Send

from server import metrics
from server.core.chatwoot.headings import Heading, may_lack_account, read_heading
from server.core.chatwoot.json_bodies import MAX_JSON_VALUES, has_too_many_values, strip_credentials
from server.core.identifiers import parse_digits
from server.db.journal import journal
from server.db.journal.journal import NOT_JUDGED, OF_NOBODY, Delivery
from server.errors import (
    BadRequest,
    BadSignature,
    HeaderTooLarge,
    OmniError,
    UnsupportedMedia,
)
from server.http.api.strangers import SMALL_BYTES, Strangers
from server.http.responses import receive_body
from server.incoming.recorder import Recorder
from server.integrations.directory import (
    DELIVERY_HEADER,
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Directory,
    key_of,
)
from server.message_observer import CARRIED, MessageObserver, Span

# What each of these can be at most, in bytes. Longer ones are refused, as nothing may be cut that
# is judged later; a longer `traceparent` is left out, as its specification asks of what cannot be
# read.
_KEPT_HEADERS = {
    SIGNATURE_HEADER.encode(): (SIGNATURE_HEADER, 71),  # sha256= and 64 digits
    TIMESTAMP_HEADER.encode(): (TIMESTAMP_HEADER, 12),
    DELIVERY_HEADER.encode(): (DELIVERY_HEADER, 64),
}
_TRACE_HEADER, _TRACE_BYTES = CARRIED.encode(), 55
_ENCODING, _LENGTH = b"content-encoding", b"content-length"
_RECEIVED = b"EVENT_RECEIVED"
_ANSWER = [
    (_LENGTH, str(len(_RECEIVED)).encode()),
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
]
_MAX_BODY_SECONDS = 20.0  # Chatwoot itself waits 5
_MAX_JUDGED_AT_ONCE = 2  # bodies that are hashed in threads
_accepted = metrics.deliveries_received.labels("accepted")


class Webhook:
    """Keeps each delivery of Chatwoot; the ASGI application of the address."""

    def __init__(
        self,
        recorder: Recorder,
        directory: Directory,
        max_bytes: int,
        strangers: Strangers,
        observer: MessageObserver,
    ) -> None:
        self._recorder = recorder
        self._directory = directory
        self._max_bytes = max_bytes
        self._observer = observer
        self._strangers = strangers
        self._judging = asyncio.Semaphore(_MAX_JUDGED_AT_ONCE)
        # one of a kind, and no secret: chance for the process, a count within it
        self._uid_prefix = os.urandom(8).hex()
        self._uids = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep one delivery and answer 200. Raises OmniError where it does not, and
        ClientDisconnect when the client goes: nothing is kept then.
        """
        span: Span | None = None
        try:
            delivery = await self._read_delivery(scope, receive)
            if self._observer.has_traces:
                span = self._observer.webhook_began(delivery.received_us, delivery.headers)
            await self._recorder.append(delivery)
        except OmniError as error:
            metrics.deliveries_received.labels(error.code).inc()
            if span is not None:
                span.end(self._directory.now_us(), error.code)
            raise
        _accepted.inc()
        await send({"type": "http.response.start", "status": 200, "headers": _ANSWER})
        await send({"type": "http.response.body", "body": _RECEIVED})
        if span is not None:
            span.end(self._directory.now_us())

    async def _read_delivery(self, scope: Scope, receive: Receive) -> Delivery:
        """Read and judge a delivery. Raises BadRequest, TooLarge, HeaderTooLarge, UnsupportedMedia
        for what cannot be kept, BadSignature for what must not be.
        """
        received_us = self._directory.now_us()
        headers, length = self._read_headers(scope)
        address = scope["client"][0] if scope.get("client") else ""
        self._strangers.check(address)
        announced = parse_digits(length.decode("latin-1"))
        size = self._max_bytes if announced is None else announced
        if size <= SMALL_BYTES:  # nearly all; the connection itself sees to it that one goes on
            body = await receive_body(receive, length, self._max_bytes)
            return await self._judge(address, headers, body, received_us)
        async with self._strangers.reading(address, min(size, self._max_bytes)):
            try:
                async with asyncio.timeout(_MAX_BODY_SECONDS):
                    body = await receive_body(receive, length, self._max_bytes)
            except TimeoutError:
                raise BadRequest("The body did not come in time") from None
            return await self._judge(address, headers, body, received_us)

    async def _judge(
        self, address: str, headers: dict[str, str], body: bytes, received_us: int
    ) -> Delivery:
        """Return the delivery with whose it is, and what may be kept of it. One that turns out to
        be nobody's or forged is counted against its address.
        """
        heading, text = self._read_heading(address, body)
        is_judged = self._knows(heading)
        integration_id: int | None = None
        if is_judged:
            try:
                if self._takes_long(heading, len(body)):
                    integration_id = await self._verify_in_thread(
                        heading, headers, body, received_us
                    )
                else:
                    integration_id = self._directory.verify(
                        heading.account_id, heading.inbox_id, headers, body, received_us
                    )
            except BadSignature:
                self._strangers.note_fault(address, len(body))
                raise
            if (verified := self._directory.integrations.get(integration_id or 0)) is not None:
                self._strangers.note_verified(address, verified.company_id)
            # a signature that nobody can judge yet is judged again by ingest, which needs the body
            # as it was signed
            is_judged = integration_id is not None or SIGNATURE_HEADER not in headers
            text = strip_credentials(body).decode() if is_judged else text
        elif self._directory.is_loaded:
            self._strangers.admit(address, len(body))
            headers[journal.STRANGER] = "1"
        return Delivery(
            uid=f"{self._uid_prefix}{next(self._uids):016x}",
            received_us=received_us,
            body=text,
            headers=headers,
            integration_id=integration_id,
            is_verified=is_judged,
            company_id=self._turn_of(heading.account_id, heading.inbox_id, integration_id),
        )

    def _read_heading(self, address: str, body: bytes) -> tuple[Heading, str]:
        """Return whom the body names, and its text. Raises BadRequest for one that cannot be kept,
        and counts that against its address.
        """
        try:
            if len(body) > SMALL_BYTES and has_too_many_values(body, MAX_JSON_VALUES):
                raise ValueError("too many values: reading them would keep everybody waiting")
            heading = read_heading(body, SMALL_BYTES)
            text = body.decode()
        except ValueError:
            self._strangers.note_fault(address, len(body))
            raise BadRequest("The body must be JSON in UTF-8, of at most 50,000 values") from None
        if heading.account_id is None and (
            not may_lack_account(heading.event) or len(body) > SMALL_BYTES
        ):
            self._strangers.note_fault(address, len(body))
            raise BadRequest("The delivery names no account")
        return heading, text

    def _knows(self, heading: Heading) -> bool:
        """Whether an integration is known that may take the delivery. One that was added a moment
        ago is not known here yet: ingest judges what is for it, and waits for the directory.
        """
        return self._directory.is_loaded and self._directory.knows(
            heading.account_id, heading.inbox_id
        )

    def _takes_long(self, heading: Heading, size: int) -> bool:
        """Whether the body is verified in a thread."""
        return (
            heading.account_id is None
            or size > SMALL_BYTES
            or self._directory.takes_long(heading.account_id, heading.inbox_id, size)
        )

    async def _verify_in_thread(
        self, heading: Heading, headers: dict[str, str], body: bytes, received_us: int
    ) -> int | None:
        """Verify where there is much to hash: a large body, or many secrets. Raises
        BadSignature.
        """
        async with self._judging:
            return await asyncio.to_thread(
                self._directory.verify,
                heading.account_id,
                heading.inbox_id,
                headers,
                body,
                received_us,
            )

    def _read_headers(self, scope: Scope) -> tuple[dict[str, str], bytes]:
        """Return what is kept of the headers, with the address's key as `KEY_HEADER`, and the
        length as it was sent. Raises HeaderTooLarge, UnsupportedMedia.
        """
        headers, length = dict[str, str](), b""
        for name, value in scope["headers"]:
            if (kept := _KEPT_HEADERS.get(name)) is not None:
                if len(value) > kept[1]:
                    raise HeaderTooLarge(f"The header {kept[0]} is longer than {kept[1]} bytes")
                headers[kept[0]] = value.decode("latin-1")
            elif name == _TRACE_HEADER and self._observer.has_traces:
                if len(value) <= _TRACE_BYTES:
                    headers[CARRIED] = value.decode("latin-1")
            elif name == _LENGTH:
                length = value
            elif name == _ENCODING and value != b"identity":
                raise UnsupportedMedia
        if (key := key_of(scope.get("query_string", b""))) is not None:
            headers[KEY_HEADER] = key
        return headers, length

    def _turn_of(
        self, account_id: int | None, inbox_id: int | None, integration_id: int | None
    ) -> int:
        """Return the company whose turn it takes in ingest; a hint, which decides nothing else."""
        if not self._directory.is_loaded:
            return NOT_JUDGED
        if (known := self._directory.integrations.get(integration_id or 0)) is not None:
            return known.company_id
        return min(self._directory.companies_of(account_id, inbox_id), default=OF_NOBODY)
