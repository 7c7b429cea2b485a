"""Characters that turn the order of letters: in a file's name they make `exe.jpg` of `gpj.exe`."""

import re

_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def without_turning(text: str) -> str:
    """Return the text without characters that turn the direction of writing."""
    return _TURNING.sub("", text)
