"""What a message becomes when Chatwoot says something of it, and which stored message it is: by
Chatwoot's id, by our marker, or (without an id) by conversation, sender type and content within a
second.
"""

from msgspec.structs import replace

from server.core.chatwoot.attachment_payloads import with_known
from server.core.chatwoot.changes import MessageState
from server.core.chatwoot.edits import edited_at, was_edited_at
from server.core.chatwoot.normal_form import (
    kept_content,
    present_name,
)
from server.core.state.delivery import (
    Age,
    age_within_version,
    arrived,
    is_ours,
    is_part,
    with_status,
    with_stored_text,
)
from server.core.state.entities import Message
from server.core.state.message_details import NO_DETAILS, MessageDetails
from server.core.state.tracked import TrackedMessage
from server.core.times import SECOND

# two equal texts of one sender within this, where at least one has no id, are one message
TWIN_SECONDS = 1


def new_message(
    conversation_id: int, incoming: MessageState, received_us: int, reply: Message | None
) -> Message:
    """Return the row for a message that is not stored. `reply`: the one written here that Chatwoot
    made this of, beside another message.
    """
    row = Message(
        id=0,
        conversation_id=conversation_id,
        sender_type=incoming.sender_type,
        content=incoming.content,
        created_us=incoming.created_us,
        chatwoot_message_id=incoming.message_id,
        chatwoot_version=_first_version(incoming),
        observed_us=incoming.asked_us or received_us,
        sender_name=incoming.sender_name,
        content_type=incoming.content_type,
        attachments=incoming.attachments,
        is_private=incoming.is_private,
        is_deleted=incoming.is_deleted,
        edited_us=None if incoming.is_deleted else incoming.edited_us,
        details=incoming.details if reply is None else _known_details(None, incoming),
    )
    if reply is not None:
        row = replace(
            row, agent_id=reply.agent_id, sender_name=reply.sender_name, delivery_state="sent"
        )
    return with_status(row, incoming.status, incoming.error, age=Age.NEWER)


def _first_version(incoming: MessageState) -> int:
    """Return the version of a message that is not stored. As it was created is how it was before
    anything else, so what is told of it in the same version is newer, also what was received a
    moment earlier: a creation counts as one microsecond older than its version, which is in whole
    milliseconds.
    """
    is_creation = not incoming.is_update and not incoming.asked_us
    return max(0, incoming.version_us - is_creation)


def merge_message(row: Message, incoming: MessageState, received_us: int) -> Message:
    """Return what a stored message becomes when Chatwoot sends its state again."""
    is_first_word, row = row.chatwoot_message_id is None, _identified(row, incoming)
    if row.is_deleted:
        return replace(row, sender_name=present_name(row, incoming)) if incoming.asked_us else row
    age = _age_of(row, incoming, received_us)
    row = with_status(row, incoming.status, incoming.error, age=Age.NEWER if is_first_word else age)
    if age is Age.OLDER:
        details = _with_late_sender(row, incoming)
        edited_us = was_edited_at(row, incoming, received_us)
        return replace(row, edited_us=edited_us, details=details)
    observed_us = incoming.asked_us or received_us
    return replace(
        row,
        content=kept_content(
            row, incoming.content, was_asked=bool(incoming.asked_us), is_deleted=incoming.is_deleted
        ),
        attachments=with_known(incoming.attachments, row.attachments),
        is_deleted=incoming.is_deleted,
        details=_details(row, incoming),
        edited_us=edited_at(row, incoming, observed_us),
        content_type=incoming.content_type or row.content_type,
        sender_name=present_name(row, incoming),
        chatwoot_version=max(row.chatwoot_version, incoming.version_us),
        # a newer version begins anew: an older one that was received later says nothing about what
        # follows
        observed_us=observed_us
        if incoming.version_us > row.chatwoot_version
        else max(row.observed_us, observed_us),
    )


def _details(row: Message, incoming: MessageState) -> MessageDetails | None:
    """REST does not say what was a campaign's: where no sender is named, it stays what it was."""
    known = row.details.sender_kind if row.details is not None else None
    return incoming.details if incoming.sender_name is not None else _known_details(known, incoming)


def _with_late_sender(row: Message, incoming: MessageState) -> MessageDetails | None:
    """What wrote it never changes: an older word on it is as good as a newer one."""
    known, told = row.details or NO_DETAILS, incoming.details or NO_DETAILS
    if known.sender_kind or row.sender_name or is_ours(row) or incoming.has_guessed_sender:
        return row.details
    return replace(known, sender_kind=told.sender_kind) if told.sender_kind else row.details


