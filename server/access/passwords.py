"""Passwords: hashed and verified in threads, two at a time, as argon2 takes 64 MB and a core each
time.
"""

import asyncio

import argon2

from server.access.sign_in_limits import SignInLimits
from server.db.access import agent_rows
from server.db.access.agent_rows import Agent
from server.db.engine.database import Database
from server.errors import BadRequest, TooManyRequests, Unprocessable
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


class Passwords:
    """Makes and checks the passwords of agents."""

    def __init__(self, database: Database, limits: SignInLimits) -> None:
        self._database = database
        self._limits = limits
        self._hashes = PasswordHashes()

    async def hash(self, password: str) -> str:
        """A new password's hash, made in a thread. Raises BadRequest for one that is too short or
        too long.
        """
        if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
            raise BadRequest(
                Problem.of(
                    "password.length", least=MIN_PASSWORD_CHARACTERS, most=MAX_PASSWORD_CHARACTERS
                )
            )
        return await self._hashes.make(password)

    async def is_right(self, stored: str | None, password: str, *, is_known: bool = False) -> bool:
        """Whether the password is right; it takes as long where nothing is stored. `is_known`: the
        browser is one of the account's own, and does not wait behind strangers. Raises
        TooManyRequests.
        """
        return await self._hashes.is_right(stored, password, is_known=is_known)

    async def check(self, agent: Agent, password: str, address: str) -> None:
        """Has somebody who is signed in prove it once more. Raises Unprocessable or
        TooManyRequests.
        """
        self._limits.check_signed_in(address, agent.email)
        email = agent.email or ""
        found = await self._database.read(lambda c: agent_rows.read_password(c, email))
        if found is None or found[1] is None:
            raise Unprocessable(Problem.of("password.crm_agent"))
        if not await self._hashes.is_right(found[1], password):
            raise Unprocessable(Problem.of("password.wrong"))


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
