"""Answers in the forms that all endpoints share: JSON, problems, and lists that carry the cursor
they were read at.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from server.core.chatwoot.json_bodies import decode_json, has_too_many_values
from server.core.identifiers import parse_digits
from server.core.state.entities import Json
from server.db.access.agent_rows import Agent
from server.errors import BadRequest, OmniError, TooLarge
from server.problems import Problem

_encoder = msgspec.json.Encoder()
MAX_BODY_BYTES = 1_000_000  # a reply has up to 150,000 characters, four bytes each, escaped

_MAX_VALUES = 5_000  # no call has a hundred

Handler = Callable[[Request], Awaitable[Response]]


def json_answer(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the value as a JSON response."""
    return Response(_encoder.encode(value), status, headers, media_type="application/json")


def agent_json(agent: Agent) -> Json:
    """Return an agent as they see themselves in the API."""
    return {
        "id": agent.id,
        "companyId": agent.company_id,
        "name": agent.name,
        "email": agent.email,
        "role": agent.role,
    }


def problem_answer(error: OmniError, headers: Mapping[str, str] | None = None) -> Response:
    """Return `application/problem+json` (RFC 9457) with `code` for programs and `message` for
    people.
    """
    body: dict[str, Any] = {
        "type": f"urn:omni-inbox:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "message": error.message,
    }
    body.update(error.extra)
    extra = dict(headers or {})
    if error.retry_seconds is not None:
        extra["Retry-After"] = str(error.retry_seconds)
    if error.status == 401:
        extra["WWW-Authenticate"] = 'Bearer realm="omni-inbox"'
    return Response(
        _encoder.encode(body), error.status, extra, media_type="application/problem+json"
    )


async def read_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the raw body. Raises TooLarge as soon as it is longer, without reading the rest."""
    return await receive_body(
        request.receive, request.headers.get("content-length", "").encode(), max_bytes
    )


async def receive_body(receive: Receive, length: bytes, max_bytes: int) -> bytes:
    """Return the body of ASGI messages; `length` is the Content-Length as it was sent. Raises
    TooLarge, and ClientDisconnect when the client goes.
    """
    announced = parse_digits(length.decode("latin-1"))
    if announced is not None and announced > max_bytes:
        raise TooLarge(f"The body has {announced:,} bytes; at most {max_bytes:,} are taken")
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"The body is longer than {max_bytes:,} bytes")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def read_json(request: Request, max_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Return the body, which must be a JSON object; an empty body is an empty object. Raises
    BadRequest, TooLarge.
    """
    body = await read_body(request, max_bytes)
    if not body:
        return {}
    # reading them would keep everybody waiting
    if len(body) > _MAX_VALUES and has_too_many_values(body, _MAX_VALUES):
        raise BadRequest(f"The body has more than {_MAX_VALUES:,} values")
    try:
        value = decode_json(body)
    except ValueError:
        raise BadRequest("The body is no JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object")
    return value


def path_number(request: Request, name: str) -> int:
    """Return a number of the path; 0, which is nothing's id, where there is anything else."""
    text = request.path_params[name]
    return parse_digits(text) or 0 if isinstance(text, str) else 0


def query_number(request: Request, name: str, maximum: int) -> int | None:
    """Return a positive whole number of the query, at most `maximum`; None where it is absent or
    empty. Raises BadRequest.
    """
    text = request.query_params.get(name)
    if text is None or text == "":
        return None
    number = parse_digits(text)
    if not number:
        raise BadRequest(Problem.of("field.number", field=name))
    return min(number, maximum)
