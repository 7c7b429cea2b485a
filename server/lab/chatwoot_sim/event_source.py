"""How changes in the simulated Chatwoot become webhooks and frames of the agents' socket: the same
events, sent twice.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
from starlette.routing import BaseRoute

from server.lab.chatwoot_sim import sim_frames, webhook_bodies
from server.lab.chatwoot_sim.model import (
    ACTIVITY,
    Account,
    Contact,
    Conversation,
    Inbox,
    JsonObject,
    Message,
    Webhook,
)
from server.lab.chatwoot_sim.sim_cable import Cable
from server.lab.chatwoot_sim.sim_database import Installation
from server.lab.chatwoot_sim.switches import Switches
from server.lab.chatwoot_sim.webhooks import Event, WebhookSender


class EventSource(Installation):
    """Records, with the receivers of the events of their changes."""

    def __init__(
        self,
        base_url: str,
        clock: Callable[[], float],
        rng: random.Random | None,
        http: httpx.AsyncClient | None,
    ) -> None:
        super().__init__(clock, rng)
        self.base_url = base_url.rstrip("/")
        self.switches = Switches()
        self.hooks: list[Webhook] = []
        self.webhooks = WebhookSender(self.hooks, self.switches, http=http, rng=self.rng)
        self.cable = Cable(self.users, self.accounts, self.switches, self.webhooks.workers)
        # asked before the usual ones, by a test whose answers were recorded
        self.own_routes: Sequence[BaseRoute] = ()
        self._events: list[Event] = []
        self._depth = 0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Events are built when the outermost change is complete: Chatwoot's jobs read the database
        after the commit.
        """
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                events, self._events = self._events, []
                for event in events:
                    self.cable.enqueue(event)
                    if "." not in event.name:  # a name of the socket's is no webhook's
                        self.webhooks.enqueue(event)

    def at_once(self) -> AbstractContextManager[None]:
        """What is done inside is one change: its events are built at the end, as late jobs do."""
        return self._transaction()

    def _emit(
        self,
        name: str,
        account: Account,
        inbox: Inbox | None,
        build: Callable[[], JsonObject],
        frame: Callable[[], JsonObject] | None = None,
    ) -> None:
        self._events.append(Event(name, account, inbox, build, frame))

    def _emit_contact(
        self, event: str, contact: Contact, listed: list[JsonObject] | None = None
    ) -> None:
        build = lambda: webhook_bodies.contact_event(event, contact, listed)  # noqa: E731
        self._emit(event, contact.account, None, build, lambda: sim_frames.contact_frame(contact))

    def _emit_conversation(
        self,
        event: str,
        conversation: Conversation,
        changes: dict[str, tuple[Any, Any]] | None = None,
    ) -> None:
        listed = webhook_bodies.changed_attributes(changes) if changes else None
        self._emit(
            event,
            conversation.account,
            conversation.inbox,
            lambda: webhook_bodies.conversation_event(event, conversation, self.base_url, listed),
            lambda: sim_frames.conversation_frame(conversation, self.base_url),
        )

    def _emit_unread_change(self, conversation: Conversation) -> None:
        """It names no conversation."""
        frame = lambda: {"account_id": conversation.account.id}  # noqa: E731
        self._emit(
            "conversation.unread_count_changed",
            conversation.account,
            conversation.inbox,
            dict,
            frame,
        )

    def _emit_message(
        self, event: str, message: Message, changes: dict[str, list[Any]] | None = None
    ) -> None:
        found = message.conversation
        # app/models/concerns/message_filter_helpers.rb `webhook_sendable?`
        if message.message_type == ACTIVITY:
            event = event.replace("_", ".")
        build = lambda: webhook_bodies.message_event(event, message, self.base_url)  # noqa: E731
        frame = lambda: sim_frames.message_frame(message, self.base_url, changes)  # noqa: E731
        self._emit(event, found.account, found.inbox, build, frame)
