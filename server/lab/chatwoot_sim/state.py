"""The simulated Chatwoot: what people and channels do there, and which events follow.

Sources in Chatwoot: app/models/message.rb, conversation.rb (`list_of_keys`, callbacks), contact.rb,
app/controllers/api/v1/accounts/conversations/messages_controller.rb,
app/listeners/webhook_listener.rb.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from server.lab.chatwoot_sim import sim_frames, webhook_bodies
from server.lab.chatwoot_sim.event_source import EventSource
from server.lab.chatwoot_sim.model import (
    ACTIVITY,
    CONVERSATION_STATUSES,
    DEFAULT_SUBSCRIPTIONS,
    INCOMING,
    OUTGOING,
    TEMPLATE,
    Account,
    Attachment,
    Contact,
    Conversation,
    Inbox,
    Message,
    User,
    Webhook,
)
from server.lab.chatwoot_sim.questions import Questions
from server.lab.chatwoot_sim.samples import Upload

DELETED_TEXT = "This message was deleted"  # config/locales/en.yml


class ChatwootSim(EventSource):
    """One installation with an account, an inbox and an administrator to begin with.

    Every method changes the state at once and queues the webhooks that Chatwoot would send; they
    leave while `webhooks.running()` is entered (`create_app` does it). Everything belongs to one
    event loop; nothing is thread-safe. `clock` gives unix seconds.
    """

    def __init__(
        self,
        *,
        base_url: str = "http://127.0.0.1:3000",
        account_name: str = "Omni Shop",
        account_id: int = 1,
        inbox_id: int = 1,
        token: str | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(base_url, clock, rng, http)
        self.questions = Questions()
        self.account = self.add_account(account_name, id=account_id)
        self.inbox = self.add_inbox("Website", account=self.account, id=inbox_id)
        self.admin = self.add_user(
            "Nadia Karim", account=self.account, role="administrator", token=token
        )

    # -- subscribers --

    def add_webhook(
        self,
        url: str,
        *,
        account: Account | None = None,
        subscriptions: Sequence[str] | None = None,
        secret: str | None = None,
    ) -> Webhook:
        """Subscribe an address; `secret=""` is a Chatwoot before 4.12, which does not sign."""
        hook = Webhook(
            id=self._next_id("webhooks"),
            account=account or self.account,
            url=url,
            secret=self.new_token() if secret is None else secret,
            subscriptions=DEFAULT_SUBSCRIPTIONS if subscriptions is None else tuple(subscriptions),
        )
        self.hooks.append(hook)
        return hook

    # -- contacts --

    def add_contact(self, name: str, *, account: Account | None = None, **fields: Any) -> Contact:
        with self._transaction():
            contact = self._insert_contact(name, account or self.account, fields)
            self._emit_contact("contact_created", contact)
        return contact

    def update_contact(self, contact: Contact, **fields: Any) -> None:
        with self._transaction():
            changes = {name: (getattr(contact, name), value) for name, value in fields.items()}
            for name, value in fields.items():
                setattr(contact, name, value)
            self._touch_contact(contact, changes)

    def merge_contacts(self, kept: Contact, gone: Contact) -> None:
        """All of `gone` becomes `kept`'s: told by its incoming messages, and on the agents' socket,
        which tells `gone`'s deletion last.
        """
        moved = self.conversations_of(gone)
        self._reassign_contact(kept, gone)
        with self._transaction():
            for message in (m for c in moved for m in c.messages if m.sender is kept):
                self._update_message(message)
            for found in moved:
                self._emit_conversation("conversation.contact_changed", found)
            self._emit_contact("contact.merged", kept)
            self._emit_contact("contact.deleted", gone)

    def delete_contact(self, contact: Contact) -> None:
        """With its conversations. Only the agents' socket tells of it, and of them not at all."""
        self.tell_contact_deleted(contact)
        self._remove_contact(contact)

    def tell_contact_deleted(self, contact: Contact) -> None:
        with self._transaction():
            self._emit_contact("contact.deleted", contact)

    def open_widget(self, contact: Contact, inbox: Inbox | None = None) -> None:
        """The customer opened the chat window: `webwidget_triggered`."""
        inbox = inbox or self.inbox
        presence = self.contact_inbox(contact, inbox)
        current = self.current_conversation(contact, inbox)
        with self._transaction():
            build = lambda: webhook_bodies.widget_event(  # noqa: E731
                presence, current, self.base_url, self.now()
            )
            self._emit("webwidget_triggered", contact.account, inbox, build)

    # -- messages --

    def customer_says(
        self,
        contact: Contact | str,
        text: str | None = None,
        *,
        inbox_id: int | None = None,
        conversation: Conversation | int | None = None,
        attachments: Sequence[Upload] = (),
        **fields: Any,
    ) -> Message:
        """A customer writes. An unknown name becomes a new contact; without `conversation` it goes
        where Chatwoot would put it.
        """
        inbox = self.inboxes[inbox_id] if inbox_id else self.inbox
        with self._transaction():
            if isinstance(contact, str):
                contact = self.find_contact(contact, inbox.account) or self.add_contact(
                    contact, account=inbox.account
                )
            found = (
                self.resolve(conversation, inbox.account)
                if conversation
                else self.current_conversation(contact, inbox)
            )
            if found is None:
                found = self._start_conversation(contact, inbox)
            return self._create_message(found, INCOMING, text, contact, attachments, fields)

    def agent_says(
        self,
        conversation: Conversation | int,
        text: str | None,
        *,
        user: User | None = None,
        attachments: Sequence[Upload] = (),
        **fields: Any,
    ) -> Message:
        """An agent replies in Chatwoot's own dashboard, which marks the conversation as seen."""
        found = self.resolve(conversation)
        found.agent_last_seen_at = self.now()
        return self._create_message(found, OUTGOING, text, user or self.admin, attachments, fields)

    def private_note(
        self, conversation: Conversation | int, text: str, *, user: User | None = None
    ) -> Message:
        return self._create_message(
            self.resolve(conversation), OUTGOING, text, user or self.admin, (), {"private": True}
        )

    def template_says(self, conversation: Conversation | int, text: str) -> Message:
        """A greeting, out-of-office or satisfaction question: type `template`, no sender."""
        return self._create_message(self.resolve(conversation), TEMPLATE, text, None, (), {})

    def create_message(
        self,
        conversation: Conversation,
        message_type: int,
        text: str | None,
        sender: Contact | User | None,
        attachments: Sequence[Upload] = (),
        **fields: Any,
    ) -> Message:
        """What the REST API does: like the methods above, without their assumptions."""
        return self._create_message(conversation, message_type, text, sender, attachments, fields)

    def edit_message(self, message: Message, text: str) -> None:
        """`message_updated`; the conversation's `updated_at` does not move (Chatwoot 4.12 and
        later, its issue #13770).
        """
        self._update_message(message, content=text)

    def delete_message(self, message: Message) -> None:
        """A soft delete: text replaced, attachments and all other content attributes gone,
        `message_updated`.
        """
        for attachment in message.attachments:
            self.attachments.pop(attachment.key, None)
        self._update_message(
            message,
            content=DELETED_TEXT,
            content_type="text",
            content_attributes={"deleted": True},
            attachments=[],
        )

    def mark_failed(self, message: Message, reason: str) -> None:
        """The channel could not deliver it; of this the webhook shows only `external_error`."""
        self._update_message(
            message,
            status="failed",
            content_attributes={**message.content_attributes, "external_error": reason},
        )

    def mark_arrived(self, message: Message, status: str) -> None:
        """`delivered` or `read`, as the channel tells."""
        self._update_message(message, status=status)

    def mark_sent_by_channel(self, message: Message, source_id: str) -> None:
        self._update_message(message, source_id=source_id)

    def retry_message(self, message: Message) -> None:
        """Chatwoot wipes the content attributes here, a marker of ours included."""
        self._update_message(message, status="sent", content_attributes={})

    def typing(
        self,
        conversation: Conversation | int,
        by: Contact | User,
        *,
        on: bool,
        private: bool = False,
    ) -> None:
        found = self.resolve(conversation)
        event = "conversation_typing_on" if on else "conversation_typing_off"
        with self._transaction():
            build = lambda: webhook_bodies.typing_event(event, found, by, self.base_url, private)  # noqa: E731
            frame = lambda: sim_frames.typing_frame(found, by, self.base_url, private)  # noqa: E731
            self._emit(event, found.account, found.inbox, build, frame)

    # -- conversations --

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
                f"Conversation was {'reopened' if status == 'open' else f'marked {status}'} by "
                f"{actor}",
            )

    def set_labels(
        self, conversation: Conversation | int, labels: Sequence[str], *, by: User | None = None
    ) -> None:
        found = self.resolve(conversation)
        added = [label for label in labels if label not in found.labels]
        if list(labels) == found.labels:
            return
        with self._transaction():
            self._update(found, labels=list(labels))
            self._activity(
                found,
                f"{(by or self.admin).name} changed "
                f"labels{': added ' + ', '.join(added) if added else ''}",
            )

    def assign(
        self, conversation: Conversation | int, user: User | None, *, by: User | None = None
    ) -> None:
        found = self.resolve(conversation)
        if found.assignee is user:
            return
        with self._transaction():
            self._update(found, assignee=user)
            self._emit_conversation("assignee.changed", found)
            actor = (by or self.admin).name
            self._activity(
                found,
                f"Assigned to {user.name} by {actor}"
                if user
                else f"Conversation unassigned by {actor}",
            )

    def set_priority(self, conversation: Conversation | int, priority: str | None) -> None:
        with self._transaction():
            self._update(self.resolve(conversation), priority=priority)

    def mark_seen(self, conversation: Conversation | int, *, by: User | None = None) -> None:
        """`update_last_seen`: written with update_columns, so no webhook, `updated_at` does not
        move, and the agents' socket tells nothing of it either: newer Chatwoots can say there that
        some number has changed, and some write a line.
        """
        found, user = self.resolve(conversation), by or self.admin
        had_unread = found.unread_count > 0
        found.agent_last_seen_at = self.now()
        with self._transaction():
            if self.switches.writes_views:
                self._activity(found, f"Conversation viewed by {user.id} - {user.name}")
            if self.switches.tells_unread_changes and had_unread:
                self._emit_unread_change(found)

    def mark_unread(self, conversation: Conversation | int) -> None:
        found = self.resolve(conversation)
        last = next((m for m in reversed(found.messages) if m.message_type == INCOMING), None)
        found.agent_last_seen_at = last.created_at - 1 if last else None

    def customer_looks(self, conversation: Conversation | int) -> None:
        """The customer has the chat open: what agents wrote is read, and the conversation says when
        it was looked at.
        """
        found = self.resolve(conversation)
        with self._transaction():
            for message in found.messages:
                if message.message_type != INCOMING and message.status in ("sent", "delivered"):
                    self._update_message(message, status="read")
            found.contact_last_seen_at = found.updated_at = self.now()
            self._emit_conversation("conversation.read", found)

    def delete_conversation(self, conversation: Conversation | int) -> None:
        """Chatwoot tells nobody: there is no event for it."""
        self._remove_conversation(self.resolve(conversation))

    # -- how a change becomes events --

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
            for name, value in values.items():
                setattr(message, name, value)
            before, message.updated_at = message.updated_at, self.now()
            self._emit_message("message_updated", message, before)

    def _touch_contact(self, contact: Contact, changes: dict[str, tuple[Any, Any]]) -> None:
        before, contact.updated_at = contact.updated_at, self.now()
        listed = webhook_bodies.changed_attributes(
            changes | webhook_bodies.described_change("updated_at", before, contact.updated_at)
        )
        self._emit_contact("contact_updated", contact, listed)

    # -- the life of a message --

    def _start_conversation(self, contact: Contact, inbox: Inbox) -> Conversation:
        conversation = self._insert_conversation(contact, inbox)
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
        attachments: Sequence[Upload],
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

    def _activity(self, conversation: Conversation, text: str) -> None:
        """A line like "Assigned to …": in REST lists and on the agents' socket, never in a
        webhook.
        """
        self._emit_message(
            "message_created", self._insert_message(conversation, ACTIVITY, {"content": text})
        )

    def _attach(self, message: Message, upload: Upload) -> Attachment:
        attachment = Attachment(
            id=self._next_id("attachments"),
            message_id=message.id,
            account_id=message.conversation.account.id,
            name=upload.name,
            key=self.new_token(),
            content=upload.content,
            content_type=upload.content_type,
            file_type=upload.file_type,
            width=upload.width,
            height=upload.height,
        )
        self.attachments[attachment.key] = attachment
        return attachment
