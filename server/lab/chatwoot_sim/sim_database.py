"""The simulated Chatwoot's database: records by id, adding and finding them. No events, no
rules.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from server.lab.chatwoot_sim.model import (
    API_CHANNEL,
    WEB_WIDGET,
    Account,
    Attachment,
    Contact,
    ContactInbox,
    Conversation,
    Inbox,
    JsonObject,
    Message,
    Role,
    User,
)

# pragma: allowlist nextline secret
_TOKEN_CHARACTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105
_TOKEN_LENGTH = 24  # has_secure_token


class MissingRecord(LookupError):
    """`ActiveRecord::RecordNotFound`."""


class Installation:
    """Ids count up over the whole installation, except display ids of conversations, which count
    per account.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, rng: random.Random | None = None
    ) -> None:
        self._clock = clock
        self._shift_seconds = 0.0
        self.rng = rng or random.Random()  # noqa: S311 - sample data and faults, nothing secret
        self._last_ids: dict[str, int] = {}
        self.accounts: dict[int, Account] = {}
        self.users: dict[int, User] = {}
        self.tokens: dict[str, User] = {}
        self.inboxes: dict[int, Inbox] = {}
        self.teams: dict[str, JsonObject] = {}  # by the name they were made with
        self.contacts: dict[int, Contact] = {}
        self.contact_inboxes: dict[tuple[int, int], ContactInbox] = {}  # (contact id, inbox id)
        self.conversations: dict[tuple[int, int], Conversation] = {}  # (account id, display id)
        self._conversations_by_contact: dict[int, list[Conversation]] = {}
        self.messages: dict[int, Message] = {}
        self.attachments: dict[str, Attachment] = {}  # by key

    def team_named(self, name: str) -> JsonObject:
        """The team that was made with this name; its conversations follow what is changed in it."""
        made = {"id": len(self.teams) + 1, "name": name, "icon": "", "icon_color": ""}
        return self.teams.setdefault(name, made)

    def now(self) -> float:
        """Unix seconds with microseconds, as the database keeps them."""
        return round(self._clock() + self._shift_seconds, 6)

    @contextmanager
    def time_shifted(self, seconds: float) -> Iterator[None]:
        """What is done inside happens `seconds` later (negative: earlier) than the clock says."""
        before, self._shift_seconds = self._shift_seconds, self._shift_seconds + seconds
        try:
            yield
        finally:
            self._shift_seconds = before

    def new_token(self) -> str:
        """A random token in the form of Rails' `has_secure_token`."""
        return "".join(self.rng.choices(_TOKEN_CHARACTERS, k=_TOKEN_LENGTH))

    def add_account(self, name: str, *, id: int | None = None) -> Account:
        """Add an account, with the next id unless one is given."""
        account = Account(self._next_id("accounts", id), name)
        self.accounts[account.id] = account
        return account

    def add_user(
        self,
        name: str,
        *,
        account: Account,
        role: Role = "agent",
        token: str | None = None,
        email: str | None = None,
        inboxes: tuple[Inbox, ...] = (),
        bot: bool = False,
    ) -> User:
        """A user with a role in one account; an agent sees only the inboxes it is a member of."""
        user = User(
            id=self._next_id("bots" if bot else "users"),
            name=name,
            email=email or f"{name.split()[0].lower()}@example.org",
            access_token=token or self.new_token(),
            available_name=name.split()[0],
            roles={account.id: role},
            kind="agent_bot" if bot else "user",
        )
        self.tokens[user.access_token] = user
        if not bot:
            self.users[user.id] = user
        for inbox in inboxes:
            inbox.member_ids.add(user.id)
        return user

    def add_inbox(
        self,
        name: str,
        *,
        account: Account,
        channel: str = WEB_WIDGET,
        id: int | None = None,
        webhook_url: str | None = None,
    ) -> Inbox:
        """An inbox; `webhook_url` (API channel only) is the callback Chatwoot calls beside account
        webhooks.
        """
        if webhook_url and channel != API_CHANNEL:
            raise ValueError("only an API inbox has a callback address")
        inbox = Inbox(
            self._next_id("inboxes", id),
            account,
            name,
            channel,
            webhook_url=webhook_url,
            clock=self.now,
        )
        inbox.secret = self.new_token() if channel == API_CHANNEL else ""
        self.inboxes[inbox.id] = inbox
        return inbox

    def find_contact(self, name: str, account: Account) -> Contact | None:
        """The account's first contact with that name."""
        return next(
            (c for c in self.contacts.values() if c.name == name and c.account is account), None
        )

    def conversation(self, display_id: int, account: Account | None = None) -> Conversation:
        """Find by display id, in the first account unless one is given. Raises `MissingRecord`."""
        account = account or next(iter(self.accounts.values()))
        try:
            return self.conversations[account.id, display_id]
        except KeyError:
            raise MissingRecord(f"conversation {display_id}") from None

    def resolve(
        self, conversation: Conversation | int, account: Account | None = None
    ) -> Conversation:
        """The record of a display id, or of a record, which may have been deleted in the
        meantime.
        """
        if isinstance(conversation, int):
            return self.conversation(conversation, account)
        return self.conversation(conversation.display_id, conversation.account)

    def conversations_of(self, contact: Contact, inbox: Inbox | None = None) -> list[Conversation]:
        """The contact's conversations, oldest first."""
        return [
            c
            for c in self._conversations_by_contact.get(contact.id, [])
            if inbox in (None, c.inbox)
        ]

    def current_conversation(self, contact: Contact, inbox: Inbox) -> Conversation | None:
        """Where a new message of this contact goes; None if a new conversation begins."""
        found = self.conversations_of(contact, inbox)
        if not inbox.reopens_resolved:
            found = [c for c in found if c.status != "resolved"]
        return found[-1] if found else None

    def contact_inbox(
        self, contact: Contact, inbox: Inbox, source_id: str | None = None
    ) -> ContactInbox:
        """The contact's presence in the inbox, made at first use, with the channel's number of the
        contact where it has one.
        """
        key = (contact.id, inbox.id)
        if key not in self.contact_inboxes:
            self.contact_inboxes[key] = ContactInbox(
                self._next_id("contact_inboxes"),
                contact,
                inbox,
                source_id or str(uuid.uuid4()),
                self.new_token(),
                self.now(),
            )
        return self.contact_inboxes[key]

    def _insert_contact(self, name: str, account: Account, fields: dict[str, Any]) -> Contact:
        now = self.now()
        contact = Contact(self._next_id("contacts"), account, name, now, now, **fields)
        self.contacts[contact.id] = contact
        return contact

    def _insert_conversation(self, contact: Contact, inbox: Inbox) -> Conversation:
        now = self.now()
        account = inbox.account
        account.last_display_id += 1
        conversation = Conversation(
            id=self._next_id("conversations"),
            account=account,
            display_id=account.last_display_id,
            inbox=inbox,
            contact_inbox=self.contact_inbox(contact, inbox),
            created_at=now,
            updated_at=now,
            last_activity_at=now,
            waiting_since=now,
        )
        self.conversations[account.id, conversation.display_id] = conversation
        self._conversations_by_contact.setdefault(contact.id, []).append(conversation)
        return conversation

    def _remove_conversation(self, conversation: Conversation) -> None:
        del self.conversations[conversation.account.id, conversation.display_id]
        self._conversations_by_contact[conversation.contact.id].remove(conversation)
        for message in conversation.messages:
            del self.messages[message.id]

    def _remove_contact(self, contact: Contact) -> None:
        for conversation in list(self._conversations_by_contact.get(contact.id, ())):
            self._remove_conversation(conversation)
        self._conversations_by_contact.pop(contact.id, None)
        for key in [key for key in self.contact_inboxes if key[0] == contact.id]:
            del self.contact_inboxes[key]
        del self.contacts[contact.id]

    def _reassign_contact(self, kept: Contact, gone: Contact) -> None:
        """Everything of `gone` becomes `kept`'s (app/actions/contact_merge_action.rb)."""
        moved = self._conversations_by_contact.pop(gone.id, [])
        stays = self._conversations_by_contact.setdefault(kept.id, [])
        stays.extend(moved)
        stays.sort(key=lambda c: c.id)
        for contact_id, inbox_id in [key for key in self.contact_inboxes if key[0] == gone.id]:
            presence = self.contact_inboxes.pop((contact_id, inbox_id))
            presence.contact = kept
            self.contact_inboxes.setdefault((kept.id, inbox_id), presence)
        for message in (m for c in moved for m in c.messages if m.sender is gone):
            message.sender = kept
        del self.contacts[gone.id]

    def _insert_message(
        self, conversation: Conversation, message_type: int, fields: dict[str, Any]
    ) -> Message:
        """The row, and what it does to its conversation's columns (`set_conversation_activity`:
        update_columns, silent).
        """
        now = self.now()
        message = Message(
            self._next_id("messages"),
            conversation,
            message_type,
            **{"created_at": now, "updated_at": now} | fields,
        )
        self.messages[message.id] = message
        conversation.messages.append(message)
        # a channel may give it the time at which it was written
        conversation.last_activity_at, conversation.updated_at = message.created_at, now
        return message

    def _next_id(self, table: str, chosen: int | None = None) -> int:
        last = self._last_ids.get(table, 0)
        self._last_ids[table] = max(last, chosen) if chosen else last + 1
        return chosen or last + 1
