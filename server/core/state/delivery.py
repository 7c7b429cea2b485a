"""How far a message to a customer has come, as Chatwoot says: with a message (REST), as a
conversation's last message, and by what a customer of the web chat has seen. Nothing is concluded
from silence: a message Chatwoot said nothing of has no state, `sent` but for replies written here,
which it confirmed.

What comes in comes in any order, from webhooks, REST and Chatwoot's socket. So a state goes forward
only (progress, sent, delivered, read), a failure takes the place of all that came before it, and a
failure is taken back only by what is certainly newer than it.
"""

import hashlib
from enum import Enum

from msgspec.structs import replace

from server.core.chatwoot.edits import is_marked_up, is_other_text
from server.core.state.entities import (
    PROGRESS,
    Conversation,
    DeliveryError,
    Discard,
    Message,
    ReplyRequest,
)
from server.core.state.refusals import CHANNEL_ERROR
from server.core.times import SECOND
from server.errors import Conflict

ARRIVED = ("delivered", "read")
WEB_CHAT = "Channel::WebWidget"
_REFUSED = "The channel did not deliver it, and Chatwoot does not say why"
STORED_PUBLIC, STORED_PRIVATE = "stored_public", "stored_private"
_MISTAKEN = {
    STORED_PUBLIC: (
        "Chatwoot stored this note as a public message: the customer may have read it. Delete it "
        "in Chatwoot"
    ),
    STORED_PRIVATE: (
        "Chatwoot stored this reply as a private note: the customer has not got it. Write it in "
        "Chatwoot"
    ),
}
_RANK = {"delivered": 1, "read": 2}  # whatever is missing here came before both
# A payload is built some minutes before it comes: its job waits in Chatwoot's queue (153 s were
# seen), where other sources overtake it
_LATE_US = 600 * SECOND


class Age(Enum):
    """How a new state compares with what is known already. `UNKNOWN`: of the same version, as most
    are that say how far a message is.
    """

    OLDER = "older"
    UNKNOWN = "unknown"
    NEWER = "newer"


def age_within_version(known_us: int, received_us: int) -> Age:
    """The age of what has the version of what we know. `known_us`: when that was received."""
    if received_us < known_us:
        return Age.OLDER
    return Age.NEWER if received_us - known_us > _LATE_US else Age.UNKNOWN


def is_ours(row: Message) -> bool:
    """Written here: a reply, or what Chatwoot has made of a reply besides its first message."""
    return row.client_id is not None or row.agent_id is not None


def is_part(reply: Message, content: object) -> bool:
    """Whether a message with the reply's marker is only a file of it: Chatwoot puts the text into
    one of them, which is the reply. A reply without files has no parts: one that Chatwoot has
    without text was nothing but a name that it does not know.
    """
    has_text = isinstance(content, str) and bool(content.strip())
    return bool(reply.attachments and reply.content.strip()) and not has_text


def with_stored_text(row: Message, content: str) -> Message:
    """A reply with the text that Chatwoot has stored, which is the one that the customer gets:
    names are filled in. What was written is kept as a digest, for its idempotency key. The same
    words in another markup, as older Chatwoots send them by webhook, change nothing.
    """
    if content == row.content or (
        is_marked_up(content) and not is_other_text(row.content, content)
    ):
        return row
    request = row.request or ReplyRequest()
    written = request.written or text_digest(row.content)
    return replace(row, content=content, request=replace(request, written=written))


