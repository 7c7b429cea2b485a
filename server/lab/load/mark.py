"""The mark at the beginning of every text the harness writes: which message it is, and when it was
written.

`#17@82345000123 Hello`: number 17, written when the machine's monotonic clock stood at so many
microseconds. The clock is the same for all processes of a machine, so whoever reads the text knows
its delay without being told anything else.
"""

import re
import time
from collections.abc import Iterator

CONTENT = b'"content":"#'
_MARKED = re.compile(rb'"content":"#(\d+)@(\d+) ')
_TEXT = re.compile(r"#(\d+)@\d+ ")


def mark_text(number: int, text: str, written_at: float | None = None) -> str:
    """`text` with the mark in front; `written_at` in monotonic seconds (None: now)."""
    at = time.monotonic() if written_at is None else written_at
    return f"#{number}@{int(at * 1e6)} {text}"


def parse_marks(data: bytes) -> Iterator[tuple[int, float]]:
    """(number, written at) of every marked text in this JSON."""
    for found in _MARKED.finditer(data):
        yield int(found[1]), int(found[2]) / 1e6


def last_mark(event: bytes) -> tuple[int, float] | None:
    """Of the last marked text in the JSON of one event: its message's, as the preview comes before.
    Quicker than to look for all.
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
    """The number of a marked text, None where there is no mark."""
    found = _TEXT.match(text)
    return int(found[1]) if found else None
