"""Changes -> new state and events. Pure: works on a working set of loaded rows, decides by version
and identity, never by arrival.

Rules: a conversation's older state never overwrites a newer one; `message_created` never overwrites
a stored message; deleted stays deleted; a message is known by Chatwoot's id, by our marker, or
(without an id) by conversation, sender type and content within a second. An event is added only
where what clients see has changed, so a repeated delivery makes none.
"""

from msgspec.structs import replace

from server.core.chatwoot.changes import Change, MessageState
from server.core.chatwoot.future_times import healed, healed_message, within_present
from server.core.chatwoot.normal_form import (
    differs_in_dress,
)
from server.core.chatwoot.reused_numbers import is_another_conversation, is_another_message
from server.core.state.conversation_changes import (
    count_message,
    external_user_id,
    is_newer,
    lift,
    merge_hints,
    merge_state,
    new_conversation,
    with_inbox,
    without_inbox,
)
from server.core.state.delivery import (
    seen,
    with_status,
)
from server.core.state.entities import Conversation, Json, Message
from server.core.state.list_rows import with_message
from server.core.state.marks import NO_MARKS, with_block, with_newer
from server.core.state.message_changes import (
    age_of_version,
    find_message,
    find_own_reply,
    merge_message,
    new_message,
)
from server.core.state.read_marks import with_arrival, with_reading
from server.core.state.thread_order import is_last, is_newest
from server.core.state.tracked import (
    ConversationKey,
    PendingEvent,
    Result,
    Source,
    TrackedConversation,
    TrackedMessage,
)
from server.core.state.views import is_same_conversation_view, is_same_message_view
from server.core.times import rounded


