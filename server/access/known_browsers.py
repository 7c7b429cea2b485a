"""Browsers that an account has signed in with: known by a cookie of their own."""

import hashlib
import hmac


def browser_key(stored: str, email: str) -> str:
    """The cookie's value: made from the password's hash, so that it ends with the password."""
    return hmac.new(stored.encode(), f"known browser {email}".encode(), hashlib.sha256).hexdigest()


def is_known(key: str | None, stored: str | None, email: str) -> bool:
    """Whether a browser's cookie says rightly that this account has signed in with it."""
    return bool(
        key and stored and hmac.compare_digest(key.encode(), browser_key(stored, email).encode())
    )
