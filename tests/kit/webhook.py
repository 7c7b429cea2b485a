"""What Chatwoot posts: the documented simple body, realistic ones from tests/payloads, and the
signature headers.
"""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

PAYLOADS = Path(__file__).parent.parent / "payloads"
WEBHOOK_PATH = "/api/webhooks/chatwoot"

Payload = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """One POST, ready to be sent; sending it twice is a duplicate."""

    body: bytes
    headers: Mapping[str, str]

    async def post(self, client: httpx.AsyncClient, path: str = WEBHOOK_PATH) -> httpx.Response:
        return await client.post(path, content=self.body, headers=dict(self.headers))


def simple_payload(
    content: str = "Hello",
    *,
    conversation_id: int = 481,
    contact_id: int = 9071,
    account_id: int = 3,
    name: str = "Léa Moreau",
    identifier: str | None = "crm-55012",
    message_type: Literal[0, 1] = 0,
    created_at: int | None = None,
    event: str = "message_created",
) -> Payload:
    """The documented body: no message id, contact at top level, `message_type` 0 from the customer,
    1 from an agent, `created_at` in unix seconds (None: now).
    """
    return {
        "event": event,
        "account": {"id": account_id},
        "conversation": {"id": conversation_id, "contact_inbox": {"contact_id": contact_id}},
        "contact": {"id": contact_id, "name": name, "identifier": identifier},
        "content": content,
        "message_type": message_type,
        "created_at": int(time.time()) if created_at is None else created_at,
    }


def realistic_payload(name: str, changes: Mapping[str, Any] | None = None) -> Payload:
    """The body in tests/payloads/`name`.json with `changes` merged in: objects key by key,
    everything else replaced.
    """
    payload: Payload = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
    return _merged(payload, changes or {})


def encode_body(payload: Payload) -> bytes:
    """JSON as Rails writes it: compact, UTF-8, with `&`, `<` and `>` escaped."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    # these characters stand only inside strings, so the text may be replaced as a whole
    for character in "&<>":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def sign_body(body: bytes, secret: str, timestamp: str) -> str:
    """The value of `X-Chatwoot-Signature`; `timestamp` is the text sent in
    `X-Chatwoot-Timestamp`.
    """
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return "sha256=" + digest.hexdigest()


def delivery_of(
    payload: Payload | bytes,
    *,
    secret: str | None = None,
    timestamp: int | None = None,
    delivery_id: str | None = None,
) -> Delivery:
    """A POST of that payload (bytes are sent as they are), signed if there is a secret; `timestamp`
    in unix seconds (None: now).
    """
    body = payload if isinstance(payload, bytes) else encode_body(payload)
    headers = {
        "Content-Type": "application/json",
        "X-Chatwoot-Delivery": delivery_id or str(uuid.uuid4()),
    }
    if secret is not None:
        sent_at = str(int(time.time()) if timestamp is None else timestamp)
        headers |= {
            "X-Chatwoot-Timestamp": sent_at,
            "X-Chatwoot-Signature": sign_body(body, secret, sent_at),
        }
    return Delivery(body, headers)


def _merged(base: Payload, changes: Mapping[str, Any]) -> Payload:
    merged = dict(base)
    for key, value in changes.items():
        held = merged.get(key)
        merged[key] = (
            _merged(held, value) if isinstance(held, dict) and isinstance(value, Mapping) else value
        )
    return merged
