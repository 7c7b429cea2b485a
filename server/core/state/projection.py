"""Changes -> new state and events. Pure: works on a working set of loaded rows, decides by version
and identity, never by arrival.

Rules: a conversation's older state never overwrites a newer one; `message_created` never overwrites
a stored message; deleted stays deleted; a message is known by Chatwoot's id, by our marker, or
(without an id) by conversation, sender type and content within a second. An event is added only
where what clients see has changed, so a repeated delivery makes none.
"""

from collections.abc import Iterable
from enum import Enum

import msgspec
from msgspec.structs import replace

from server.core.chatwoot.changes import Change, ConversationState, MessageState
from server.core.chatwoot.edits import edited_at, was_edited_at
from server.core.chatwoot.future_times import healed, healed_message, within_present
from server.core.chatwoot.normal_form import (
    differs_in_dress,
    kept_content,
    present_name,
    with_known_sizes,
)
from server.core.chatwoot.reused_numbers import is_another_conversation, is_another_message
from server.core.state.delivery import (
    Age,
    age_within_version,
    arrived,
    is_ours,
    is_part,
    seen,
    with_status,
)
from server.core.state.entities import (
    Conversation,
    Json,
    Message,
    is_same_conversation_view,
    is_same_message_view,
    preview_of,
)
from server.core.state.read_marks import is_born_read, with_reading
from server.core.state.thread_order import is_newest, is_shown
from server.core.times import SECOND

ConversationKey = tuple[int, int]  # (integration id, Chatwoot display id)
# what Chatwoot tells of a conversation this long after it was gone is no late word
_LATE_GONE_US = 600 * SECOND
# two equal texts of one sender within this, where at least one has no id, are one message
TWIN_SECONDS = 1


class Result(Enum):
    CREATED = "created"
    UPDATED = "updated"
    # a message that says the same in another form, or was updated in what webhooks do not tell
    DRESSED = "dressed"
    SAME = "same"


class TrackedMessage:
    """A message in the working set; `row.id` is 0 until the store has inserted it. `stored`: as it
    was read.
    """

    __slots__ = ("is_dirty", "row", "stored")

    def __init__(self, row: Message) -> None:
        self.row = row
        self.stored = row
        self.is_dirty = False


class TrackedConversation:
    """A conversation in the working set with those of its messages that the batch may touch.
    `stored`: as it was read.
    """

    __slots__ = ("external_before", "is_dirty", "messages", "read_before", "row", "stored")

    def __init__(self, row: Conversation, messages: Iterable[Message] = ()) -> None:
        self.row = row
        self.stored = row
        self.is_dirty = False
        self.read_before = row.read_count  # as far as clients were told
        self.external_before = row.external_user_id  # as it is stored; of a new one nothing is
        self.messages = [TrackedMessage(message) for message in messages]


class PendingEvent(msgspec.Struct):
    """An event to be: who changed, and as which state. Numbers (ids, seq) are filled in by the
    store.
    """

    kind: str
    entry: TrackedConversation
    conversation: Conversation
    tracked_message: TrackedMessage | None
    message: Message | None
    at_us: int
    received_us: int
    extra: Json | None = None


class Source(msgspec.Struct, frozen=True):
    """Where a change comes from, as the integration directory knows it."""

    integration_id: int
    company_id: int


