"""The kinds of message that a running Chatwoot was seen to make, as data: one file a family of
channels, in `kinds/`.

A kind belongs to an inbox, and is a list of steps: what is written, and what becomes of it.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

_FOLDER = Path(__file__).parent / "kinds"


class AttachmentSpec(msgspec.Struct, forbid_unknown_fields=True):
    """A file by its name, or what stands in for one."""

    name: str | None = None
    kind: str | None = None  # what Chatwoot calls a file whose content type does not say
    file_type: Literal["location", "contact", "fallback"] = "fallback"
    url: str | None = None
    fallback_title: str | None = None
    coordinates: tuple[float, float] | None = None
    meta: dict[str, Any] = {}


class KindContact(msgspec.Struct, forbid_unknown_fields=True):
    """The customer who writes a kind; `source_id` is the channel's number of theirs."""

    name: str
    source_id: str | None = None
    email: str | None = None
    phone_number: str | None = None
    identifier: str | None = None
    company_id: int | None = None
    additional_attributes: dict[str, Any] = {}
    custom_attributes: dict[str, Any] = {}


class Write(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="write"):
    """A message by the channel, by a person in the dashboard, or by Chatwoot itself."""

    by: Literal["customer", "agent", "bot", "nobody"]
    content: str | None = None
    message_type: Literal["incoming", "outgoing", "template"] | None = None  # by who writes
    content_type: str = "text"
    content_attributes: dict[str, Any] = {}
    additional_attributes: dict[str, Any] = {}
    attachments: list[AttachmentSpec | str] = []
    private: bool = False
    status: str = "sent"
    source_id: str | None = None  # its beginning; a number of its own follows
    hours_ago: float = 0.0
    member: KindContact | None = None  # who wrote it in a group


class Reply(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="reply"):
    """A message that is asked of the REST API."""

    content: str | None = None
    content_attributes: dict[str, Any] = {}
    attachments: list[str] = []
    status: str = "sent"  # as the channel begins with it


class Change(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="change"):
    """A later state of the message written last: only what is named changes."""

    content: str | None = None
    content_attributes: dict[str, Any] = {}
    status: str | None = None
    transcript: str | None = None


class Fail(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="fail"):
    """The channel refused the message written last, or could not deliver it."""

    reason: str


class Delete(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="delete"):
    """The message written last is deleted; these of its content attributes stay."""

    keeps: list[str] = []


class SetContact(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="contact"):
    """What the customer said of themselves is kept with their contact."""

    email: str
    company_id: int | None = None
    additional_attributes: dict[str, Any] = {}


class SetStatus(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="status"):
    """An agent sets the conversation's status."""

    status: str
    hours: float | None = None  # of a snoozed one


Step = Write | Reply | Change | Fail | Delete | SetContact | SetStatus


class Kind(msgspec.Struct, forbid_unknown_fields=True):
    """One kind of message."""

    id: str  # of its recording, `02-wa-location`
    name: str  # for people
    steps: list[Step]
    before: list[Step] = []  # what it needs to be there, in a conversation without messages
    contact: KindContact | None = None  # instead of the inbox's
    conversation: dict[str, Any] | None = None  # its additional attributes, of a new conversation
    is_built_late: bool = False  # its events show the state after the last step


class KindInbox(msgspec.Struct, forbid_unknown_fields=True):
    """An inbox with the kinds of message it was seen to have."""

    name: str
    channel: str
    contact: KindContact
    kinds: list[Kind]
    email: str | None = None  # its own address, of one for mail
    conversation: dict[str, Any] = {}  # additional attributes of its conversations
    custom_attributes: dict[str, Any] = {}  # the same
    before: list[Step] = []  # of kinds that name none


def read_catalogue() -> list[KindInbox]:
    """All inboxes with their kinds, in the order of the files' names."""
    files = sorted(_FOLDER.glob("*.json"))
    return [
        inbox
        for file in files
        for inbox in msgspec.json.decode(file.read_bytes(), type=list[KindInbox])
    ]


INBOXES = read_catalogue()
KINDS = {kind.id: (inbox, kind) for inbox in INBOXES for kind in inbox.kinds}
