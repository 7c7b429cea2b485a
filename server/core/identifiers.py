"""Numbers that name rows, ours and Chatwoot's: their bounds, and how text becomes one."""

from typing import TypeGuard

MAX_ID = 2**63 - 1  # a BIGINT column
MAX_INT32 = 2**31 - 1  # an INT column
MAX_SAFE_INTEGER = 2**53 - 1  # JavaScript counts no further without error
_MAX_DIGITS = 19  # of MAX_ID


def parse_digits(text: str, most: int = MAX_ID) -> int | None:
    """Read a whole number from 0 to `most`, written in ASCII digits; None for any other text.

    `str.isdigit` alone takes digits that `int` refuses, and `int` refuses long texts.
    """
    if len(text) > _MAX_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= most else None


def is_id(value: object) -> TypeGuard[int]:
    """Whether it is a number that a row can have; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID


def parse_id(value: object) -> int | None:
    """Read an id from JSON, where it may be written as text; None for what is none."""
    number = parse_digits(value) if isinstance(value, str) else value
    return number if is_id(number) else None
