"""Bodies of deliveries as JSON: decoded however they are written, and kept without what opens
doors.
"""

import json
import re
from typing import Any

import msgspec

from server.problems import Problem

# of a webhook or a frame: 50,000 take 10 ms to read, and Chatwoot's largest have some hundreds
MAX_JSON_VALUES = 50_000
_WINDOW_BYTES = 1_000_000
_MARK = b"\xef\xbb\xbf"
_CREDENTIAL = re.compile(rb'"pubsub_token"\s*:\s*"(?:[^"\\]|\\.)*"')


def strip_credentials(body: bytes) -> bytes:
    """The body without the contact's live websocket credential (`contact_inbox.pubsub_token`)."""
    kept, end = [], 0
    # found so, and only then matched: a body has 4 KB and one token
    while (at := body.find(b'"pubsub_token"', end)) >= 0:
        match = _CREDENTIAL.match(body, at)
        stop = match.end() if match else at + len(b'"pubsub_token"')
        kept += [body[end:at], b'"pubsub_token":""' if match else body[at:stop]]
        end = stop
    return b"".join([*kept, body[end:]]) if kept else body


def without_mark(body: bytes) -> bytes:
    """Some senders begin with a byte order mark. Every reader of a body must pass over it, or one
    takes what another refuses.
    """
    return body.removeprefix(_MARK)


def decode_json(body: bytes | str) -> Any:
    """Any JSON value. Lone surrogates, which some senders escape, become U+FFFD; a byte order mark
    is passed over. Raises ValueError for what is no JSON.
    """
    body = without_mark(body) if isinstance(body, bytes) else body.removeprefix("\ufeff")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            # the strict decoder refuses lone surrogates and huge numbers; Python's takes them
            return _scrub(json.loads(body, parse_constant=_refuse_constant))
        except RecursionError:
            raise ValueError(Problem.of("payload.too_deep")) from None
    except RecursionError:
        raise ValueError(Problem.of("payload.too_deep")) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return (
            value
            if value.isascii()
            else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        )
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if isinstance(value, dict):
        return {_scrub(key): _scrub(item) for key, item in value.items()}
    return value


def has_too_many_values(body: bytes, most: int) -> bool:
    """Whether JSON of this size would become so many objects that decoding it needs too much time
    and memory.

    Counts outside strings, as a text may be long and hold anything: without escapes each quote
    begins or ends one.
    """
    quotes = signs = at = 0
    while at < len(body):
        end = _end_of_window(body, at)
        pieces = body[at:end].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[quotes % 2 :: 2])
        quotes += len(pieces) - 1
        signs += outside.count(b"[") + outside.count(b"{") + outside.count(b",")
        if quotes > most or signs > most:
            return True
        at = end
    return False


def _end_of_window(body: bytes, begin: int) -> int:
    """Never between a backslash and what it escapes. A window at a time, as a copy of the whole is
    memory too.
    """
    end = min(begin + _WINDOW_BYTES, len(body))
    window = body[begin:end]
    escapes = len(window) - len(window.rstrip(b"\\"))
    return min(end + escapes % 2, len(body))
