"""Writes to the simulated Chatwoot's records, each with the events that its callbacks emit.

Sources in Chatwoot: app/models/message.rb and conversation.rb (callbacks, `list_of_keys`),
app/models/contact.rb.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from server.lab.chatwoot_sim import webhook_bodies
from server.lab.chatwoot_sim.event_source import EventSource
from server.lab.chatwoot_sim.model import (
    ACTIVITY,
    CONVERSATION_STATUSES,
    INCOMING,
    WEB_WIDGET,
    Attachment,
    Contact,
    Conversation,
    Inbox,
    JsonObject,
    Message,
    User,
)
from server.lab.chatwoot_sim.samples import Pointer, Upload

# config/locales/en.yml, conversations.activity.status
_STATUS_WORDS = {
    "open": "reopened",
    "resolved": "marked resolved",
    "pending": "marked as pending",
    "snoozed": "snoozed",
}


_COLUMNS = {one.name for one in dataclasses.fields(Attachment)}


class SimWrites(EventSource):
    """Records whose changes emit events."""

    def set_status(
        self,
        conversation: Conversation | int,
        status: str,
        *,
        by: User | None = None,
        snoozed_until: float | None = None,
    ) -> None:
        """Two events: `conversation_status_changed` (its `changed_attributes` is null) and
        `conversation_updated`.
        """
        if status not in CONVERSATION_STATUSES:
            raise ValueError(f"{status!r} is not a valid status")
        found = self.resolve(conversation)
        if found.status == status and found.snoozed_until == snoozed_until:
            return
        with self._transaction():
            if status != found.status:
                self._emit_conversation("conversation_status_changed", found)
            self._update(found, status=status, snoozed_until=snoozed_until)
            if status == "resolved":
                found.waiting_since = None
            actor = by.name if by else "system"
            self._activity(
                found,
                f"Conversation was {_STATUS_WORDS[status]} by {actor}",
                {"activity": {"type": "conversation_status_changed", "status": status}},
            )

    def start_conversation(
        self, contact: Contact, inbox: Inbox, attributes: JsonObject | None = None
    ) -> Conversation:
        """Begin a conversation without a message; `attributes` are those of its channel."""
        with self._transaction():
            return self._start_conversation(contact, inbox, attributes)

    def update_message(self, message: Message, **values: Any) -> None:
        """Set columns of a message, as a customer's answer or a channel's service does."""
        self._update_message(message, **values)

    def transcribe(self, message: Message, text: str) -> None:
        """The spoken words of the message's recordings are known: `message_updated`."""
        for attachment in message.attachments:
            attachment.transcribed_text = text
        self._update_message(message)

    # -- changes of a record --

    def _update(self, conversation: Conversation, **values: Any) -> None:
        """Save changed columns and emit `conversation_updated` with them; nothing where nothing
        changed.
        """
        changes: dict[str, tuple[Any, Any]] = {}
        for name, value in values.items():
            before = getattr(conversation, name)
            if before != value:
                changes |= webhook_bodies.described_change(name, before, value)
                setattr(conversation, name, value)
        if not changes:
            return
        before_at, conversation.updated_at = conversation.updated_at, self.now()
        noise = webhook_bodies.described_change("updated_at", before_at, conversation.updated_at)
        self._emit_conversation("conversation_updated", conversation, noise | changes)

    def _update_message(self, message: Message, **values: Any) -> None:
        with self._transaction():
            before, message.updated_at = message.updated_at, self.now()
            changes = {
                "updated_at": [
                    webhook_bodies.iso_ms(before),
                    webhook_bodies.iso_ms(message.updated_at),
                ]
            }
            for name, value in values.items():
                earlier = getattr(message, name)
                if name != "attachments" and earlier != value:  # they are rows of their own
                    changes[name] = [earlier, value]
                setattr(message, name, value)
            self._emit_message("message_updated", message, changes)

    def _touch_contact(self, contact: Contact, changes: dict[str, tuple[Any, Any]]) -> None:
        before, contact.updated_at = contact.updated_at, self.now()
        listed = webhook_bodies.changed_attributes(
            changes | webhook_bodies.described_change("updated_at", before, contact.updated_at)
        )
        self._emit_contact("contact_updated", contact, listed)

    # -- the life of a message --

    def _start_conversation(
        self, contact: Contact, inbox: Inbox, attributes: JsonObject | None = None
    ) -> Conversation:
        conversation = self._insert_conversation(contact, inbox)
        if attributes is not None:
            conversation.additional_attributes = attributes
        elif inbox.channel == WEB_WIDGET:
            conversation.additional_attributes = {
                "browser": dict(webhook_bodies.BROWSER),
                "referer": f"{self.base_url}/",
                "initiated_at": {"timestamp": webhook_bodies.browser_time(conversation.created_at)},
                "browser_language": "bn",
            }
        self._emit_conversation("conversation_created", conversation)
        return conversation

    def _create_message(
        self,
        conversation: Conversation,
        message_type: int,
        text: str | None,
        sender: Contact | User | None,
        attachments: Sequence[Upload | Pointer],
        fields: dict[str, Any],
    ) -> Message:
        with self._transaction():
            message = self._insert_message(
                conversation, message_type, {"content": text, "sender": sender, **fields}
            )
            message.attachments = [self._attach(message, upload) for upload in attachments]
            if (
                message_type == INCOMING
                and conversation.status in ("resolved", "snoozed")
                and not conversation.muted
            ):
                self.set_status(conversation, "open")
            self._emit_message("message_created", message)
            self._after_message(message)
        return message

    def _after_message(self, message: Message) -> None:
        conversation, sender = message.conversation, message.sender
        if message.message_type == INCOMING:
            if conversation.waiting_since is None:
                self._update(conversation, waiting_since=message.created_at)
            conversation.contact_last_seen_at = message.created_at
            contact = conversation.contact
            before, contact.last_activity_at = contact.last_activity_at, message.created_at
            # so a contact_updated follows every incoming message (Chatwoot's issue #11973)
            self._touch_contact(
                contact,
                {
                    "last_activity_at": (
                        webhook_bodies.iso_ms(before),
                        webhook_bodies.iso_ms(message.created_at),
                    )
                },
            )
        elif isinstance(sender, User) and sender.kind == "user" and not message.private:
            first = conversation.first_reply_created_at or message.created_at
            self._update(conversation, first_reply_created_at=first, waiting_since=None)

    def _activity(
        self, conversation: Conversation, text: str, attributes: JsonObject | None = None
    ) -> None:
        """A line like "Assigned to …": in REST lists and on the agents' socket, never in a
        webhook.
        """
        fields = {"content": text, "content_attributes": attributes or {}}
        self._emit_message("message_created", self._insert_message(conversation, ACTIVITY, fields))

    def _attach(self, message: Message, upload: Upload | Pointer) -> Attachment:
        attachment = Attachment(
            id=self._next_id("attachments"),
            message_id=message.id,
            account_id=message.conversation.account.id,
            name="",
            key=self.new_token(),
            content=b"",
            content_type="",
            file_type=upload.file_type,
        )
        columns = {one.name for one in dataclasses.fields(upload)} & _COLUMNS
        for column in columns:
            setattr(attachment, column, getattr(upload, column))
        self.attachments[attachment.key] = attachment
        return attachment
