"""One form for what Chatwoot says of a message, whatever its source: they write the same in
different forms.

REST has the editor's markdown, webhooks have it made plain (webhook_content_normalizer.rb); the
order of attachments differs; width and height are filled in later, of which nobody is told; a
survey's webhook has another text than REST.
"""

import re
from urllib.parse import urlsplit

from msgspec.structs import replace

from server.core.chatwoot.attachment_payloads import in_order
from server.core.chatwoot.changes import MessageState
from server.core.chatwoot.edits import SURVEY, is_other_text
from server.core.state.delivery import ARRIVED
from server.core.state.entities import Attachment, Message
from server.core.state.views import is_same_message_view

_BREAK = re.compile(r"\\\r?\n")
_ESCAPED_LINE = re.compile(r"(?<=\\\n)\\(?=(?:-+|=+)[ \t]*(?:\\?\n|$))")
_FENCE = re.compile(r"^(`{3,}|~{3,})", re.MULTILINE)


def plain_text(text: str) -> str:
    """Without the backslashes that the editor writes for line breaks, and without empty lines at
    the end.
    """
    # inside a code block the same characters are somebody's own
    if "\\" in text and not _FENCE.search(text):
        text = _ESCAPED_LINE.sub("", text.replace("\\\r\n", "\\\n"))
    return _BREAK.sub("\n", text).rstrip("\r\n") if text.strip() else text


def kept_content(row: Message, content: str, *, was_asked: bool, is_deleted: bool) -> str:
    """The text to keep. A survey's own text is what REST has; its webhook replaces it, or puts an
    address behind it.
    """
    return (
        row.content if row.content_type == SURVEY and not was_asked and not is_deleted else content
    )


def present_name(row: Message, incoming: MessageState) -> str | None:
    """A customer's older messages show the name they have now, as in Chatwoot."""
    return (
        incoming.sender_name or row.sender_name
        if row.sender_type == "customer"
        else row.sender_name
    )


def differs_in_dress(before: Message, after: Message) -> bool:
    """Whether two forms of a message that look different say the same, or differ in what webhooks
    do not tell.
    """
    if (
        is_other_text(before.content, after.content, after.content_type)
        or before.is_deleted != after.is_deleted
    ):
        return False
    old = replace(
        before,
        content=after.content,
        content_type=after.content_type,
        sender_name=after.sender_name,
        edited_us=after.edited_us if _is_dated_edit(after) else before.edited_us,
        # an older version of ours did not keep them
        details=after.details if before.details is None else before.details,
    )
    if after.delivery_state in ARRIVED:
        old = replace(old, delivery_state=after.delivery_state, delivery_error=after.delivery_error)
    bare = replace(after, attachments=_bare(after.attachments))
    return is_same_message_view(replace(old, attachments=_bare(old.attachments)), bare)


def _is_dated_edit(message: Message) -> bool:
    """Whether Chatwoot tells the earlier text, and with it the moment of the edit."""
    return message.details is not None and message.details.previous_content is not None


def _bare(attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """What webhooks tell of them: a width is filled in later without any, and an older version of
    ours did not keep what a place or a card says.
    """
    return tuple(
        Attachment(
            one.id,
            one.type,
            url=_path(one.url),
            name=one.name,
            size_bytes=one.size_bytes,
            transcript=one.transcript,
            link=one.link,
        )
        for one in in_order(attachments)
    )


def _path(url: str | None) -> str | None:
    return urlsplit(url).path if url else None