def text_digest(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def arrived(row: Message, *, is_private: bool, status: str | None = None) -> Message:
    """What was written here, once Chatwoot has it; `is_private`: as it is stored there. A note that
    the customer can read, or a reply they cannot, has failed for good, whatever Chatwoot says of
    its delivery. `status`: as Chatwoot told it together with that.
    """
    if is_private == row.is_private:
        state = PROGRESS if status == PROGRESS and not is_private else "sent"
        return replace(row, delivery_state=state, delivery_error=None)
    code = STORED_PUBLIC if row.is_private else STORED_PRIVATE
    return replace(
        row, delivery_state="failed", delivery_error=DeliveryError(code, _MISTAKEN[code])
    )


def with_status(row: Message, status: str | None, error: str | None, *, age: Age) -> Message:
    """Return the message after Chatwoot gave its status, or (as older ones do) only an error or
    none. The channel's refusal is Chatwoot's to give and to withdraw (an agent sent it again
    there); a failure we found out stays.
    """
    code = row.delivery_error.code if row.delivery_error is not None else None
    if code in _MISTAKEN:
        return row
    is_refusal = error is not None or status == "failed"
    if is_refusal and is_to_be_sent_again(row):
        return row
    if row.delivery_state == "failed" and code == CHANNEL_ERROR and not is_refusal:
        return _put_right(row, status) if age is Age.NEWER else row
    if is_refusal:
        if age is Age.OLDER:
            return row
        # the same failure told once more is no reason to remind anybody of it
        discarded = discarded_by(row)
        delivery_error = DeliveryError(CHANNEL_ERROR, error or _REFUSED, discarded)
        return replace(row, delivery_state="failed", delivery_error=delivery_error)
    return _further(row, status, age)


def discarded_by(row: Message) -> Discard | None:
    """Who has discarded it, where it has failed and stays so."""
    if row.delivery_state != "failed" or row.delivery_error is None:
        return None
    return row.delivery_error.discarded


def with_discard(row: Message, by: Discard) -> Message:
    """The message once an agent wants it sent no more; the first one's word stays. Raises Conflict
    for one that has not failed.
    """
    if row.delivery_state != "failed" or row.is_deleted or row.sender_type != "agent":
        raise Conflict("Only a message that has failed can be discarded")
    error = row.delivery_error or DeliveryError(CHANNEL_ERROR, _REFUSED)
    return row if error.discarded else replace(row, delivery_error=replace(error, discarded=by))


def may_be_sent_again(row: Message) -> bool:
    """Whether Chatwoot has it, and can hand it to its channel once more."""
    code = row.delivery_error.code if row.delivery_error is not None else None
    return (
        row.delivery_state == "failed"
        and row.chatwoot_message_id is not None
        and row.sender_type == "agent"
        and not row.is_private
        and not row.is_deleted
        and code not in _MISTAKEN
    )


def is_to_be_sent_again(row: Message) -> bool:
    """Whether Chatwoot has it and is about to be asked to hand it to its channel once more: until
    then every refusal is an older one.
    """
    return (
        row.delivery_state == "sending"
        and row.chatwoot_message_id is not None
        and not row.is_outcome_unknown
    )


def _put_right(row: Message, status: str | None) -> Message:
    state = status if status in (*ARRIVED, PROGRESS) else "sent" if is_ours(row) else None
    return replace(row, delivery_state=state, delivery_error=None)


def _further(row: Message, status: str | None, age: Age) -> Message:
    """A state that goes forward may come late, and still is one it has passed."""
    state = row.delivery_state
    is_out = (
        row.chatwoot_message_id is not None and row.sender_type == "agent" and not row.is_private
    )
    if not is_out or status is None or state in ("sending", status):
        return row
    if status in ARRIVED:
        is_further = _RANK[status] > _RANK.get(state or "", 0)
        return replace(row, delivery_state=status, delivery_error=None) if is_further else row
    if status == PROGRESS:
        return (
            replace(row, delivery_state=PROGRESS)
            if age is Age.NEWER and state in (None, "sent")
            else row
        )
    if state == PROGRESS:
        return replace(row, delivery_state="sent" if is_ours(row) else None)
    return row


def seen(row: Message, conversation: Conversation) -> Message:
    """The message after a customer of the web chat was seen there. Both times are known by the
    second: in the same one it may have been written after the look.
    """
    seen_us = conversation.contact_seen_us
    if (
        conversation.channel != WEB_CHAT
        or seen_us is None
        or row.created_us is None
        or row.delivery_state == "failed"
    ):
        return row
    is_read = row.created_us // SECOND < seen_us // SECOND
    return with_status(row, "read", None, age=Age.OLDER) if is_read else row
