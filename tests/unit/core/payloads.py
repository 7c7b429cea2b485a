"""What tests of payloads share."""

from typing import Any

from server.core.chatwoot.changes import Change, MessageState
from server.core.chatwoot.payloads import parse_delivery
from server.core.times import SECOND
from tests.kit.webhook import PAYLOADS, encode_body, simple_payload

RECEIVED_US = 1_784_365_900 * SECOND


MESSAGES = sorted(path.stem for path in PAYLOADS.glob("message_*.json"))


CONVERSATIONS = sorted(path.stem for path in PAYLOADS.glob("conversation_[!t]*.json"))


def parse(payload: Any) -> Change:
    return parse_delivery(encode_body(payload), RECEIVED_US)


def message_of(payload: Any) -> MessageState:
    message = parse(payload).message
    assert message is not None
    return message


def documented(**changes: Any) -> dict[str, Any]:
    payload = simple_payload(
        conversation_id=67890,
        contact_id=111,
        name="John Doe",
        identifier="john-1",
        created_at=1_700_000_000,
    )
    return payload | changes
