"""Data of the agents' socket, as recorded: close to REST's objects, and with the account's number
in place of the account.

Source in Chatwoot: app/listeners/action_cable_listener.rb (`broadcast` adds `account_id` and, where
somebody did it, `performer`).
"""

from typing import Any

from server.lab.chatwoot_sim.model import (
    Contact,
    Conversation,
    JsonObject,
    Message,
    User,
)
from server.lab.chatwoot_sim.webhook_bodies import (
    contact_push,
    conversation_data,
    message_push,
    sender_push,
)


def message_frame(
    message: Message, base_url: str, changes: dict[str, list[Any]] | None = None
) -> JsonObject:
    """A message as the agents' socket shows it; `changes`: its columns before and after."""
    data = message_push(message, base_url)
    if changes is not None:
        data["previous_changes"] = changes
    return data


def conversation_frame(
    conversation: Conversation, base_url: str, performer: User | None = None
) -> JsonObject:
    """A conversation as the agents' socket shows it."""
    data = conversation_data(conversation, base_url)
    data["account_id"] = data.pop("account")["id"]
    return data | _performed(performer)


def typing_frame(
    conversation: Conversation, by: Contact | User, base_url: str, private: bool
) -> JsonObject:
    """A typing notice as the agents' socket shows it: its conversation names no account."""
    shown = conversation_data(conversation, base_url)
    del shown["account"]
    performer = by if isinstance(by, User) else None
    data: JsonObject = {"conversation": shown, "user": sender_push(by), "is_private": private}
    return data | {"account_id": conversation.account.id} | _performed(performer)


def contact_frame(contact: Contact, performer: User | None = None) -> JsonObject:
    """A contact as the agents' socket shows it."""
    return contact_push(contact) | {"account_id": contact.account.id} | _performed(performer)


def _performed(by: User | None) -> dict[str, Any]:
    return {"performer": sender_push(by)} if by else {}
