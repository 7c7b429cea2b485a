"""Chatwoot's webhook signature: `sha256=` + hex HMAC-SHA256 of `timestamp.raw_body` with the
webhook's secret as its literal text.

Source: Chatwoot `lib/webhooks/trigger.rb` (request_headers), since 4.12. The raw bytes count: Rails
escapes `<`, `>` and `&`.
"""

import hmac

from server.core.identifiers import parse_digits


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of `X-Chatwoot-Signature` for a body: HMAC-SHA256 over timestamp, dot and
    body.
    """
    return (
        f"sha256={hmac.digest(secret.encode(), timestamp.encode() + b'.' + body, 'sha256').hex()}"
    )


def is_signed(
    secret: str,
    signature: str | None,
    timestamp: str | None,
    body: bytes,
    now_seconds: float,
    tolerance_seconds: float,
) -> bool:
    """Whether the signature is good and young enough, by our own clock; compared in constant
    time.
    """
    sent_seconds = parse_digits(timestamp) if timestamp else None
    if not signature or timestamp is None or sent_seconds is None:
        return False
    is_equal = hmac.compare_digest(
        sign(secret, timestamp, body).encode(), signature.encode("utf-8", "replace")
    )
    return is_equal and abs(now_seconds - sent_seconds) <= tolerance_seconds
