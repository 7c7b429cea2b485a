"""Sentences that the server makes in English, told in the language of a page.

What is wrong with an integration is found, stored and answered over the API as English sentences. A
page in another language looks such a sentence up by its pattern, with the same values in it; one
that is not known stays as it is.
"""

import re
from collections.abc import Mapping

_PLACE = re.compile(r"\{(\w+)\}")
_ENDS = (".", "!", "?", "…", "।")


class Sentences:
    """`patterns`: the English pattern, with its values as `{names}`, to the same in another
    language. `end` closes a sentence.
    """

    def __init__(self, patterns: Mapping[str, str], end: str = ".") -> None:
        self._end = end
        # the most exact first: the more of a pattern is text, the less can be meant by mistake
        ordered = sorted(patterns, key=lambda pattern: -len(_PLACE.sub("", pattern)))
        self._known = [(_compile(pattern), patterns[pattern]) for pattern in ordered]

    def tell(self, text: str) -> str:
        """The sentence, whole, with its end."""
        told = self._translate(text)
        return told if told.endswith(_ENDS) else told + self._end

    def words(self, text: str) -> str:
        """The same as a part of a table or a list: no end is added."""
        return self._translate(text)

    def knows(self, text: str) -> bool:
        return any(pattern.fullmatch(text) for pattern, _ in self._known)

    def _translate(self, text: str) -> str:
        for pattern, told in self._known:
            if (found := pattern.fullmatch(text)) is not None:
                # a value may be a sentence again: Chatwoot's reason within ours
                values = {
                    name: self._translate(value) if len(value) < len(text) else value
                    for name, value in found.groupdict().items()
                }
                return _PLACE.sub(lambda place: values[place[1]], told)  # noqa: B023 - used at once
        return text


def _compile(pattern: str) -> re.Pattern[str]:
    parts = _PLACE.split(pattern)  # text and names in turn
    made = (re.escape(part) if n % 2 == 0 else f"(?P<{part}>.+?)" for n, part in enumerate(parts))
    return re.compile("".join(made), re.DOTALL)
