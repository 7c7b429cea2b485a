"""Canned replies: texts a company answers with again and again, found by what is typed after `/`.
Pure.
"""

import unicodedata

import msgspec

from server.errors import BadRequest

MAX_SHORTCUT_CHARACTERS = 40
MAX_CONTENT_CHARACTERS = 10_000
MAX_CANNED_REPLIES = 500  # they are all sent at once, and an agent finds none among more


class CannedReply(msgspec.Struct, frozen=True):
    """A company's ready text, which agents insert by its shortcut."""

    id: int
    shortcut: str
    content: str


def checked_shortcut(value: object) -> str:
    """In the one form in which shortcuts are compared. Raises BadRequest.

    Letters of any script, with their vowel signs: only what would end or hide the word is refused.
    """
    if not isinstance(value, str):
        raise BadRequest("shortcut must be text")
    shortcut = unicodedata.normalize("NFC", value.strip()).lower()
    if not 0 < len(shortcut) <= MAX_SHORTCUT_CHARACTERS:
        raise BadRequest(f"shortcut must have 1 to {MAX_SHORTCUT_CHARACTERS} characters")
    if any(
        letter == "/"
        or letter.isspace()
        or unicodedata.category(letter) in ("Cc", "Cs", "Co", "Cn")
        for letter in shortcut
    ):
        raise BadRequest("shortcut must be one word without a slash")
    return shortcut


def checked_content(value: object) -> str:
    """Raises BadRequest."""
    if not isinstance(value, str) or not value.strip():
        raise BadRequest("content must be the reply's text")
    if len(value) > MAX_CONTENT_CHARACTERS:
        raise BadRequest(
            f"content has at most {MAX_CONTENT_CHARACTERS:,} characters; this has {len(value):,}"
        )
    return value