def _known_details(known: str | None, incoming: MessageState) -> MessageDetails | None:
    """The details of a message of which it is known what wrote it; None: a person, or nobody
    knows.
    """
    details = incoming.details or NO_DETAILS
    told = None if incoming.has_guessed_sender else details.sender_kind
    details = replace(details, sender_kind=told or known)
    return None if details == NO_DETAILS else details


def _identified(row: Message, incoming: MessageState) -> Message:
    """The first of response, webhook and sync to know Chatwoot's id of a message sets it; it has
    then reached Chatwoot.
    """
    if incoming.message_id is None or row.chatwoot_message_id is not None:
        return row
    # files sent from here get the addresses that Chatwoot has them under
    attachments = with_known(incoming.attachments, row.attachments) or row.attachments
    row = replace(
        row,
        chatwoot_message_id=incoming.message_id,
        content_type=row.content_type or incoming.content_type,
        attachments=attachments,
        details=row.details or _known_details(None, incoming),
    )
    if row.sender_name is None:
        row = replace(row, sender_name=incoming.sender_name)
    if row.client_id is not None:
        if not incoming.is_deleted:
            row = with_stored_text(row, incoming.content)
        row = arrived(
            replace(row, next_attempt_us=None, is_outcome_unknown=False),
            is_private=incoming.is_private,
            status=incoming.status,
        )
        # ours until then: it stands where Chatwoot, and the customer, has it
        row = replace(row, created_us=incoming.created_us)
    return row


def _age_of(row: Message, incoming: MessageState, received_us: int) -> Age:
    """Chatwoot gives messages no version: a webhook carries its conversation's, which edits and
    states do not always move, and a list none at all. What is left open ends with the next reading
    of the conversation, within a round.
    """
    if incoming.is_deleted:
        return Age.NEWER
    # a list is younger than its question, and so than all that had been received by then
    if incoming.asked_us:
        return Age.NEWER if row.observed_us < incoming.asked_us else Age.OLDER
    return (
        age_of_version(row, incoming.version_us, received_us) if incoming.is_update else Age.OLDER
    )


def age_of_version(row: Message, version_us: int, received_us: int) -> Age:
    """Compare a version of Chatwoot's, received at `received_us`, with the stored one."""
    if version_us != row.chatwoot_version:
        return Age.NEWER if version_us > row.chatwoot_version else Age.OLDER
    # of the same version: one that was received before the question, and taken in after the answer,
    # is older than that
    return age_within_version(row.observed_us, received_us)


def find_message(messages: list[TrackedMessage], incoming: MessageState) -> TrackedMessage | None:
    """The stored message that this one is: by Chatwoot's id, by our marker, else its twin."""
    for entry in messages:
        if incoming.message_id is not None and entry.row.chatwoot_message_id == incoming.message_id:
            return entry
    if incoming.client_id is not None:
        for entry in messages:
            # with an id of its own already it is another message, which the customer got as well
            is_free = incoming.message_id is None or entry.row.chatwoot_message_id is None
            if (
                entry.row.client_id == incoming.client_id
                and is_free
                and not is_part(entry.row, incoming.content)
            ):
                return entry
    for entry in messages:
        if _is_twin(entry.row, incoming):
            return entry
    return None


def find_own_reply(messages: list[TrackedMessage], incoming: MessageState) -> Message | None:
    """The reply that this is a further message of: Chatwoot made several of it, one a file, each
    with its marker.
    """
    if incoming.client_id is None or incoming.sender_type != "agent":
        return None
    return next(
        (
            entry.row
            for entry in messages
            if entry.row.client_id == incoming.client_id and is_ours(entry.row)
        ),
        None,
    )


def _is_twin(row: Message, incoming: MessageState) -> bool:
    if incoming.message_id is not None and row.chatwoot_message_id is not None:
        return False  # two ids are two messages, however equal
    if row.client_id is not None and row.chatwoot_message_id is None:
        return False  # a reply on its way is found by its marker alone
    return (
        row.sender_type == incoming.sender_type
        and row.is_private == incoming.is_private
        and row.created_us is not None
        and abs(row.created_us - incoming.created_us) <= TWIN_SECONDS * SECOND
        and row.content == incoming.content
    )
