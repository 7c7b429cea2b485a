"""The recorded kinds of messages (`tests/real/kinds.jsonl.gz`), each with what an agent must see of
it (`tests/real/kinds.toml`), and the same messages as the agents' socket shows them.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from server.core.times import parse_time
from tests.kit.recorded import REAL, read_lines

Json = dict[str, Any]
EXPECTED: Mapping[str, Json] = tomllib.loads((REAL / "kinds.toml").read_text(encoding="utf-8"))
# some recordings are of what became of a conversation
KINDS: Mapping[str, Json] = {
    one["kind"]: {**one, "webhooks": told}
    for one in read_lines("kinds")
    if (told := [hook for hook in one["webhooks"] if hook["event"].startswith("message_")])
}
_CHANNELS = {
    "Kinds WhatsApp": "Whatsapp",
    "Kinds WhatsApp 360": "Whatsapp",
    "Kinds Mail": "Email",
    "Kinds Website": "WebWidget",
    "Kinds API": "Api",
    "Kinds SMS": "Sms",
    "Kinds NotificaMe": "NotificaMe",
    "Kinds Facebook": "FacebookPage",
    "Kinds Instagram": "Instagram",
    "Kinds LINE": "Line",
    "Kinds Telegram": "Telegram",
    "Kinds TikTok": "Tiktok",
    "Kinds Twilio SMS": "TwilioSms",
    "Kinds Twilio WhatsApp": "TwilioSms",
}
_TYPES = {"incoming": 0, "outgoing": 1, "template": 3}
# of a message of the socket, beside its numbers and its times (message.rb, push_event_data)
_OF_THE_SOCKET = (
    *("content", "private", "status", "source_id", "content_type", "content_attributes"),
    *("attachments", "additional_attributes"),
)


def webhooks(kind: str) -> list[Json]:
    """The webhooks of a kind, updates last, with the conversation that the recording left out."""
    hooks = sorted(KINDS[kind]["webhooks"], key=lambda one: (one["event"], one["id"]))
    return [with_conversation(hook, place) for place, hook in enumerate(hooks)]


def with_conversation(hook: Json, place: int) -> Json:
    """A webhook with a conversation of its inbox; each `place` is a newer version of it."""
    channel = _CHANNELS[hook["inbox"]["name"]]
    sender = hook["sender"] if hook["message_type"] == "incoming" else {"id": 1, "name": "Somebody"}
    conversation = {
        "id": hook["conversation"]["id"],
        "inbox_id": hook["inbox"]["id"],
        "channel": f"Channel::{channel}",
        "status": "open",
        "can_reply": True,
        "messages": [],
        "labels": [],
        "meta": {"sender": sender},
        "contact_inbox": {"contact_id": sender["id"]},
        "unread_count": 99,  # nothing of it is read
        "updated_at": (parse_time(hook["created_at"]) or 0) / 1_000_000 + place,
    }
    return {**hook, "conversation": conversation}


def frame(hook: Json) -> Json:
    """The message of the agents' socket that went with a webhook."""
    created_us = parse_time(hook["created_at"]) or 0
    sender = hook["sender"]
    data = {
        "id": hook["id"],
        "account_id": 6,
        "inbox_id": hook["inbox"]["id"],
        "conversation_id": hook["conversation"]["id"],
        "message_type": _TYPES[hook["message_type"]],
        "created_at": created_us // 1_000_000,
        "updated_at": hook["created_at"],
        "conversation": {"contact_inbox": {"source_id": "x"}, "unread_count": 99},
        **{name: hook[name] for name in _OF_THE_SOCKET if name in hook},
    }
    if sender:
        data["sender"] = {"type": "contact", **sender}
    return {"event": hook["event"].replace("_", "."), "data": data}
