"""A sign-in computes the same for a name that is there and for one that is not."""

import argon2
import pytest

from server.passwords import PasswordHashes, hash_password


async def test_an_unknown_name_costs_what_a_known_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash is computed for each, with the same costs and lengths: the answer's time tells nothing."""
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
