"""`POST /api/webhooks/chatwoot`: keep the delivery, answer, and nothing else."""

import os
import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server import metrics
from server.core.payloads import read_address, strip_credentials
from server.core.times import SECOND
from server.db.journal import Delivery
from server.directory import DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Directory
from server.endpoints.answers import problem_answer, read_body
from server.errors import BadRequest, OmniError, UnsupportedMedia
from server.ingest import Recorder

_KEPT_HEADERS = (SIGNATURE_HEADER, TIMESTAMP_HEADER, DELIVERY_HEADER)


class Webhook:
    """The handler, with what it was given at the start."""

    def __init__(self, recorder: Recorder, directory: Directory, most_bytes: int) -> None:
        self._recorder, self._directory, self._most_bytes = recorder, directory, most_bytes

    async def receive(self, request: Request) -> Response:
        try:
            await self._recorder.append(await self._delivery(request))
        except OmniError as error:
            metrics.deliveries_received.labels(error.code).inc()
            return problem_answer(error)
        metrics.deliveries_received.labels("accepted").inc()
        return PlainTextResponse("EVENT_RECEIVED")

    async def _delivery(self, request: Request) -> Delivery:
        """Read and judge. Raises BadRequest, TooLarge, UnsupportedMedia for what cannot be kept, BadSignature for what must not be."""
        received_us = int(time.time() * SECOND)
        headers = request.headers
        if headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMedia
        body = await read_body(request, self._most_bytes)
        try:
            account_id, inbox_id = read_address(body)
            text = body.decode()
        except ValueError:
            raise BadRequest("The body must be JSON in UTF-8") from None
        # an integration that was added a moment ago is not known here yet: judged by ingest, which waits for the directory
        is_judged = self._directory.is_loaded and self._directory.knows(account_id, inbox_id)
        integration_id = self._directory.verify(account_id, inbox_id, headers, body) if is_judged else None
        return Delivery(
            uid=os.urandom(16).hex(),
            received_us=received_us,
            body=strip_credentials(body).decode() if is_judged and "pubsub_token" in text else text,
            headers={name: headers[name] for name in _KEPT_HEADERS if name in headers},
            integration_id=integration_id,
            is_verified=is_judged,
        )
