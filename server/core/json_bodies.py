"""Bodies of deliveries as JSON: decoded however they are written, and kept without what opens doors."""

import json
import re
from typing import Any

import msgspec

_CREDENTIAL = re.compile(rb'"pubsub_token"\s*:\s*"(?:[^"\\]|\\.)*"')


def strip_credentials(body: bytes) -> bytes:
    """The body without the contact's live websocket credential (`contact_inbox.pubsub_token`)."""
    kept, end = [], 0
    while (at := body.find(b'"pubsub_token"', end)) >= 0:  # found so, and only then matched: a body has 4 KB and one token
        match = _CREDENTIAL.match(body, at)
        stop = match.end() if match else at + len(b'"pubsub_token"')
        kept += [body[end:at], b'"pubsub_token":""' if match else body[at:stop]]
        end = stop
    return b"".join([*kept, body[end:]]) if kept else body


def decode_json(body: bytes | str) -> Any:
    """Any JSON value. Lone surrogates, which some senders escape, become U+FFFD. Raises ValueError for what is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            # the strict decoder refuses lone surrogates and huge numbers; Python's takes them
            return _scrub(json.loads(body, parse_constant=_refuse_constant))
        except RecursionError:
            raise ValueError("nested too deeply") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if isinstance(value, dict):
        return {_scrub(key): _scrub(item) for key, item in value.items()}
    return value
