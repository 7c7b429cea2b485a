"""What agents may choose for themselves. Closed sets; what was never chosen has its default.
Pure.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from server.errors import BadRequest

CHOICES: Mapping[str, tuple[str | bool | int, ...]] = {
    "language": ("auto", "en", "bn"),
    "digits": ("auto", "latn", "beng"),
    "theme": ("auto", "light", "dark"),
    "sound": (False, True),
    "notifications": (False, True),
    "shortcuts": (True, False),
    "undoSeconds": (0, 3, 5, 10),
}
"""The first of each is the default."""

Preferences = dict[str, str | bool | int]


def parse_preferences(text: str | None) -> Preferences:
    """All preferences from what is stored; a value of another version's set counts as never
    chosen.
    """
    stored: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    return {
        name: stored[name] if _is_choice(name, stored.get(name)) else values[0]
        for name, values in CHOICES.items()
    }


def encode_preferences(preferences: Preferences) -> str:
    """Encode an agent's preferences as the JSON that is stored."""
    return msgspec.json.encode(preferences).decode()


def change_preferences(before: Preferences, given: object) -> Preferences:
    """With these changed; names that are not given stay. Raises BadRequest, which names what may be
    chosen.
    """
    if not isinstance(given, dict):
        raise BadRequest("preferences must be an object")
    for name, value in given.items():
        if name not in CHOICES:
            raise BadRequest(
                f"There is no preference {str(name)[:40]!r}; there are {', '.join(CHOICES)}"
            )
        if not _is_choice(name, value):
            raise BadRequest(f"{name} must be one of {', '.join(map(_as_json, CHOICES[name]))}")
    return before | given


def _is_choice(name: str, value: object) -> bool:
    # `1` and `True` are equal to Python, and two things in JSON
    return any(value == choice and type(value) is type(choice) for choice in CHOICES[name])


def _as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()
