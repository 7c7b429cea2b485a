"""All kinds of messages: what identifies one, and the line that stands for one without a text.

A kind that is not here is `unknown`, and its line says Chatwoot's own name for it.
"""

from collections.abc import Sequence

from server.core.state.message_details import MessageDetails

UNKNOWN = "unknown"
# kind -> its word
KINDS = {
    "text": "Message",
    "image": "Image",
    "audio": "Audio",
    "video": "Video",
    "file": "File",
    "sticker": "Sticker",
    "location": "Location",
    "contact": "Contact",
    "link": "Link",
    "email": "Email",
    "options": "Question with options",
    "form": "Form",
    "cards": "Cards",
    "articles": "Articles",
    "rating": "Rating",
    "emailAsked": "Asks for an email address",
    "call": "Call",
    "meeting": "Meeting",
    "poll": "Poll",
    "unsupported": "Cannot be shown here: open it in the customer's app",
    UNKNOWN: "Message without text",
}
_CONTENT_TYPES = {
    "sticker": "sticker",
    "incoming_email": "email",
    "input_select": "options",
    "form": "form",
    "cards": "cards",
    "article": "articles",
    "input_csat": "rating",
    "input_email": "emailAsked",
    "voice_call": "call",
    "integrations": "meeting",
    "poll": "poll",
}
# Chatwoot's own words, in no agent's language: Voice::CallMessageBuilder, the bots' articles
_STAND_INS = {"call": "Voice Call", "articles": "articles"}
PLAIN_TYPES = (None, "", "text", "input_text", "input_textarea")
_FILE_TYPES = {
    name: kind
    for kind, names in {
        "image": ("image",),
        "audio": ("audio",),
        "video": ("video",),
        "file": ("file",),
        "location": ("location",),
        "contact": ("contact",),
        "link": (
            *("fallback", "share", "embed", "story_mention"),
            *("ig_reel", "ig_story", "ig_post", "reel", "story", "post", "link"),
        ),
    }.items()
    for name in names
}
# these show themselves: no line stands for them
FILE_KINDS = ("image", "audio", "video", "file", "sticker")


def kind_of(
    content_type: str | None,
    file_types: Sequence[str],
    content: str,
    details: MessageDetails | None,
) -> str:
    """Return the kind of a message with files of these types."""
    if details is not None and details.is_unsupported:
        return "unsupported"
    if (kind := _CONTENT_TYPES.get(content_type or "")) is not None:
        return kind
    if content_type not in PLAIN_TYPES:
        return UNKNOWN
    if file_types:
        return _FILE_TYPES.get(file_types[0], "file")
    return "text" if content.strip() else UNKNOWN


def is_stand_in(kind: str | None, content: str) -> bool:
    """Whether a text only stands for what the message shows besides: Chatwoot's own word for it, or
    the address of a sticker's picture (LINE).
    """
    return content.startswith("![") if kind == "sticker" else content == _STAND_INS.get(kind or "")


def line_of(
    kind: str, content_type: str | None, title: str | None, details: MessageDetails | None
) -> str:
    """Return the line that stands for a message without a text; `title`: its first attachment's."""
    if kind == UNKNOWN and content_type not in PLAIN_TYPES:
        return str(content_type)
    more = title
    if details is not None and details.email is not None:
        more = details.email.subject or more
    return f"{KINDS[kind]}: {more}" if more else KINDS[kind]
