"""Whether two texts that Chatwoot gives for a message are an edit, or the same text in another
form.

Chatwoot 4.4 to 4.12 sent what the channel renders (HTML) by webhook and the source by REST, and a
survey's webhook has its link at the end; it cuts and changes white space when it stores a text.
None of that is somebody's edit.
"""

import html
import re

from server.core.chatwoot.changes import MessageState
from server.core.state.entities import Message

_LINK = re.compile(r"\]\([^)\s]*\)")
_TAG = re.compile(r"</?[a-z][^>]*>", re.IGNORECASE)
SURVEY = "input_csat"


def edited_at(row: Message, incoming: MessageState, observed_us: int) -> int | None:
    """Return when the message was last edited, as far as we know, given this newer text, received
    at `observed_us`. Chatwoot gives a time of its own only where the customer edited it in their
    app.
    """
    if not incoming.is_deleted and incoming.edited_us is not None:
        return incoming.edited_us
    if incoming.is_deleted or (row.client_id is not None and not row.chatwoot_version):
        # a reply written here, told for the first time: Chatwoot may have filled in a name or
        # changed white space
        return None
    return (
        observed_us
        if is_other_text(row.content, incoming.content, row.content_type)
        else row.edited_us
    )


def was_edited_at(row: Message, incoming: MessageState, received_us: int) -> int | None:
    """Return the same where the older text comes, at `received_us`, after the newer one, which is
    stored already: webhooks come in any order.
    """
    is_older = (
        not incoming.is_update
        and not incoming.asked_us
        and incoming.version_us <= row.chatwoot_version + 1  # a creation counts as older by one
    )
    if row.edited_us is not None or row.client_id is not None or not is_older:
        return row.edited_us
    # 0: healed; when it was seen is not known
    observed_us = row.observed_us or received_us
    return observed_us if is_other_text(row.content, incoming.content, row.content_type) else None


def is_other_text(before: str, after: str, content_type: str | None = None) -> bool:
    """Whether a person would call the second text an edit of the first. Other markup of the same
    words, as Chatwoot's webhooks and REST have it, is none.
    """
    # a survey's webhook and REST have different texts, and nobody edits one
    if before == after or content_type == SURVEY:
        return False
    old, new = _plain(before), _plain(after)
    if old == new:
        return False
    if is_marked_up(before) == is_marked_up(after):
        return True
    return _letters(before) != _letters(after)


def is_marked_up(text: str) -> bool:
    """Whether there are tags in it."""
    return _TAG.search(text) is not None


def _plain(text: str) -> str:
    """Without differences in white space; a backslash before a line's end is Chatwoot's own way to
    write one.
    """
    return " ".join(text.replace("\\\n", "\n").split())


def _letters(text: str) -> str:
    """What markdown and the HTML made of it have in common."""
    bare = html.unescape(_TAG.sub("", _LINK.sub("]", text)))
    return "".join(letter for letter in bare if letter.isalnum())