class WorkingSet:
    """The rows that one transaction may change, and the events it will write."""

    def __init__(self, entries: dict[ConversationKey, TrackedConversation] | None = None) -> None:
        self.entries: dict[ConversationKey, TrackedConversation] = entries or {}
        self.pending_events: list[PendingEvent] = []
        # (integration, conversation or message, number) given out again
        self.reissued: list[tuple[int, str, int]] = []

    @classmethod
    def of(cls, entry: TrackedConversation) -> "WorkingSet":
        """Return the working set of one conversation that was read by our own id."""
        return cls({(entry.row.integration_id or 0, -entry.row.id): entry})

    def apply(self, change: Change, source: Source, received_us: int) -> tuple[Result, Result]:
        """Apply one change. Returns what became of the conversation and of the message (SAME
        where there is none).
        """
        key = (source.integration_id, change.conversation.display_id)
        entry = self.entries.get(key)
        if change.contact_update is not None:
            return self._apply_contact(
                entry, change, received_us
            ) if entry else Result.SAME, Result.SAME
        if entry is None and change.message is None and not change.conversation.version_us:
            # how far it is read, and nothing else: there is nothing to show
            return Result.SAME, Result.SAME
        change = within_present(
            change, received_us, entry.row.chatwoot_version if entry is not None else 0
        )
        if source.inbox_name is not None:  # asked for, and renamed for all conversations at once
            change = replace(change, conversation=without_inbox(change.conversation))
        if (
            entry is not None
            and entry.row.id
            and is_another_conversation(entry.row, change.conversation, received_us)
        ):
            self._set_aside(key, entry, received_us)
            entry = None
        seen_us = entry.row.contact_seen_us if entry is not None else None
        if entry is None:
            entry, result = self._add_conversation(key, change, source, received_us), Result.CREATED
        else:
            result = self._update_conversation(entry, change, source, received_us)
        if change.conversation.last is not None or entry.row.contact_seen_us != seen_us:
            self._apply_delivery_states(entry, change, received_us)
        message_result = Result.SAME
        if change.message is not None:
            message_result = self._apply_message(entry, change, change.message, received_us)
        self._apply_reading(entry, change)
        if message_result is Result.SAME and result in (Result.UPDATED, Result.DRESSED):
            self._add_event("conversation.updated", entry, None, change.at_us, received_us)
        return result, message_result

    def heal(self, now_us: int) -> None:
        """Rows that a wrong clock was once believed in are corrected."""
        for entry in self.entries.values():
            row = healed(entry.row, now_us)
            entry.is_dirty |= row is not entry.row
            entry.row = row
            for message in entry.messages:
                known = healed_message(message.row, now_us)
                message.is_dirty |= known is not message.row
                message.row = known

    def put_message(
        self, entry: TrackedConversation, message: Message, at_us: int, received_us: int
    ) -> TrackedMessage:
        """Add a new message (also: a reply written here) with its event."""
        tracked_message = TrackedMessage(message)
        tracked_message.is_dirty = True
        entry.messages.append(tracked_message)
        entry.row = count_message(entry.row, message, received_us)
        self._show(entry, None, message, received_us)
        entry.is_dirty = True
        self._add_event("message.created", entry, tracked_message, at_us, received_us)
        return tracked_message

    def set_message(
        self,
        entry: TrackedConversation,
        tracked_message: TrackedMessage,
        message: Message,
        at_us: int,
        received_us: int,
    ) -> Result:
        """Replace a message's state; an event only where clients see a difference."""
        before, tracked_message.row = tracked_message.row, message
        tracked_message.is_dirty |= before != message
        if is_same_message_view(before, message):
            return Result.SAME
        was_last = is_last(before, entry.row)
        if not message.is_private and (was_last or is_newest(message, entry.row)):
            entry.row = replace(lift(entry.row, message, is_moved=was_last), updated_us=received_us)
            entry.is_dirty = True
        self._show(entry, before, message, received_us)
        self._add_event("message.updated", entry, tracked_message, at_us, received_us)
        return Result.DRESSED if differs_in_dress(before, message) else Result.UPDATED

    def set_conversation(
        self, entry: TrackedConversation, row: Conversation, at_us: int, received_us: int
    ) -> Result:
        """Replace a conversation's state (an agent's own act), with its event where clients see a
        difference.
        """
        if is_same_conversation_view(row, entry.row):
            return Result.SAME
        observed_us = max(row.observed_us, received_us)  # what was asked before is older than this
        entry.row, entry.is_dirty = (
            replace(row, updated_us=received_us, observed_us=observed_us),
            True,
        )
        self._add_event("conversation.updated", entry, None, at_us, received_us)
        return Result.UPDATED

    def mark_gone(self, entry: TrackedConversation, now_us: int) -> Result:
        """Chatwoot no longer has it: it leaves the open ones, and stays to be read."""
        row = replace(entry.row, status="Closed", chatwoot_status="resolved", gone_us=now_us)
        return self.set_conversation(entry, row, now_us, now_us)

    def add_agent_read(
        self,
        entry: TrackedConversation,
        agent_id: int,
        read_count: int,
        message_id: int,
        now_us: int,
    ) -> None:
        """An agent has read; the conversation itself stays as it is."""
        extra: Json = {"agentId": agent_id, "readCount": read_count, "messageId": message_id}
        self.pending_events.append(
            PendingEvent("conversation.read", entry, entry.row, None, None, now_us, now_us, extra)
        )

    def add_read_events(self, now_us: int) -> None:
        """Add the events on how far conversations are read for everyone by now: one each, however
        many changes showed it.
        """
        for entry in self.entries.values():
            if entry.row.read_count > entry.read_before:
                extra: Json = {
                    "agentId": None,
                    "readCount": entry.row.read_count,
                    "messageId": None,
                }
                self.pending_events.append(
                    PendingEvent(
                        "conversation.read", entry, entry.row, None, None, now_us, now_us, extra
                    )
                )
                entry.read_before = entry.row.read_count

    def _set_aside(self, key: ConversationKey, entry: TrackedConversation, now_us: int) -> None:
        """Its number is another conversation's now. It stays to be read, as one that Chatwoot no
        longer has.
        """
        self.reissued.append((key[0], "conversation", key[1]))
        row = replace(entry.row, status="Closed", chatwoot_status="resolved", gone_us=now_us)
        self.set_conversation(
            entry, replace(row, chatwoot_conversation_id=None, former_number=key[1]), now_us, now_us
        )
        del self.entries[key]
        self.entries[key[0], -entry.row.id] = entry

    def _show(
        self,
        entry: TrackedConversation,
        before: Message | None,
        message: Message,
        received_us: int,
    ) -> None:
        """Say in the row of the list what this message changes there."""
        if message.is_private:
            return
        row, is_unsettled = with_message(entry.row, before, message)
        if is_unsettled and entry.unsettled_from is None:
            entry.unsettled_from = len(self.pending_events)
        if is_unsettled or row is not entry.row:
            entry.row, entry.is_dirty = replace(row, updated_us=received_us), True

    def _give_up_number(
        self, entry: TrackedConversation, known: TrackedMessage, now_us: int
    ) -> None:
        """Its number is another message's now."""
        number = known.row.chatwoot_message_id or 0
        self.reissued.append((entry.row.integration_id or 0, "message", number))
        row = replace(known.row, chatwoot_message_id=None, former_number=number)
        self.set_message(entry, known, row, now_us, now_us)

    def _apply_reading(self, entry: TrackedConversation, change: Change) -> None:
        row = with_reading(entry.row, change)
        entry.is_dirty |= row is not entry.row
        entry.row = row

    def _add_event(
        self,
        kind: str,
        entry: TrackedConversation,
        message: TrackedMessage | None,
        at_us: int,
        received_us: int,
    ) -> None:
        row = message.row if message else None
        self.pending_events.append(
            PendingEvent(kind, entry, entry.row, message, row, at_us, received_us)
        )

    def _add_conversation(
        self, key: ConversationKey, change: Change, source: Source, received_us: int
    ) -> TrackedConversation:
        row = with_inbox(new_conversation(change, source, received_us), source.inbox_name)
        entry = self.entries[key] = TrackedConversation(row)
        entry.is_dirty = True
        at_us = change.conversation.created_us or change.at_us
        self._add_event("conversation.created", entry, None, at_us, received_us)
        return entry

    def _apply_contact(
        self, entry: TrackedConversation, change: Change, received_us: int
    ) -> Result:
        """A contact's conversation shows them by their present name. It has no version: what comes
        later is newer.
        """
        incoming, before = change.conversation, entry.row.external_user_name
        name = incoming.contact_name or before
        self._rename_customer(entry, before, name, change.at_us, received_us)
        after = replace(
            entry.row,
            contact=incoming.contact,
            external_user_name=name,
            external_user_id=external_user_id(entry.row, incoming),
            marks=with_block(entry.row.marks, incoming.marks, received_us),
        )
        return self.set_conversation(entry, after, change.at_us, received_us)

    def _rename_customer(
        self,
        entry: TrackedConversation,
        before: str | None,
        name: str | None,
        at_us: int,
        received_us: int,
    ) -> None:
        for known in entry.messages:
            if known.row.sender_type == "customer" and known.row.sender_name == before != name:
                row = replace(known.row, sender_name=name)
                self.set_message(entry, known, row, at_us, received_us)

    def _update_conversation(
        self, entry: TrackedConversation, change: Change, source: Source, received_us: int
    ) -> Result:
        incoming, before = change.conversation, entry.row
        after = merge_state(before, incoming, received_us) if is_newer(incoming, before) else before
        if not incoming.version_us:
            after = merge_hints(before, change)
        elif after is before and incoming.marks is not None:
            # a late word on what nothing newer has said
            after = replace(before, marks=with_newer(before.marks, incoming.marks, is_whole=False))
        if after == before or replace(after, observed_us=before.observed_us) == before:
            return Result.SAME
        after = with_inbox(
            after, source.inbox_name
        )  # beside something else: the name alone is no news
        entry.is_dirty = True
        if is_same_conversation_view(after, before):
            entry.row = after  # a newer version that shows nothing new
            return Result.SAME
        entry.row = replace(after, updated_us=received_us)
        names = before.external_user_name, after.external_user_name
        self._rename_customer(entry, *names, change.at_us, received_us)
        is_first = before.marks == NO_MARKS  # an earlier version did not keep them
        is_dress = is_first and is_same_conversation_view(replace(after, marks=NO_MARKS), before)
        return Result.DRESSED if is_dress else Result.UPDATED

    def _apply_delivery_states(
        self, entry: TrackedConversation, change: Change, received_us: int
    ) -> None:
        """Apply what the conversation says of messages that are known: of its last one, and of
        those the customer has seen.
        """
        last = change.conversation.last
        for known in entry.messages:
            row = known.row
            if (
                last is not None
                and row.chatwoot_message_id == last.message_id
                and not row.is_deleted
            ):
                # as versions of messages are kept: by the millisecond
                version_us = rounded(change.conversation.version_us)
                age = age_of_version(row, version_us, received_us)
                changed = with_status(row, last.status, last.error, age=age)
                # a list that was asked for before is older than this
                if changed is not row and change.message is None:
                    changed = replace(changed, observed_us=max(row.observed_us, received_us))
                row = changed
            row = seen(row, entry.row)
            if row is not known.row:
                self.set_message(entry, known, row, change.at_us, received_us)

    def _apply_message(
        self, entry: TrackedConversation, change: Change, incoming: MessageState, received_us: int
    ) -> Result:
        at_us = change.at_us
        known = find_message(entry.messages, incoming)
        has_its_number = (
            known is not None
            and known.row.id
            and known.row.chatwoot_message_id == incoming.message_id is not None
        )
        if (
            known is not None
            and has_its_number
            and is_another_message(known.row, incoming, received_us)
        ):
            self._give_up_number(entry, known, received_us)
            known = None
        if known is None:
            row = new_message(
                entry.row.id, incoming, received_us, find_own_reply(entry.messages, incoming)
            )
            entry.row = with_arrival(entry.row, change)
            self.put_message(entry, seen(row, entry.row), at_us, received_us)
            return Result.CREATED
        return self.set_message(
            entry,
            known,
            seen(merge_message(known.row, incoming, received_us), entry.row),
            at_us,
            received_us,
        )
