"""Tokens at rest: sealed with the key, opened with it alone; what was stored in the clear is still
read.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.db.access.vault import Vault
from server.errors import ConfigurationError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS.filter(bool), TEXTS)
def test_what_is_sealed_opens_again(key: str, text: str) -> None:
    """With any key, in any script; and never twice the same."""
    vault = Vault(key)
    sealed = vault.seal(text)
    assert sealed is not None
    assert sealed.startswith("enc1:")
    assert sealed != vault.seal(text)
    assert vault.open(sealed) == Vault(key).open(sealed) == text


def test_without_a_key_it_is_kept_as_given() -> None:
    """And read so later, when there is a key; nothing stays nothing."""
    assert Vault("").seal("token") == "token"
    assert Vault("key").open("token") == Vault("").open("token") == "token"
    assert Vault("key").seal(None) is None
    assert Vault("key").open(None) is None


@pytest.mark.parametrize(
    ("key", "sentence"), [("", "set SECRET_KEY"), ("other", "SECRET_KEY is not the key")]
)
def test_another_key_is_said_so(key: str, sentence: str) -> None:
    """Not a broken token: a setting that must be put right."""
    sealed = Vault("key").seal("token")
    with pytest.raises(ConfigurationError, match=sentence):
        Vault(key).open(sealed)


def test_a_damaged_value_is_refused() -> None:
    """Whatever happened to the row."""
    with pytest.raises(ConfigurationError):
        Vault("key").open("enc1:xx")
