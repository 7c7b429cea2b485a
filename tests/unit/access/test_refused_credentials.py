"""What wrong cookies and tokens cost: nothing without the right shape, one query each, and no more
than an address's budget.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from server.access.authentication import Access
from server.db.engine.database import Database
from server.errors import (
    OmniError,
    TokenExpired,
    TooManyRequests,
    Unauthenticated,
)
from server.settings import Settings
from tests.unit.access.test_tokens import EC, ED, _pem
from tests.unit.databases import fresh_sqlite

SECRET = "k" * 32
GUESSER, NEIGHBOUR = "198.51.100.7", "203.0.113.9"
MORE_THAN_THE_BURST = 2_000  # some more come back while the test runs, on a machine however slow


class CountingDatabase(Database):
    """A real one that counts what is read."""

    reads = 0

    async def read(self, *arguments: Any, **named: Any) -> Any:
        self.reads += 1
        return await super().read(*arguments, **named)


def _database(tmp_path: Path) -> CountingDatabase:
    return CountingDatabase(fresh_sqlite(tmp_path / "auth.db"))


def _access(database: Database) -> Access:
    return Access(database, Settings(jwt_secret=SECRET), lambda _agent: None, lambda _keys: None)


def _token(secret: str = SECRET, **claims: Any) -> str:
    return jwt.encode(
        {"sub": "17", "companyId": 1, "exp": int(time.time()) + 600} | claims, secret, "HS256"
    )


async def _until_refused(attempt: Callable[[int], Awaitable[object]]) -> int:
    """How many were refused as wrong before the address was refused as such."""
    for number in range(MORE_THAN_THE_BURST):
        try:
            await attempt(number)
        except Unauthenticated:
            continue
        except TooManyRequests:
            return number
    raise AssertionError("never slowed down")


@pytest.mark.parametrize(
    "cookie", ["x", "a" * 42, "a" * 44, "a" * 42 + "=", "é" * 43, "a" * 100_000, "a" * 43 + "\n"]
)
async def test_a_cookie_of_another_shape_is_refused_without_a_query(
    cookie: str, tmp_path: Path
) -> None:
    """However often."""
    database = _database(tmp_path)
    async with database:
        access = _access(database)
        await access.confirm()
        before = database.reads
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await access.authenticate_session(cookie, GUESSER)
        assert database.reads == before


async def test_the_same_unknown_cookie_is_looked_up_once(tmp_path: Path) -> None:
    """A page left open asks every few seconds with a sign-in that has ended: it must not use up its
    office's budget.
    """
    database = _database(tmp_path)
    async with database:
        access, cookie = _access(database), secrets.token_urlsafe(32)
        with pytest.raises(Unauthenticated):
            await access.authenticate_session(cookie, GUESSER)
        before = database.reads
        for _ in range(1_000):
            with pytest.raises(Unauthenticated):
                await access.authenticate_session(cookie, GUESSER)
        assert database.reads == before


async def test_an_address_that_guesses_cookies_is_slowed_down_alone(tmp_path: Path) -> None:
    """Then no query is made for it; those whose sign-in is known go on from the same address,
    others from theirs.
    """
    database = _database(tmp_path)
    async with database:
        access = _access(database)
        agent = (await access.authenticate_token(_token(), GUESSER)).agent
        known, fresh = (
            (await access.open_session(agent.id))[0],
            (await access.open_session(agent.id))[0],
        )
        await access.authenticate_session(known, GUESSER)
        refused = await _until_refused(
            lambda _: access.authenticate_session(secrets.token_urlsafe(32), GUESSER)
        )
        assert refused >= 300
        assert (await access.authenticate_session(known, GUESSER)).agent.id == agent.id
        assert (await access.authenticate_session(fresh, NEIGHBOUR)).agent.id == agent.id


async def test_an_address_that_guesses_tokens_is_slowed_down_alone(tmp_path: Path) -> None:
    """Good ones that are known go on; a network of IPv6 counts as one address."""
    database = _database(tmp_path)
    async with database:
        access, known = _access(database), _token()
        await access.authenticate_token(known, "2001:db8::1")
        refused = await _until_refused(
            lambda number: access.authenticate_token(
                _token("o" * 32, n=number), f"2001:db8::{number % 9_999}"
            )
        )
        assert refused >= 300
        assert (await access.authenticate_token(known, "2001:db8::1")).agent.subject == "17"
        assert (
            await access.authenticate_token(_token(sub="18"), "2001:db8:1::1")
        ).agent.subject == "18"


async def test_tokens_that_have_expired_are_no_guesses(tmp_path: Path) -> None:
    """Whoever holds one had signed in: an office that comes back in the morning is not slowed
    down.
    """
    database = _database(tmp_path)
    async with database:
        access = _access(database)
        for number in range(700):
            with pytest.raises(TokenExpired):
                await access.authenticate_token(
                    _token(exp=int(time.time()) - 600, n=number), GUESSER
                )
        assert (await access.authenticate_token(_token(), GUESSER)).agent.subject == "17"


async def test_a_token_is_tried_again_when_the_keys_have_changed(tmp_path: Path) -> None:
    """It may have come before the key that signed it."""
    pem = _pem(tmp_path, EC)
    database = _database(tmp_path)
    async with database:
        settings = Settings(jwt_public_key_path=pem)
        access = Access(database, settings, lambda _agent: None, lambda _keys: None)
        claims = {"sub": "17", "companyId": 1, "exp": int(time.time()) + 600}
        token = jwt.encode(claims, ED, "EdDSA")
        with pytest.raises(Unauthenticated):
            await access.authenticate_token(token, GUESSER)
        _pem(tmp_path, ED)
        access._keys_of_tokens.read_again()
        assert (await access.authenticate_token(token, GUESSER)).agent.subject == "17"


async def test_a_header_of_any_kind_is_refused_as_such(tmp_path: Path) -> None:
    """Never an error of ours: half a surrogate pair, and no address."""
    database = _database(tmp_path)
    async with database:
        for header in ("Bearer \ud800", "Bearer " + "é" * 9):
            with pytest.raises(OmniError) as refused:
                await _access(database).authenticate({"authorization": header}, "GET", "")
            assert refused.value.status == 401
