"""Reads single values of Chatwoot's JSON, which may be of any type: what does not fit is absent."""

from typing import Any

from server.core.bidi import without_turning
from server.core.identifiers import MAX_ID, parse_id

Json = dict[str, Any]

MAX_NAME_CHARACTERS = 255


def as_dict(value: object) -> Json:
    """Return the object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_text(value: object, max_characters: int) -> str | None:
    """Return the text, cut; None for an empty one and for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)  # the old documentation shows identifiers as numbers
    return value[:max_characters] if isinstance(value, str) and value.strip() else None


def as_count(value: object) -> int | None:
    """Return a whole number from 0 that our columns hold; None for anything else."""
    return (
        value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID
        else None
    )


def as_file_name(value: object) -> str | None:
    """Return the name without characters that turn the direction of writing."""
    name = as_text(value, MAX_NAME_CHARACTERS)
    return without_turning(name).strip() or None if name else None


def as_web_address(value: object) -> str | None:
    """Return the address if it is http(s): a `javascript:` address in a forged payload would become
    a link in the page.
    """
    text = as_text(value, 2000)
    return text if text and text.lower().startswith(("https://", "http://")) else None


def first_object(value: object) -> Json:
    """Return the first element of a list of objects; an empty object for anything else."""
    return as_dict(value[0]) if isinstance(value, list) and value else {}


def first_id(*values: object) -> int | None:
    """Return the first of the values that is an id."""
    for value in values:
        if (number := parse_id(value)) is not None:
            return number
    return None
