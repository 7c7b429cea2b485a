"""Tokens and secrets at rest: encrypted with SECRET_KEY where there is one; clear text written before is still read."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken

from server.errors import ConfigurationError

_MARK = "enc1:"


class Vault:
    """`secret_key` is any text; an empty one stores clear text."""

    def __init__(self, secret_key: str) -> None:
        key = base64.urlsafe_b64encode(hashlib.sha256(f"omni-inbox tokens {secret_key}".encode()).digest())
        self._fernet = Fernet(key) if secret_key else None

    def seal(self, text: str | None) -> str | None:
        if text is None or self._fernet is None:
            return text
        return _MARK + self._fernet.encrypt(text.encode()).decode()

    def open(self, stored: str | None) -> str | None:
        """Raises ConfigurationError when it was sealed with another key."""
        if stored is None or not stored.startswith(_MARK):
            return stored
        if self._fernet is None:
            raise ConfigurationError("The database holds encrypted tokens: set SECRET_KEY to the key they were stored with")
        try:
            return self._fernet.decrypt(stored[len(_MARK) :].encode()).decode()
        except InvalidToken:
            raise ConfigurationError("SECRET_KEY is not the key the tokens were stored with") from None
