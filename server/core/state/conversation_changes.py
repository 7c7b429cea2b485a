"""What a conversation becomes by what Chatwoot says of it. A state by version; what comes with no
version only fills in what is not known.
"""

from msgspec.structs import replace

from server.core.chatwoot.changes import Change, ConversationState
from server.core.state.entities import Conversation, Message
from server.core.state.marks import with_newer
from server.core.state.read_marks import is_born_read
from server.core.state.thread_order import is_newest
from server.core.state.tracked import Source
from server.core.times import MILLISECOND, SECOND, is_rounded

# what Chatwoot tells of a conversation this long after it was gone is no late word
_LATE_GONE_US = 600 * SECOND


def new_conversation(change: Change, source: Source, received_us: int) -> Conversation:
    """Return the row for a conversation seen for the first time; its id is 0 until it is
    inserted.
    """
    incoming = change.conversation
    created_us = incoming.created_us or (
        change.message.created_us if change.message else change.at_us
    )
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
        chatwoot_conversation_id=incoming.display_id,
    )
    return merge_state(empty, incoming, received_us)


def with_inbox(row: Conversation, inbox_name: str | None) -> Conversation:
    """Name its inbox by the integration, where nothing that Chatwoot said of it has named it."""
    if row.marks.inbox_name is not None or inbox_name is None:
        return row
    return replace(row, marks=replace(row.marks, inbox_name=inbox_name))


def without_inbox(incoming: ConversationState) -> ConversationState:
    """Leave out the name of the inbox: a payload may have been built before the inbox was renamed,
    and nothing in it says so.
    """
    if incoming.marks is None or incoming.marks.inbox_name is None:
        return incoming
    return replace(incoming, marks=replace(incoming.marks, inbox_name=None))


def is_newer(incoming: ConversationState, row: Conversation) -> bool:
    """By its version, which is Chatwoot's clock. Where that was set back, an answer is still
    younger than its question, and so than all that had been received by then. Versions can be
    equal: then the creation is the older one. Rows of an earlier release have them rounded to
    milliseconds, and so perhaps later than they were.
    """
    known_us = row.chatwoot_version
    if incoming.is_creation:
        return incoming.version_us > known_us
    if is_rounded(known_us):
        known_us -= MILLISECOND // 2
    return incoming.version_us >= known_us or row.observed_us < incoming.asked_us


def merge_state(row: Conversation, incoming: ConversationState, received_us: int) -> Conversation:
    """The conversation with everything the newer state says; what it does not say stays."""
    is_late = row.gone_us is not None and incoming.version_us <= row.gone_us + _LATE_GONE_US
    if is_late and incoming.asked_us <= (row.gone_us or 0):
        return row  # what was under way when it was deleted
    is_whole = incoming.version_us > 0
    contact = incoming.contact or row.contact
    status = incoming.status or row.chatwoot_status
    return replace(
        row,
        external_user_id=external_user_id(row, incoming),
        external_user_name=incoming.contact_name or row.external_user_name,
        status=_status(incoming.status) if incoming.status else row.status,
        chatwoot_status=status,
        gone_us=None,
        chatwoot_version=incoming.version_us or row.chatwoot_version,
        observed_us=max(row.observed_us, incoming.asked_us or received_us)
        if is_whole
        else row.observed_us,
        channel=incoming.channel or row.channel,
        contact=contact,
        assignee=incoming.assignee if is_whole else row.assignee,
        labels=incoming.labels if incoming.labels is not None else row.labels,
        priority=incoming.priority if is_whole else row.priority,
        waiting_since_us=incoming.waiting_since_us if is_whole else row.waiting_since_us,
        can_reply=incoming.can_reply if incoming.can_reply is not None else row.can_reply,
        contact_seen_us=max(incoming.contact_seen_us or 0, row.contact_seen_us or 0) or None,
        marks=with_newer(
            row.marks,
            incoming.marks,
            is_whole=is_whole,
            as_of_us=incoming.asked_us or max(incoming.as_of_us, incoming.version_us),
        ),
    )


def merge_hints(row: Conversation, change: Change) -> Conversation:
    """The simple payload has no version: it fills what is missing, and a customer who writes opens
    a closed conversation again.
    """
    incoming = change.conversation
    row = replace(
        row,
        external_user_id=row.external_user_id or external_user_id(row, incoming),
        external_user_name=row.external_user_name or incoming.contact_name,
        contact=row.contact or incoming.contact,
        marks=with_newer(row.marks, incoming.marks, is_whole=False),
    )
    message = change.message
    is_new_word = (
        message is not None
        and message.sender_type == "customer"
        and message.created_us > (row.last_message_us or 0)
    )
    if (
        is_new_word
        and incoming.status is None
        and row.status == "Closed"
        and not incoming.is_silent
    ):
        row = replace(row, status="Open", chatwoot_status="open")
    return row


def external_user_id(row: Conversation, incoming: ConversationState) -> str | None:
    """Return the CRM's name of the customer, made of Chatwoot's contact and conversation; as it was
    if no contact is given.
    """
    if incoming.contact is None or incoming.contact.id is None:
        return row.external_user_id
    return f"chatwoot_{incoming.contact.id}_{incoming.display_id}"


def _status(chatwoot_status: str) -> str:
    return "Closed" if chatwoot_status == "resolved" else "Open"


def count_message(row: Conversation, message: Message, received_us: int) -> Conversation:
    """Return the row with this new message in its counts and its times."""
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
    return row if message.is_private or not is_newest(message, row) else lift(row, message)


def lift(row: Conversation, message: Message, *, is_moved: bool = False) -> Conversation:
    """The conversation stands in the list by the time of this message. `is_moved`: it did so
    before, and the time may have been corrected.
    """
    at_us = (
        message.created_us if is_moved else max(message.created_us or 0, row.last_message_us or 0)
    )
    return replace(row, last_message_us=at_us, last_message_number=message.chatwoot_message_id)
