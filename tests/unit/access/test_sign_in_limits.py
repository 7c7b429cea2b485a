"""Limits of guesses: a flood makes none of another kind forgotten."""

import contextlib
from pathlib import Path

import pytest

from server.db.engine.database import Database
from server.errors import (
    TooManyRequests,
)
from tests.unit.access.agent_tokens import access_of
from tests.unit.databases import fresh_sqlite


async def test_a_flood_of_accounts_makes_no_guess_forgotten(tmp_path: Path) -> None:
    """What is remembered has a bound: names that cost nothing to invent must not push out the
    account that is guessed at.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = access_of(database)
        for _ in range(100):
            with contextlib.suppress(TooManyRequests):
                access.limits.check_account("boss@example.org", is_known=False)
        for number in range(60_000):
            with contextlib.suppress(TooManyRequests):
                access.limits.check("192.0.2.1", f"{number}@example.org")
        with pytest.raises(TooManyRequests):
            access.limits.check_account("boss@example.org", is_known=False)


async def test_addresses_of_one_network_share_their_tries(tmp_path: Path) -> None:
    """Whoever guesses over IPv6 has as many addresses as they like."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = access_of(database)
        for number in range(100):
            with contextlib.suppress(TooManyRequests):
                access.limits.check(f"2001:db8::{number:x}", f"{number}@example.org")
        with pytest.raises(TooManyRequests):
            access.limits.check("2001:db8::ffff", "one@example.org")
