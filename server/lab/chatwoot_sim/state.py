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
from server.lab.chatwoot_sim.channels import refusal_of
from server.lab.chatwoot_sim.model import (
    DEFAULT_SUBSCRIPTIONS,
    INCOMING,
    OUTGOING,
    TEMPLATE,
    Account,
    Contact,
    Conversation,
    Inbox,
    Message,
    User,
    Webhook,
)
from server.lab.chatwoot_sim.questions import Questions
from server.lab.chatwoot_sim.samples import Pointer, Upload
from server.lab.chatwoot_sim.sim_writes import SimWrites

DELETED_TEXT = "This message was deleted"  # config/locales/en.yml


class ChatwootSim(SimWrites):
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
        self.typing_shown: list[tuple[int, bool]] = []  # to customers: conversation, on or off
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

    # -- inboxes --

    def rename_inbox(self, inbox: Inbox, name: str) -> None:
        """Rename an inbox. No webhook tells it, and on the agents' socket only that something of
        the account has changed.
        """
        inbox.name = name
        with self._transaction():
            self._emit(
                "account.cache_invalidated",
                inbox.account,
                None,
                dict,
                lambda: {
                    "account_id": inbox.account.id,
                    "cache_keys": {
                        "label": "0000000000",
                        "inbox": str(int(self.now())),
                        "team": "0",
                    },
                },
            )

    # -- contacts --

    def add_contact(self, name: str, *, account: Account | None = None, **fields: Any) -> Contact:
        """Add a contact: `contact_created`."""
        with self._transaction():
            contact = self._insert_contact(name, account or self.account, fields)
            self._emit_contact("contact_created", contact)
        return contact

    def update_contact(self, contact: Contact, **fields: Any) -> None:
        """Change columns of a contact: `contact_updated`, with what changed."""
        with self._transaction():
            changes = {name: (getattr(contact, name), value) for name, value in fields.items()}
            for name, value in fields.items():
                setattr(contact, name, value)
            self._touch_contact(contact, changes)

    def merge_contacts(self, kept: Contact, gone: Contact) -> None:
        """All of `gone` becomes `kept`'s: webhooks show it by its incoming messages only, the
        agents' socket also by frames, of which the deletion of `gone` is the last.
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
        """Delete a contact with its conversations. Only the agents' socket has an event for it, and
        none for them.
        """
        self.tell_contact_deleted(contact)
        self._remove_contact(contact)

    def tell_contact_deleted(self, contact: Contact) -> None:
        """Send the frame of a deletion on the agents' socket, without deleting."""
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
        attachments: Sequence[Upload | Pointer] = (),
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
        attachments: Sequence[Upload | Pointer] = (),
        **fields: Any,
    ) -> Message:
        """An agent replies in Chatwoot's own dashboard, which marks the conversation as seen."""
        found = self.resolve(conversation)
        found.agent_last_seen_at = self.now()
        return self._create_message(found, OUTGOING, text, user or self.admin, attachments, fields)

    def private_note(
        self, conversation: Conversation | int, text: str, *, user: User | None = None
    ) -> Message:
        """An agent writes a note that the customer never gets."""
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
        attachments: Sequence[Upload | Pointer] = (),
        **fields: Any,
    ) -> Message:
        """What the REST API does: like the methods above, without their assumptions."""
        return self._create_message(conversation, message_type, text, sender, attachments, fields)

    def edit_message(self, message: Message, text: str) -> None:
        """`message_updated`; the conversation's `updated_at` does not move (Chatwoot 4.12 and
        later, its issue #13770).
        """
        self._update_message(message, content=text)

    def delete_message(self, message: Message, *, keeps: Sequence[str] = ()) -> None:
        """A soft delete: text replaced, attachments and all other content attributes gone (but
        those that `keeps` names, as where a channel says so), `message_updated`.
        """
        kept = {name: message.content_attributes.get(name) for name in keeps}
        for attachment in message.attachments:
            self.attachments.pop(attachment.key, None)
        self._update_message(
            message,
            content=DELETED_TEXT,
            content_type="text",
            content_attributes=kept | {"deleted": True},
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
        """Set `delivered` or `read`, as the channel reports it."""
        self._update_message(message, status=status)

    def mark_sent_by_channel(self, message: Message, source_id: str) -> None:
        """The channel accepted it under an id of its own: `message_updated`."""
        self._update_message(message, source_id=source_id)

    def retry_message(self, message: Message) -> None:
        """Hand a message to its channel once more, which may refuse it again. Newer Chatwoots do so
        only where it has failed, and say it in two steps; older ones whatever its state is, and
        wipe the content attributes, a marker of ours included.
        """
        if self.switches.retry_wipes:
            self._update_message(message, status="sent", content_attributes={})
        elif message.status != "failed":
            return
        else:
            kept = {k: v for k, v in message.content_attributes.items() if k != "external_error"}
            self._update_message(
                message, status="sent", content_attributes={**kept, "external_error": None}
            )
            self._update_message(message, source_id=None, content_attributes=kept)
        message.times_sent += 1
        if refused := self.switches.retry_error or refusal_of(message):
            self.mark_failed(message, refused)

    def typing(
        self,
        conversation: Conversation | int,
        by: Contact | User,
        *,
        on: bool,
        private: bool = False,
    ) -> None:
        """A contact or an agent begins or ends typing: a webhook and a frame."""
        found = self.resolve(conversation)
        if isinstance(by, User) and not private:
            self.typing_shown.append((found.display_id, on))
        event = "conversation_typing_on" if on else "conversation_typing_off"
        with self._transaction():
            build = lambda: webhook_bodies.typing_event(event, found, by, self.base_url, private)  # noqa: E731
            frame = lambda: sim_frames.typing_frame(found, by, self.base_url, private)  # noqa: E731
            self._emit(event, found.account, found.inbox, build, frame)

    # -- conversations --

    def set_labels(
        self, conversation: Conversation | int, labels: Sequence[str], *, by: User | None = None
    ) -> None:
        """Replace the labels: `conversation_updated` and a line of activity where they change."""
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
        """Assign to an agent, or to nobody with None: `conversation_updated` and a line of
        activity.
        """
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
        """Set the priority: `conversation_updated` where it changes."""
        with self._transaction():
            self._update(self.resolve(conversation), priority=priority)

    def assign_team(self, conversation: Conversation | int, name: str | None) -> None:
        """Give it to a team, or to none with None: `conversation_updated`."""
        found = self.resolve(conversation)
        team = self.team_named(name) if name else None
        with self._transaction():
            self._update(found, team=team)
            self._emit_conversation("team.changed", found)

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
        """Move the agents' mark before the last incoming message; no event follows."""
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
        """Delete a conversation, for which Chatwoot has no event."""
        self._remove_conversation(self.resolve(conversation))
