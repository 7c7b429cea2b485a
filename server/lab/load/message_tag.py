"""The tag at the beginning of every text the harness writes: which message it is, and when it was
written.

`#17@82345000123 Hello`: number 17, written when the machine's monotonic clock stood at so many
microseconds. The clock is the same for all processes of a machine, so a reader of the text knows
its delay without anything else.
"""

import re
import time
from collections.abc import Iterator

CONTENT = b'"content":"#'
_TAGGED = re.compile(rb'"content":"#(\d+)@(\d+) ')
_TEXT = re.compile(r"#(\d+)@\d+ ")


def tag_text(number: int, text: str, written_at: float | None = None) -> str:
    """`text` with the tag in front; `written_at` in monotonic seconds (None: now)."""
    at = time.monotonic() if written_at is None else written_at
    return f"#{number}@{int(at * 1e6)} {text}"


def parse_tags(data: bytes) -> Iterator[tuple[int, float]]:
    """(number, written at) of every tagged text in this JSON."""
    for found in _TAGGED.finditer(data):
        yield int(found[1]), int(found[2]) / 1e6


def last_tag(event: bytes) -> tuple[int, float] | None:
    """(number, written at) of the last tagged text in the JSON of one event: its message's, as the
    preview comes before. Quicker than to search for all; None where there is none.
    """
    at = event.rfind(CONTENT)
    if at < 0:
        return None
    middle = event.find(b"@", at, at + 40)
    end = event.find(b" ", middle, middle + 24)
    if middle < 0 or end < 0:
        return None
    number, written_at = event[at + len(CONTENT) : middle], event[middle + 1 : end]
    return (
        (int(number), int(written_at) / 1e6) if number.isdigit() and written_at.isdigit() else None
    )


def number_of(text: str) -> int | None:
    """The number of a tagged text, None where there is no tag."""
    found = _TEXT.match(text)
    return int(found[1]) if found else None
