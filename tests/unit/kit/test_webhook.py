"""The deliveries tests post are those Chatwoot would."""

import json

import pytest

from tests.kit.webhook import (
    PAYLOADS,
    delivery_of,
    encode_body,
    realistic_payload,
    sign_body,
    simple_payload,
)


def test_signature_vector() -> None:
    """A signature checked by other means, over a body with Rails' escapes."""
    body = encode_body({"event": "message_created", "id": 88120, "content": "Tom & Léa <3"})
    assert (
        body
        == '{"event":"message_created","id":88120,"content":"Tom \\u0026 Léa \\u003c3"}'.encode()
    )
    signature = sign_body(body, "u7Qm3ZtJ1xYb9Kc2Vw5Rn8Ld", "1784365266")
    assert signature == "sha256=785cf255431a9e23243a0c0d1e3e6f0a8366a8ee173e697deee580c773c1d439"


def test_unsigned_delivery_has_an_id() -> None:
    """Without a secret there is no signature, and the delivery id all the same."""
    headers = delivery_of(simple_payload()).headers
    assert "X-Chatwoot-Delivery" in headers
    assert "X-Chatwoot-Signature" not in headers


def test_signed_delivery_carries_its_timestamp() -> None:
    """What was signed is what is sent."""
    delivery = delivery_of(simple_payload("hi", created_at=5), secret="s", timestamp=7)
    assert delivery.headers["X-Chatwoot-Signature"] == sign_body(delivery.body, "s", "7")
    assert json.loads(delivery.body)["created_at"] == 5


def test_changes_merge_into_objects() -> None:
    """A change deep inside leaves its neighbours alone, and the file as it was."""
    if not (PAYLOADS / "message_created.incoming.json").exists():
        pytest.skip("no payloads yet")
    original = realistic_payload("message_created.incoming")
    changed = realistic_payload("message_created.incoming", {"id": 5, "conversation": {"id": 6}})
    assert (changed["id"], changed["conversation"]["id"]) == (5, 6)
    assert changed["conversation"] == {**original["conversation"], "id": 6}
    assert realistic_payload("message_created.incoming") == original
