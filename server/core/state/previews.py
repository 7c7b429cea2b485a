"""What a conversation keeps of its thread for its row in the list, and what clients see of that."""

from typing import Any

import msgspec

# how much a message has to say to the one who looks at the list
UNKNOWN = 0  # a preview that a version before these words stored
WITHDRAWN = 1  # deleted, or not sent: shown only where there is nothing else
MACHINE = 2  # nobody wrote it: shown only where nobody has spoken
SPOKEN = 3


class Preview(msgspec.Struct, frozen=True, rename="camel"):
    """The beginning of the message that stands for a conversation in the list."""

    content: str
    sender_type: str
    has_attachments: bool = False
    # left out for a text
    kind: str | msgspec.UnsetType = msgspec.UNSET


class UnsentReply(msgspec.Struct, frozen=True, rename="camel"):
    """The newest reply that failed, where no later one has arrived. `message_id` is 0 until the
    message is inserted; `number` is Chatwoot's.
    """

    message_id: int
    at_us: int | None
    code: str
    number: int | None = None


class RowPreview(Preview, frozen=True, rename="camel"):
    """A preview as it is stored, as JSON: with the place and the rank of its message, the reply
    that was not sent, and when the customer's newest message with an older time came.
    """

    at_us: int | None = None
    number: int | None = None  # Chatwoot's
    rank: int = UNKNOWN
    unsent: UnsentReply | None = None
    late_us: int | None = None


def shown_preview(preview: RowPreview | None) -> Preview | None:
    """Return what clients see of it."""
    if preview is None:
        return None
    return Preview(preview.content, preview.sender_type, preview.has_attachments, preview.kind)


def shown_unsent(preview: RowPreview | None, to_text: Any) -> dict[str, Any] | None:
    """Return the reply that was not sent as clients see it; `to_text` writes a moment."""
    if preview is None or preview.unsent is None:
        return None
    unsent = preview.unsent
    return {"messageId": unsent.message_id, "at": to_text(unsent.at_us), "code": unsent.code}


def comparable(preview: RowPreview | None) -> tuple[Preview | None, Any]:
    """Return a value that is equal for two previews in which clients see no difference."""
    unsent = preview.unsent if preview is not None else None
    at_us = unsent.at_us // 1000 if unsent is not None and unsent.at_us is not None else None
    return shown_preview(preview), unsent and (unsent.message_id, at_us, unsent.code)
