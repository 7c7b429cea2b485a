"""Passwords: hashed and verified in threads, two at a time, as argon2 takes 64 MB and a core each
time.
"""

import asyncio

import argon2

from server.errors import TooManyRequests
from server.problems import Problem

MIN_PASSWORD_CHARACTERS = 10  # characters
MAX_PASSWORD_CHARACTERS = 1_000
_MAX_WAITING = 40  # some seconds of work: who comes later is told at once
_hasher = argon2.PasswordHasher()


class PasswordHashes:
    """One queue for strangers, and one for people whose browser is known: who guesses keeps nobody
    out.
    """

    def __init__(self) -> None:
        self._hashing = asyncio.Semaphore(2)
        self._hashing_known = asyncio.Semaphore(1)
        self._waiting = 0

    async def make(self, password: str) -> str:
        """A new password's hash. Cancelling the wait is safe."""
        async with self._hashing_known:
            return await asyncio.to_thread(hash_password, password)

    async def is_right(self, stored: str | None, password: str, *, is_known: bool = False) -> bool:
        """Verifies a password; takes as long where there is nothing stored: an answer must not tell
        whether an account is there. Raises TooManyRequests while too many strangers wait.
        """
        if is_known:
            async with self._hashing_known:
                return await _verified(stored, password)
        if self._waiting >= _MAX_WAITING:
            raise TooManyRequests(Problem.of("sign_in.too_many"))
        self._waiting += 1
        try:
            async with self._hashing:
                return await _verified(stored, password)
        finally:
            self._waiting -= 1


async def _verified(stored: str | None, password: str) -> bool:
    return await asyncio.to_thread(_verify, stored or _DUMMY_HASH, password) and stored is not None


def hash_password(password: str) -> str:
    """The argon2 hash of a password. Blocks: call it in a thread."""
    return _hasher.hash(password)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


# verified in the place of an unknown account's hash
_DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$" + "c2FsdHNhbHRzYWx0c2FsdA" + "$" + "A" * 43
