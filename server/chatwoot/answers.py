"""What Chatwoot's answers and httpx's failures mean to us. The only place where they are
translated.

Error bodies as in Chatwoot's request_exception_handler.rb: `{"error"}`, `{"message", "attributes"}`
or `{"errors": []}`.
"""

import json
import socket
import ssl
from typing import Any

import httpx

from server.chatwoot.allowed_addresses import ForbiddenAddress
from server.errors import OmniError
from server.problems import Problem, Text

JsonObject = dict[str, Any]

MAX_SENTENCE_CHARACTERS = 300

# These fail before a byte of the request is on its way, so even a write may be tried again
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
# An address, a token or a text (a lone surrogate) that cannot even be put into a request
IMPOSSIBLE = (
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
    UnicodeEncodeError,
)

# message.rb: 200 messages a conversation and minute; a 422 that passes by itself
_TOO_MANY_MESSAGES = "Too many messages"


class ChatwootError(OmniError):
    """Whatever went wrong between us and Chatwoot. `message` may quote Chatwoot's sentence, never a
    token or a message's text.
    """

    code = "chatwoot_failed"
    status = 502
    title = "Chatwoot did not carry this out"


class ChatwootRefused(ChatwootError):
    """Final: the same request will be refused again. `chatwoot_status` 0: it could not even be
    sent.
    """

    code = "chatwoot_refused"
    title = "Chatwoot refused this"

    def __init__(self, chatwoot_status: int, problem: Text) -> None:
        super().__init__(problem)
        self.chatwoot_status = chatwoot_status


class ChatwootUnavailable(ChatwootError):
    """Nothing was done; the same request may be made again later."""

    code = "chatwoot_unavailable"
    retry_seconds = 5
    title = "Chatwoot cannot be reached right now; try again in a moment"


class ChatwootUnanswered(ChatwootUnavailable):
    """A read was begun there, and no answer came in time: Chatwoot may still be at work on it."""


class ChatwootOutcomeUnknown(ChatwootError):
    """A write whose answer never came, or came broken: look whether it took effect before making it
    again.
    """

    code = "chatwoot_outcome_unknown"
    retry_seconds = 5
    title = "Chatwoot did not confirm this; whether it was carried out is being found out"


class ChatwootUnexpected(ChatwootError):
    """A read was answered 2xx with something that is not Chatwoot's documented form: another
    program at this address?
    """

    code = "chatwoot_unexpected"
    title = "What answers at this address does not look like Chatwoot"
    problem_code = "chatwoot.unexpected_answer"


class ChatwootTooLong(ChatwootUnexpected):
    """A read was answered with more bytes than we take: ask for less."""

    title = "Chatwoot's answer is far too long"
    problem_code = ""


def failure_of(problem: Exception, *, is_write: bool) -> ChatwootError:
    """What an exception of httpx, or the overall timeout, means."""
    if isinstance(problem, IMPOSSIBLE):
        return ChatwootRefused(0, Problem.of("request.impossible"))
    if _is_forbidden_address(problem):
        return ChatwootRefused(0, Problem.of("base_url.private", host="The base URL"))
    kind = type(problem).__name__
    if is_write and not isinstance(problem, NOT_SENT):
        return ChatwootOutcomeUnknown(Problem.of("chatwoot.unconfirmed", why=kind))
    is_begun = isinstance(problem, (httpx.TimeoutException, TimeoutError)) and not isinstance(
        problem, NOT_SENT
    )
    return (ChatwootUnanswered if is_begun else ChatwootUnavailable)(
        Problem.of("chatwoot.unreachable", why=reason_of(problem))
    )


def reason_of(problem: BaseException) -> Text:
    """Which part of the address does not lead to Chatwoot: its name, its port, or its
    certificate.
    """
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return Problem.of("reason.dns")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Problem.of("reason.certificate", why=cause.verify_message)
        if isinstance(cause, ssl.SSLError):
            return Problem.of("reason.no_tls")
        if isinstance(cause, ConnectionRefusedError):
            return Problem.of("reason.port_closed")
        cause = cause.__cause__ or cause.__context__
    if isinstance(problem, httpx.ConnectTimeout):
        return Problem.of("reason.host_silent")
    return type(problem).__name__


def check_status(
    status: int, body: bytes, location: str, *, is_write: bool, is_quotable: bool = True
) -> None:
    """Return for 2xx; otherwise raise what the status means.

    `is_quotable`: what answered may be shown in its own words; of others the class of the status is
    said alone.
    """
    if 200 <= status < 300:
        return
    told = str(status) if is_quotable else f"{status // 100}xx"
    if status == 429:
        # rack-attack refuses before Chatwoot sees the request: a write was not carried out
        raise ChatwootUnavailable(Problem.of("chatwoot.slow_down"))
    if status >= 500 or status == 408:
        if is_write:
            raise ChatwootOutcomeUnknown(Problem.of("chatwoot.unconfirmed", why=told))
        raise ChatwootUnavailable(Problem.of("chatwoot.has_problem", status=told))
    if 300 <= status < 400 and is_quotable:
        raise ChatwootRefused(status, Problem.of("chatwoot.redirects", other=_origin(location)))
    sentence = sentence_of(body)
    if status == 422 and _TOO_MANY_MESSAGES in sentence:
        raise ChatwootUnavailable(Problem.of("chatwoot.conversation_limit"))
    raise ChatwootRefused(
        status, (is_quotable and sentence) or Problem.of("chatwoot.status", status=told)
    )


def decode_answer(body: bytes, *, is_write: bool) -> Any:
    """The JSON of a 2xx answer. Undecodable: the outcome of a write is unknown, a read may be made
    again.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        if is_write:
            raise ChatwootOutcomeUnknown(Problem.of("chatwoot.confirmation_broken")) from None
        raise ChatwootUnavailable(Problem.of("chatwoot.answer_broken")) from None


def sentence_of(body: bytes) -> str:
    """Chatwoot's own words in an error answer, "" if there are none."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(decoded, dict):
        return ""
    errors = decoded.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    found = next(
        (
            v
            for v in (decoded.get("error"), decoded.get("message"), first)
            if isinstance(v, str) and v
        ),
        "",
    )
    return found[:MAX_SENTENCE_CHARACTERS]


def _is_forbidden_address(problem: BaseException) -> bool:
    """httpx wraps what its network raises."""
    return isinstance(problem.__cause__, ForbiddenAddress)


def _origin(location: str) -> str:
    try:
        url = httpx.URL(location)
    except httpx.InvalidURL:
        return "an unusable address"
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}" if url.host else "another path"
