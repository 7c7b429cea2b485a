"""Preferences: closed sets, defaults, and what another version has stored."""

import pytest

from server.core.state.preference_rules import (
    CHOICES,
    change_preferences,
    encode_preferences,
    parse_preferences,
)
from server.errors import BadRequest


def test_nothing_stored_is_the_defaults() -> None:
    """The first of each set; everything that makes a noise is off."""
    defaults = parse_preferences(None)
    assert list(defaults) == list(CHOICES)
    assert (
        defaults["language"],
        defaults["sound"],
        defaults["notifications"],
        defaults["undoSeconds"],
    ) == ("auto", False, False, 0)


def test_every_choice_is_kept() -> None:
    """Whatever the set names comes back as it was given."""
    for name, values in CHOICES.items():
        for value in values:
            changed = change_preferences(parse_preferences(None), {name: value})
            assert parse_preferences(encode_preferences(changed)) == changed
            assert changed[name] is value


def test_what_is_not_named_stays() -> None:
    """A change of one leaves the others."""
    before = change_preferences(parse_preferences(None), {"theme": "dark", "sound": True})
    assert change_preferences(before, {"language": "bn"}) == before | {"language": "bn"}


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        "dark",
        {"theme": "pink"},
        {"colour": "red"},
        {"sound": 1},
        {"undoSeconds": True},
        {"undoSeconds": 4},
        {"theme": []},
    ],
)
def test_what_is_in_no_set_is_refused(given: object) -> None:
    """1 is not true, and a name we do not know is not kept."""
    with pytest.raises(BadRequest):
        change_preferences(parse_preferences(None), given)


def test_a_value_of_another_version_counts_as_never_chosen() -> None:
    """And a name we do not know is left out."""
    assert parse_preferences(
        '{"theme": "sepia", "language": "bn", "gone": 1}'
    ) == parse_preferences(None) | {"language": "bn"}