class WorkingSet:
    """The working set of one transaction."""

    def __init__(self, entries: dict[ConversationKey, TrackedConversation] | None = None) -> None:
        self.entries: dict[ConversationKey, TrackedConversation] = entries or {}
        self.pending_events: list[PendingEvent] = []
        # (integration, conversation or message, number) given out again
        self.reissued: list[tuple[int, str, int]] = []

    @classmethod
    def of(cls, entry: TrackedConversation) -> "WorkingSet":
        """For one conversation that was looked up by our own id."""
        return cls({(entry.row.integration_id or 0, -entry.row.id): entry})

    def apply(self, change: Change, source: Source, received_us: int) -> tuple[Result, Result]:
        """Take in one change. Returns what became of the conversation and of the message (SAME
        where there is none).
        """
        key = (source.integration_id, change.conversation.display_id)
        entry = self.entries.get(key)
        if change.contact_told is not None:
            return self._apply_contact(
                entry, change, received_us
            ) if entry else Result.SAME, Result.SAME
        if entry is None and change.message is None and not change.conversation.version_us:
            # how far it is read, and nothing else: there is nothing to show
            return Result.SAME, Result.SAME
        change = within_present(
            change, received_us, entry.row.chatwoot_version if entry is not None else 0
        )
        if (
            entry is not None
            and entry.row.id
            and is_another_conversation(entry.row, change.conversation, received_us)
        ):
            self._set_aside(key, entry, received_us)
            entry = None
        seen_us = entry.row.contact_seen_us if entry is not None else None
        if entry is None:
            entry = self.entries[key] = TrackedConversation(
                _new_conversation(change, source, received_us)
            )
            entry.is_dirty = True
            result = Result.CREATED
            self._add_event(
                "conversation.created",
                entry,
                None,
                change.conversation.created_us or change.at_us,
                received_us,
            )
        else:
            result = self._update_conversation(entry, change, received_us)
        if change.conversation.last is not None or entry.row.contact_seen_us != seen_us:
            self._take_deliveries(entry, change, received_us)
        if change.message is None:
            self._note_reading(entry, change)
            if result is Result.UPDATED:
                self._add_event("conversation.updated", entry, None, change.at_us, received_us)
            return result, Result.SAME
        told = self._apply_message(entry, change.message, change.at_us, received_us)
        self._note_reading(entry, change)
        if told is Result.SAME and result is Result.UPDATED:
            self._add_event("conversation.updated", entry, None, change.at_us, received_us)
        return result, told

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
        entry.row = _with_message(entry.row, message, received_us)
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
        was_shown = is_shown(before, entry.row)
        if not message.is_private and (was_shown or is_newest(message, entry.row)):
            entry.row = replace(
                _showing(entry.row, message, is_moved=was_shown), updated_us=received_us
            )
            entry.is_dirty = True
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
        told_at = max(row.told_at, received_us)  # what was asked before is older than this
        entry.row, entry.is_dirty = replace(row, updated_us=received_us, told_at=told_at), True
        self._add_event("conversation.updated", entry, None, at_us, received_us)
        return Result.UPDATED

    def mark_gone(self, entry: TrackedConversation, now_us: int) -> Result:
        """Chatwoot no longer has it: it leaves the open ones, and stays to be read."""
        row = replace(entry.row, status="Closed", chatwoot_status="resolved", gone_us=now_us)
        return self.set_conversation(entry, row, now_us, now_us)

    def note_read(
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
        """How far conversations are read for everyone by now: one event each, however many changes
        told of it.
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

    def _give_up_number(
        self, entry: TrackedConversation, known: TrackedMessage, now_us: int
    ) -> None:
        """Its number is another message's now."""
        number = known.row.chatwoot_message_id or 0
        self.reissued.append((entry.row.integration_id or 0, "message", number))
        row = replace(known.row, chatwoot_message_id=None, former_number=number)
        self.set_message(entry, known, row, now_us, now_us)

    def _note_reading(self, entry: TrackedConversation, change: Change) -> None:
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

    def _apply_contact(
        self, entry: TrackedConversation, change: Change, received_us: int
    ) -> Result:
        """A contact's conversation shows them by their present name. It has no version: what comes
        later is newer.
        """
        told, before = change.conversation, entry.row.external_user_name
        name = told.contact_name or before
        for known in (
            one
            for one in entry.messages
            if one.row.sender_type == "customer" and one.row.sender_name == before
        ):
            self.set_message(
                entry, known, replace(known.row, sender_name=name), change.at_us, received_us
            )
        after = replace(
            entry.row,
            contact=told.contact,
            external_user_name=name,
            external_user_id=_external_user_id(entry.row, told),
        )
        return self.set_conversation(entry, after, change.at_us, received_us)

    def _update_conversation(
        self, entry: TrackedConversation, change: Change, received_us: int
    ) -> Result:
        told, before = change.conversation, entry.row
        after = _take_state(before, told, received_us) if _is_newer(told, before) else before
        if not told.version_us:
            after = _take_hints(before, change)
        if after == before or replace(after, told_at=before.told_at) == before:
            return Result.SAME
        entry.is_dirty = True
        if is_same_conversation_view(after, before):
            entry.row = after  # a newer version that shows nothing new
            return Result.SAME
        entry.row = replace(after, updated_us=received_us)
        return Result.UPDATED

    def _take_deliveries(
        self, entry: TrackedConversation, change: Change, received_us: int
    ) -> None:
        """What the conversation tells of messages that are known: of its last one, and of those the
        customer has seen.
        """
        last = change.conversation.last
        for known in entry.messages:
            row = known.row
            if (
                last is not None
                and row.chatwoot_message_id == last.message_id
                and not row.is_deleted
            ):
                age = _age(row, change.conversation.version_us, received_us)
                told = with_status(row, last.status, last.error, age=age)
                # a list that was asked for before is older than this
                if told is not row and change.message is None:
                    told = replace(told, told_at=max(row.told_at, received_us))
                row = told
            row = seen(row, entry.row)
            if row is not known.row:
                self.set_message(entry, known, row, change.at_us, received_us)

    def _apply_message(
        self, entry: TrackedConversation, told: MessageState, at_us: int, received_us: int
    ) -> Result:
        known = _find(entry.messages, told)
        has_its_number = (
            known is not None
            and known.row.id
            and known.row.chatwoot_message_id == told.message_id is not None
        )
        if (
            known is not None
            and has_its_number
            and is_another_message(known.row, told, received_us)
        ):
            self._give_up_number(entry, known, received_us)
            known = None
        if known is None:
            row = _new_message(entry.row.id, told, received_us, _reply_of(entry.messages, told))
            self.put_message(entry, seen(row, entry.row), at_us, received_us)
            return Result.CREATED
        return self.set_message(
            entry,
            known,
            seen(_told_again(known.row, told, received_us), entry.row),
            at_us,
            received_us,
        )


def _new_conversation(change: Change, source: Source, received_us: int) -> Conversation:
    told = change.conversation
    created_us = told.created_us or (change.message.created_us if change.message else change.at_us)
    empty = Conversation(
        id=0,
        company_id=source.company_id,
        platform="chatwoot",
        external_user_id=None,
        external_user_name=None,
        status="Open",
        last_message_us=created_us,
        created_us=created_us,
        updated_us=received_us,
        integration_id=source.integration_id,
        chatwoot_conversation_id=told.display_id,
    )
    return _take_state(empty, told, received_us)


def _is_newer(told: ConversationState, row: Conversation) -> bool:
    """By its version, which is Chatwoot's clock. Where that was set back, an answer is still
    younger than its question, and so than all that had been received by then.
    """
    return told.version_us >= row.chatwoot_version or row.told_at < told.asked_us


def _take_state(row: Conversation, told: ConversationState, received_us: int) -> Conversation:
    """The conversation with everything the newer state says; what it does not say stays."""
    is_late = row.gone_us is not None and told.version_us <= row.gone_us + _LATE_GONE_US
    if is_late and told.asked_us <= (row.gone_us or 0):
        return row  # what was under way when it was deleted
    is_whole = told.version_us > 0
    contact = told.contact or row.contact
    status = told.status or row.chatwoot_status
    return replace(
        row,
        external_user_id=_external_user_id(row, told),
        external_user_name=told.contact_name or row.external_user_name,
        status=_status(told.status) if told.status else row.status,
        chatwoot_status=status,
        gone_us=None,
        chatwoot_version=told.version_us or row.chatwoot_version,
        told_at=max(row.told_at, told.asked_us or received_us) if is_whole else row.told_at,
        channel=told.channel or row.channel,
        contact=contact,
        assignee=told.assignee if is_whole else row.assignee,
        labels=told.labels if told.labels is not None else row.labels,
        priority=told.priority if is_whole else row.priority,
        waiting_since_us=told.waiting_since_us if is_whole else row.waiting_since_us,
        can_reply=told.can_reply if told.can_reply is not None else row.can_reply,
        contact_seen_us=max(told.contact_seen_us or 0, row.contact_seen_us or 0) or None,
    )


def _take_hints(row: Conversation, change: Change) -> Conversation:
    """The simple payload has no version: it fills what is missing, and a customer who writes opens
    a closed conversation again.
    """
    told = change.conversation
    row = replace(
        row,
        external_user_id=row.external_user_id or _external_user_id(row, told),
        external_user_name=row.external_user_name or told.contact_name,
        contact=row.contact or told.contact,
    )
    message = change.message
    is_new_word = (
        message is not None
        and message.sender_type == "customer"
        and message.created_us > (row.last_message_us or 0)
    )
    if is_new_word and told.status is None and row.status == "Closed" and not told.is_silent:
        row = replace(row, status="Open", chatwoot_status="open")
    return row


def _external_user_id(row: Conversation, told: ConversationState) -> str | None:
    if told.contact is None or told.contact.id is None:
        return row.external_user_id
    return f"chatwoot_{told.contact.id}_{told.display_id}"


def _status(chatwoot_status: str) -> str:
    return "Closed" if chatwoot_status == "resolved" else "Open"


def _new_message(
    conversation_id: int, told: MessageState, received_us: int, reply: Message | None
) -> Message:
    """`reply`: the one written here that Chatwoot made this of, beside another message."""
    row = Message(
        id=0,
        conversation_id=conversation_id,
        sender_type=told.sender_type,
        content=told.content,
        created_us=told.created_us,
        chatwoot_message_id=told.message_id,
        chatwoot_version=told.version_us,
        told_at=told.asked_us or received_us,
        sender_name=told.sender_name,
        content_type=told.content_type,
        attachments=told.attachments,
        is_private=told.is_private,
        is_deleted=told.is_deleted,
    )
    if reply is not None:
        row = replace(
            row, agent_id=reply.agent_id, sender_name=reply.sender_name, delivery_state="sent"
        )
    return with_status(row, told.status, told.error, age=Age.NEWER)


def _told_again(row: Message, told: MessageState, received_us: int) -> Message:
    """What a stored message becomes when Chatwoot tells of it once more."""
    is_first_word, row = row.chatwoot_message_id is None, _identified(row, told)
    if row.is_deleted:
        return replace(row, sender_name=present_name(row, told)) if told.asked_us else row
    age = _age_of(row, told, received_us)
    row = with_status(row, told.status, told.error, age=Age.NEWER if is_first_word else age)
    if age is Age.OLDER:
        return replace(row, edited_us=was_edited_at(row, told))
    told_at = told.asked_us or received_us
    return replace(
        row,
        content=kept_content(
            row, told.content, was_asked=bool(told.asked_us), is_deleted=told.is_deleted
        ),
        attachments=with_known_sizes(told.attachments, row.attachments),
        is_deleted=told.is_deleted,
        edited_us=edited_at(row, told, told_at),
        content_type=told.content_type or row.content_type,
        sender_name=present_name(row, told),
        chatwoot_version=max(row.chatwoot_version, told.version_us),
        # a newer version begins anew: an older one that was received later says nothing about what
        # follows
        told_at=told_at if told.version_us > row.chatwoot_version else max(row.told_at, told_at),
    )


def _identified(row: Message, told: MessageState) -> Message:
    """The first of response, webhook and sync to know Chatwoot's id of a message sets it; it has
    then reached Chatwoot.
    """
    if told.message_id is None or row.chatwoot_message_id is not None:
        return row
    # files sent from here get the addresses that Chatwoot has them under
    attachments = told.attachments or row.attachments
    row = replace(
        row,
        chatwoot_message_id=told.message_id,
        content_type=row.content_type or told.content_type,
        attachments=attachments,
    )
    if row.sender_name is None:
        row = replace(row, sender_name=told.sender_name)
    if row.client_id is not None:
        row = arrived(
            replace(row, next_attempt_us=None, is_outcome_unknown=False),
            is_private=told.is_private,
            status=told.status,
        )
        # ours until then: it stands where Chatwoot, and the customer, has it
        row = replace(row, created_us=told.created_us)
    return row


def _age_of(row: Message, told: MessageState, received_us: int) -> Age:
    """Chatwoot gives messages no version: a webhook carries its conversation's, which edits and
    states do not always move, and a list none at all. What is left open ends with the next reading
    of the conversation, within a round.
    """
    if told.is_deleted:
        return Age.NEWER
    # a list is younger than its question, and so than all that had been received by then
    if told.asked_us:
        return Age.NEWER if row.told_at < told.asked_us else Age.OLDER
    return _age(row, told.version_us, received_us) if told.is_update else Age.OLDER


def _age(row: Message, version_us: int, received_us: int) -> Age:
    if version_us != row.chatwoot_version:
        return Age.NEWER if version_us > row.chatwoot_version else Age.OLDER
    # of the same version: one that was received before the question, and taken in after the answer,
    # is older than that
    return age_within_version(row.told_at, received_us)


def _with_message(row: Conversation, message: Message, received_us: int) -> Conversation:
    is_inbound = message.sender_type == "customer" and not message.is_private
    is_read = is_inbound and is_born_read(row, message)
    row = replace(
        row,
        inbound_count=row.inbound_count + is_inbound,
        read_count=row.read_count + is_read,
        updated_us=received_us,
    )
    if is_inbound and message.created_us is not None:
        row = replace(row, last_inbound_us=max(message.created_us, row.last_inbound_us or 0))
    return row if message.is_private or not is_newest(message, row) else _showing(row, message)


def _showing(row: Conversation, message: Message, *, is_moved: bool = False) -> Conversation:
    """The list shows this message now. `is_moved`: it was shown before, and its time may have been
    corrected.
    """
    at_us = (
        message.created_us if is_moved else max(message.created_us or 0, row.last_message_us or 0)
    )
    return replace(
        row,
        last_message_us=at_us,
        last_message_number=message.chatwoot_message_id,
        preview=preview_of(message),
    )


def _find(messages: list[TrackedMessage], told: MessageState) -> TrackedMessage | None:
    """The stored message that this one is: by Chatwoot's id, by our marker, else its twin."""
    for entry in messages:
        if told.message_id is not None and entry.row.chatwoot_message_id == told.message_id:
            return entry
    if told.client_id is not None:
        for entry in messages:
            # with an id of its own already it is another message, which the customer got as well
            is_free = told.message_id is None or entry.row.chatwoot_message_id is None
            if (
                entry.row.client_id == told.client_id
                and is_free
                and not is_part(entry.row, told.content)
            ):
                return entry
    for entry in messages:
        if _is_twin(entry.row, told):
            return entry
    return None


def _reply_of(messages: list[TrackedMessage], told: MessageState) -> Message | None:
    """The reply that this is a further message of: Chatwoot made several of it, one a file, each
    with its marker.
    """
    if told.client_id is None or told.sender_type != "agent":
        return None
    return next(
        (
            entry.row
            for entry in messages
            if entry.row.client_id == told.client_id and is_ours(entry.row)
        ),
        None,
    )


def _is_twin(row: Message, told: MessageState) -> bool:
    if told.message_id is not None and row.chatwoot_message_id is not None:
        return False  # two ids are two messages, however equal
    if row.client_id is not None and row.chatwoot_message_id is None:
        return False  # a reply on its way is found by its marker alone
    return (
        row.sender_type == told.sender_type
        and row.is_private == told.is_private
        and row.created_us is not None
        and abs(row.created_us - told.created_us) <= TWIN_SECONDS * SECOND
        and row.content == told.content
    )
