"""A sign-in computes the same for a name that is there and for one that is not."""

import asyncio

import argon2
import pytest

from server.access.passwords import PasswordHashes, hash_password
from server.errors import TooManyRequests


async def test_an_unknown_name_costs_what_a_known_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash is computed for each, with the same costs and lengths: the answer's time tells
    nothing.
    """
    computed: list[argon2.Parameters] = []
    verify = argon2.PasswordHasher.verify

    def noted(hasher: argon2.PasswordHasher, stored: str | bytes, password: str | bytes) -> bool:
        computed.append(argon2.extract_parameters(str(stored)))
        return bool(verify(hasher, stored, password))

    stored, hashes = hash_password("the right one"), PasswordHashes()
    monkeypatch.setattr(argon2.PasswordHasher, "verify", noted)
    assert await hashes.is_right(stored, "the right one")
    assert not await hashes.is_right(stored, "a wrong one")
    assert not await hashes.is_right(None, "the right one")
    known, wrong, unknown = computed
    assert known == wrong == unknown
    assert unknown.memory_cost >= 65_536


async def test_nothing_stored_is_never_right() -> None:
    """Whatever is tried."""
    for password in ("", "A" * 43, "\x00"):
        assert not await PasswordHashes().is_right(None, password)


async def test_strangers_queue_is_bounded_and_nobody_known_waits_in_it() -> None:
    """Each guess takes a core for a tenth of a second: of sixty at once forty wait, and the others
    are told to come later.
    """
    stored = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("right one")
    hashes = PasswordHashes()

    async def is_refused() -> bool:
        try:
            return await hashes.is_right(stored, "wrong")
        except TooManyRequests:
            return True

    async with asyncio.TaskGroup() as group:
        guesses = [group.create_task(is_refused()) for _ in range(60)]
        known = group.create_task(hashes.is_right(stored, "right one", is_known=True))
    assert known.result()
    assert [guess.result() for guess in guesses] == [False] * 40 + [True] * 20
    assert await hashes.is_right(stored, "right one")
