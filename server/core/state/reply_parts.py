"""How a reply is divided into messages, by what its channel carries.

Chatwoot makes one message of one request, and its channels then send what they can of it: WhatsApp
the first file only, and no text beside a voice message; TikTok refuses text with a file, and two
files. So Chatwoot's own page sends one request a file there, and so do we: each part is a message
of its own here, too, with its own marker, attempts and state.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from server.core.state.upload_rules import MAX_FILES

# at most one file a message; Twilio's WhatsApp is told apart from its SMS by nothing that comes
# with a message
_ONE_FILE = ("Channel::Whatsapp", "Channel::TwilioSms")
_TEXT_APART = ("Channel::Instagram", "Channel::Tiktok")
_AUDIO = "audio/"
_MOST_PARTS = MAX_FILES + 1
_MAX_KEY_CHARACTERS = 64  # of the column, and of Chatwoot's marker
_MARK = "~"  # in no Idempotency-Key


class Part(msgspec.Struct, frozen=True):
    """A message of a reply: its text, and which of the files."""

    content: str
    files: tuple[int, ...] = ()


def divided(
    channel: str | None, content: str, kinds: Sequence[str], *, is_private: bool
) -> tuple[list[Part], int]:
    """The messages of a reply in the order in which the customer gets them, and the place of the
    one that is answered with: it has the text. `kinds` are the files' content types. A note goes
    to no channel and stays whole.
    """
    if is_private or not kinds or channel not in (*_ONE_FILE, *_TEXT_APART):
        return [Part(content, tuple(range(len(kinds))))], 0
    captioned = _captioned(channel, kinds) if content.strip() else None
    parts = [Part(content if n == captioned else "", (n,)) for n in range(len(kinds))]
    if content.strip() and captioned is None:
        return [*parts, Part(content)], len(parts)
    return parts, captioned or 0


def _captioned(channel: str | None, kinds: Sequence[str]) -> int | None:
    """The file that the text goes with; None: with none."""
    if channel in _TEXT_APART:
        return None
    return next((n for n, kind in enumerate(kinds) if not kind.startswith(_AUDIO)), None)


def part_keys(key: str) -> list[str]:
    """Keys of the messages that a reply may have besides the one with its own key."""
    head = key
    if len(key) > _MAX_KEY_CHARACTERS - 4:
        head = hashlib.sha256(key.encode()).hexdigest()[: _MAX_KEY_CHARACTERS - 4]
    return [f"{head}{_MARK}{n}" for n in range(1, _MOST_PARTS)]


def is_further_part(key: str | None) -> bool:
    """Whether a message is a part of a reply besides the one with its own key."""
    return key is not None and _MARK in key
