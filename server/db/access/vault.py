"""Tokens and secrets at rest: encrypted with SECRET_KEY where there is one; clear text written
before is still read.

A key is changed by naming the old one in SECRET_KEY_PREVIOUS: what it sealed opens, and is sealed
anew by `db upgrade`.
"""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken

from server.errors import ConfigurationError
from server.problems import Problem

_MARK = "enc1:"


class Vault:
    """`secret_key` is any text; an empty one stores clear text. `previous` keys open and never
    seal.
    """

    def __init__(self, secret_key: str, previous: Sequence[str] = ()) -> None:
        self._fernet = _fernet(secret_key) if secret_key else None
        self._previous = [_fernet(key) for key in previous]

    def seal(self, text: str | None) -> str | None:
        """Encrypt an access token for its column; unchanged where no key is set, None stays
        None.
        """
        if text is None or self._fernet is None:
            return text
        return _MARK + self._fernet.encrypt(text.encode()).decode()

    def open(self, stored: str | None) -> str | None:
        """Raises ConfigurationError when it was sealed with another key."""
        if stored is None or not stored.startswith(_MARK):
            return stored
        if self._fernet is None:
            raise ConfigurationError(Problem.of("vault.no_key"))
        for fernet in (self._fernet, *self._previous):
            if (text := _decrypt(fernet, stored)) is not None:
                return text
        raise ConfigurationError(Problem.of("vault.other_key"))

    def try_open(self, stored: str | None) -> str | None:
        """As `open`, with None for what another key has sealed."""
        try:
            return self.open(stored)
        except ConfigurationError:
            return None

    def is_current(self, stored: str | None) -> bool:
        """Whether there is nothing to seal anew: sealed with the newest key, or nothing at all, or
        no key to seal with.
        """
        if not stored or self._fernet is None:
            return True
        return stored.startswith(_MARK) and _decrypt(self._fernet, stored) is not None


def _fernet(key: str) -> Fernet:
    return Fernet(
        base64.urlsafe_b64encode(hashlib.sha256(f"omni-inbox tokens {key}".encode()).digest())
    )


def _decrypt(fernet: Fernet, stored: str) -> str | None:
    try:
        return fernet.decrypt(stored[len(_MARK) :].encode()).decode()
    except InvalidToken:
        return None
