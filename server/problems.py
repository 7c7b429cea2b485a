"""Problems as codes: what was found, apart from the sentences that say it.

A rule that finds something returns or raises a `Problem`: a code and the values that belong to it.
Sentences are made at the edge, from one catalogue for each language: the API, commands and the log
in English, a page in its reader's language. Nothing is recognised by its wording.

A `Text` that is a plain `str` is shown as it is in every language: words of Chatwoot or of the
database server, and rows that were written before problems had codes.
"""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, Union

import msgspec

from server.web_folder import web_folder

LOCALE = web_folder() / "locale" / "problems"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ENDS = (".", "!", "?", "…", "।")
_STORED = '{"code":"'  # how a row begins that holds a problem and not a sentence

Value: TypeAlias = Union[str, int, "Problem"]


class Problem(msgspec.Struct, frozen=True):
    """A value may be a problem again: Chatwoot's reason within ours."""

    code: str
    params: dict[str, Value] = {}

    @classmethod
    def of(cls, code: str, /, **params: Value) -> "Problem":
        """A test holds the code and the names of the values to the catalogues: write both
        literally.
        """
        return cls(code, params)

    def __str__(self) -> str:
        return english(self)


Text: TypeAlias = str | Problem
_decode = msgspec.json.Decoder(Problem).decode


class Catalogue:
    """The sentences of one language. `end` closes a sentence; `words` holds the words of Chatwoot's
    that are known in this language.
    """

    def __init__(
        self, texts: Mapping[str, str], end: str = ".", words: Mapping[str, str] | None = None
    ) -> None:
        self._texts = texts
        self._end = end
        self._words = words or {}

    def sentence(self, text: Text) -> str:
        """The text as a whole sentence, with its end."""
        rendered = self.render(text)
        return rendered if rendered.endswith(_ENDS) else rendered + self._end

    def render(self, text: Text) -> str:
        """The text as a part of a table or of another sentence: no end is added."""
        if isinstance(text, str):
            return self._words.get(text, text)
        pattern = self._texts.get(text.code)
        if pattern is None:  # of a newer version of this program
            values = ", ".join(self._value(value) for value in text.params.values())
            return f"{text.code} ({values})" if values else text.code
        return _PLACEHOLDER.sub(
            lambda place: self._value(text.params.get(place[1], place[0])), pattern
        )

    def _value(self, value: Value) -> str:
        return str(value) if isinstance(value, int) else self.render(value)


@functools.cache
def catalogue(language: str) -> Catalogue:
    """Read once a process. `language`: en or bn."""
    texts = _read(LOCALE / f"{language}.json")
    words = _read(LOCALE / "chatwoot.bn.json") if language == "bn" else {}
    return Catalogue(texts, "।" if language == "bn" else ".", words)


def english(text: Text) -> str:
    """As the API, the commands and the log say it."""
    return text if isinstance(text, str) else catalogue("en").render(text)


def english_or_none(text: Text | None) -> str | None:
    """The English sentence, where there is a text."""
    return None if text is None else english(text)


def in_english(value: Any) -> Any:
    """A body of the API, with a sentence in the place of each problem."""
    if isinstance(value, Problem):
        return english(value)
    if isinstance(value, dict):
        return {name: in_english(one) for name, one in value.items()}
    return [in_english(one) for one in value] if isinstance(value, list) else value


def encode(text: Text | None, max_characters: int = 255) -> str | None:
    """The text as a column keeps it. What is too long for the column is kept as its English
    sentence, cut.
    """
    if text is None:
        return None
    if isinstance(text, str):
        return text[:max_characters]
    stored = msgspec.json.encode(text).decode()
    return stored if len(stored) <= max_characters else english(text)[:max_characters]


def decode(stored: str | None) -> Text | None:
    """What a column holds: a problem, or the sentence that an earlier version wrote."""
    if stored is None or not stored.startswith(_STORED):
        return stored
    try:
        return _decode(stored)
    except msgspec.MsgspecError:
        return stored


def _read(file: Path) -> dict[str, str]:
    texts: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return texts
