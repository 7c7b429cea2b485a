"""Passwords: hashed and verified in threads, two at a time, as argon2 takes 64 MB and a core each time."""

import asyncio

import argon2

PASSWORD_LEAST = 10  # characters
PASSWORD_MOST = 1_000
_hasher = argon2.PasswordHasher()


class PasswordHashes:
    def __init__(self) -> None:
        self._hashing = asyncio.Semaphore(2)

    async def make(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(hash_password, password)

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Takes as long where there is nothing stored: an answer must not tell whether an account is there."""
        async with self._hashing:
            return await asyncio.to_thread(_verify, stored or _DUMMY_HASH, password) and stored is not None


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


# verified in the place of an unknown account's hash
_DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$" + "c2FsdHNhbHRzYWx0c2FsdA" + "$" + "A" * 43
