"""The one form in which texts are searched: what is stored and what is asked for become equal in
it.

Keyboards write one letter in several ways (U+09DF, or U+09AF U+09BC), telephones curl quotes,
people leave accents out. The form is built letter by letter, and letters only ever come apart: so
what is found in a text is found in its form as well. Both databases compare it byte by byte.
"""

import functools
import unicodedata

from server.core.state.entities import Attachment, Contact, Conversation, Message
from server.core.state.message_details import searched_words

# with the text itself it fits into the smallest packet a database takes
MESSAGE_MAX_BYTES = 262_144
CONVERSATION_MAX_BYTES = 8_192
_FOLDS_MAX = 20_000  # letters whose form is remembered
_BETWEEN = "\n"  # no form has a line break, so nothing is found across two fields
_PHONE = frozenset("0123456789+-(). /")
_PHONE_MIN_DIGITS = 5

# combining classes. 7, 8 and 9 (nukta, voicing, hasanta) stay, as vowel signs do, which are of
# class 0: they make another letter
_STROKE = 1
_POINTS = range(10, 37)  # of Hebrew, Arabic and Syriac: written or left out as one likes
_ACCENTS = 200  # and above

_SAME = (
    {
        # khanda ta, which older keyboards write as ta, hasanta and a joiner
        "\u09ce": "\u09a4\u09cd",
        "\u0986": "\u0985\u09be",  # long a, written as short a and its sign
        "\u0640": "",  # a line that makes an Arabic word longer
        "ı": "i",
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "æ": "ae",
        "œ": "oe",
    }
    | dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u00b4`", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"')
)


class _Folds(dict[int, str]):
    """The form of each letter, computed when it first occurs."""

    def __missing__(self, code: int) -> str:
        form = _fold(chr(code))
        if len(self) < _FOLDS_MAX:
            self[code] = form
        return form


_folds = _Folds()


def search_form(text: str) -> str:
    """The form of a text; equal for every spelling of it, and its own form."""
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split()) if "`" not in text else _slowly(text)
    return _slowly(text)


def message_form(message: Message) -> str:
    """What a message is found by; nothing, where it was deleted."""
    if message.is_deleted:
        return ""
    words = [word for one in message.attachments for word in _words_of(one)]
    words = list(dict.fromkeys([*words, *searched_words(message.details)]))
    found = [content_form(message.content), *map(search_form, words)]
    return _cut(_BETWEEN.join(form for form in found if form), MESSAGE_MAX_BYTES)


def _words_of(one: Attachment) -> list[str]:
    """A place's title and address are its name as well."""
    own = [one.name, one.transcript, one.title if one.type != "location" else None]
    if one.contact is not None:
        own += [one.contact.name, *one.contact.phones, *one.contact.emails]
    return [word for word in own if word]


def content_form(content: str) -> str:
    """What a text of a message is found by, cut at MESSAGE_MAX_BYTES."""
    return _cut(search_form(content[:MESSAGE_MAX_BYTES]), MESSAGE_MAX_BYTES)


def conversation_form(conversation: Conversation) -> str:
    """What a conversation is found by: its customer's name, numbers and addresses."""
    return customer_form(conversation.external_user_name, conversation.contact)


@functools.lru_cache(maxsize=4096)
def customer_form(name: str | None, contact: Contact | None) -> str:
    """As `conversation_form`. A telephone number is in it as it is shown, and once more without
    what is between digits.
    """
    given = [name]
    if contact is not None:
        given += [contact.email, contact.phone, contact.identifier]
    fields = [search_form(field) for field in given if field]
    if contact is not None and contact.phone and (digits := phone_digits(contact.phone)):
        fields.append(digits)
    return _cut(_BETWEEN.join(dict.fromkeys(fields)), CONVERSATION_MAX_BYTES)


def phone_digits(text: str) -> str | None:
    """Return the digits of what may be a telephone number, however it is grouped; None for anything
    else.
    """
    form = search_form(text)
    if not _PHONE.issuperset(form):
        return None
    digits = "".join(letter for letter in form if letter.isdigit())
    return digits if len(digits) >= _PHONE_MIN_DIGITS else None


def _slowly(text: str) -> str:
    return " ".join(unicodedata.normalize("NFD", text).translate(_folds).split())


def _fold(letter: str) -> str:
    """The form of one letter, which may be several letters or none."""
    if (same := _SAME.get(letter)) is not None:
        return same
    category = unicodedata.category(letter)
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return " "
    # joiners and marks of direction; which picture is meant
    if category in ("Cf", "Cs") or "\ufe00" <= letter <= "\ufe0f":
        return ""
    if category == "Pd":
        return "-"
    if category == "Nd":
        return str(unicodedata.digit(letter))
    rank = unicodedata.combining(letter)
    if rank == _STROKE or rank in _POINTS or rank >= _ACCENTS:
        return ""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", letter).casefold())
    return letter if apart == letter else "".join(_fold(one) for one in apart)


def _cut(form: str, max_bytes: int) -> str:
    if 4 * len(form) <= max_bytes:
        return form
    return form.encode()[:max_bytes].decode(errors="ignore")
