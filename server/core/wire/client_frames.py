"""What a client says on its socket, and what it is answered: messages of `docs/protocol.md`, typed.
Pure.
"""

from typing import Any

import msgspec

from server.close_codes import is_final
from server.core.times import iso
from server.core.token_buckets import Bucket
from server.errors import OmniError

PROTOCOL_VERSION = 1
MIN_PROTOCOL_VERSION = 1
FRAMES_PER_SECOND = 20.0  # a person's page sends well below one; a reconnecting worker a handful
FRAMES_BURST = 60.0


class Hello(msgspec.Struct, tag="hello", tag_field="type", frozen=True):
    """The first frame: who signs in, and the cursor to go on from."""

    token: str | None = None
    cursor: str | None = None
    client: str | None = None
    visible: bool = True
    version: int = PROTOCOL_VERSION
    agent: int | None = None  # whom the page was made for


class Pong(msgspec.Struct, tag="pong", tag_field="type", frozen=True):
    """The answer to ping, with the cursor the client has come to."""

    id: int | None = None
    cursor: str | None = None


class Auth(msgspec.Struct, tag="auth", tag_field="type", frozen=True):
    """A new token, before the present one expires."""

    token: str


class Viewing(msgspec.Struct, tag="viewing", tag_field="type", frozen=True, rename="camel"):
    """The conversation the agent has open; null: none."""

    conversation_id: int | None


class Typing(msgspec.Struct, tag="typing", tag_field="type", frozen=True, rename="camel"):
    """That the agent began or stopped typing in a conversation; `to_customer`: a reply, which the
    customer may see coming. Without it nobody but colleagues is told: it may be a note.
    """

    conversation_id: int
    on: bool
    to_customer: bool = False


class Unknown(msgspec.Struct, frozen=True):
    """A type of a newer client: ignored."""


ClientMessage = Hello | Pong | Auth | Viewing | Typing | Unknown

_decoder = msgspec.json.Decoder(Hello | Pong | Auth | Viewing | Typing)
_loose = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()
_KNOWN = ("hello", "pong", "auth", "viewing", "typing")


def parse_client_message(text: bytes) -> ClientMessage:
    """Raises ValueError for what is no JSON object with a `type`, or a known type with fields of
    the wrong kind.
    """
    try:
        message: ClientMessage = _decoder.decode(text)
    except msgspec.ValidationError:
        kind = _loose_object(text).get("type")
        if isinstance(kind, str) and kind not in _KNOWN:
            return Unknown()
        raise ValueError("a field has the wrong type") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ValueError("not a JSON message") from None
    return message


def _loose_object(text: bytes) -> dict[str, Any]:
    try:
        message: dict[str, Any] = _loose.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("not a JSON object") from None
    return message


def frame_budget(now: float) -> Bucket:
    """Return the token bucket that limits how many frames one socket may send."""
    return Bucket(FRAMES_PER_SECOND, FRAMES_BURST, now)


def encode_message(kind: str, **fields: Any) -> bytes:
    """A server message; its fields come in the camelCase of the wire."""
    return _encoder.encode({"type": kind, **fields})


def encode_ping(number: int, cursor: str, now_us: int) -> bytes:
    """Encode the frame `ping`: everything up to `cursor` has been written to this socket."""
    return encode_message("ping", id=number, cursor=cursor, now=iso(now_us))


def encode_error(error: OmniError) -> bytes:
    """What is said before the close that follows."""
    retry_ms = None if error.retry_seconds is None else error.retry_seconds * 1000
    return encode_message(
        "error",
        code=error.code,
        message=error.message,
        retryMs=retry_ms,
        fatal=is_final(error.close_code),
    )
