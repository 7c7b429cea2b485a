"""Who is asking, as far as it is decided without a database: hostile tokens, origins and cookies are refused, never an error of ours."""

import base64
import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jwt
import pytest

from server.auth import Access, hash_password, read_cookie
from server.db import accounts
from server.db.database import Database
from server.errors import OmniError, TokenExpired, Unauthenticated
from server.settings import Settings
from tests.unit.databases import fresh_sqlite

SECRET = "k" * 32


def _access(database: Database, ended: list[Collection[str]] | None = None) -> Access:
    ended = [] if ended is None else ended
    return Access(database, Settings(jwt_secret=SECRET, public_url="https://inbox.example.org"), lambda _agent: None, ended.append)


def _token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    given = {"sub": "17", "companyId": 1, "exp": int(time.time()) + 60, "name": "Tomas"}
    return jwt.encode({name: value for name, value in (given | claims).items() if value is not None}, secret, algorithm)


def _raw(header: bytes, payload: bytes = b"{}") -> str:
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, payload, b"x" * 32))


async def test_a_good_token_names_its_agent(tmp_path: Path) -> None:
    """Listed when first seen; the same from memory."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = _access(database)
        token = _token(companyId="1", role="admin")
        first, second = [await access.authenticate_token(token) for _ in range(2)]
        assert (first.company_id, first.agent.subject, first.agent.name, first.agent.role) == (1, "17", "Tomas", "admin")
        assert first == second


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        _token(secret="o" * 32),
        _token(algorithm="HS512", secret="k" * 64),
        jwt.encode({"sub": "17", "companyId": 1, "exp": 9_999_999_999}, "", "none"),
        _token(exp=None),
        _token(sub=None),
        _token(sub=""),
        _token(companyId=None),
        _token(companyId=0),
        _token(companyId=-1),
        _token(companyId=True),
        _token(companyId=2**63),
        _token(companyId="1 OR 1=1"),
        _token(companyId=[1]),
        _raw(b'{"alg": ' + b"[" * 20_000),
        _raw(b'{"alg": "HS256", "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
        _raw(json.dumps({"alg": "HS256", "crit": ["x"]}).encode()),
    ],
    ids=range(20),
)
async def test_a_bad_token_is_refused(token: str, tmp_path: Path) -> None:
    """Wrong key, other algorithm, `none`, no company, depth without end: 401 each (row 43)."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        with pytest.raises(Unauthenticated):
            await _access(database).authenticate_token(token)


async def test_an_expired_token_is_told_apart(tmp_path: Path) -> None:
    """The page then asks for a new one; also when it expires after it was first seen."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        with pytest.raises(TokenExpired):
            await _access(database).authenticate_token(_token(exp=int(time.time()) - 60))


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("https://inbox.example.org", True),
        ("http://10.0.0.1:8000", True),
        ("http://inbox.example.org", False),
        ("https://inbox.example.org.evil.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        (None, False),
        ("http://[", False),
        ("http://[::1", False),
        ("file://", False),
        ("nonsense", False),
    ],
)
@pytest.mark.parametrize("host", ["10.0.0.1:8000", None])
def test_only_our_own_pages_origin_is_ours(origin: str | None, is_own: bool, host: str | None) -> None:
    """Foreign, missing, `null` and malformed ones are not (row 46), with or without a Host."""
    headers = {name: value for name, value in (("origin", origin), ("host", host)) if value is not None}
    access = _access(Database("sqlite:////tmp/unused.db"))
    assert access.is_own_origin(headers) is (is_own and (host is not None or origin == "https://inbox.example.org"))


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer"}, {"cookie": "a=b"}, {"cookie": "omni_session="}]
)
async def test_without_a_sign_in_it_is_401(headers: dict[str, str]) -> None:
    """Nothing is looked up for it."""
    with pytest.raises(Unauthenticated):
        await _access(Database("sqlite:////tmp/unused.db")).authenticate(headers, "GET")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", ""])
async def test_a_cookie_writes_only_from_our_own_page(origin: str) -> None:
    """A form on a foreign page would send the cookie as well; whether it is good is not even looked up."""
    headers = {"cookie": "omni_session=x", "origin": origin}
    with pytest.raises(OmniError) as refused:
        await _access(Database("sqlite:////tmp/unused.db")).authenticate(headers, "POST")
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("header", "value"), [("", None), ("a=1; s=x; b=2", "x"), ("s", None), ("s=", None), ("xs=1", None), (" s=a=b ", "a=b")]
)
def test_a_cookie_is_found_by_its_whole_name(header: str, value: str | None) -> None:
    """Whatever stands around it."""
    assert read_cookie(header, "s") == value


async def test_sessions_that_have_ended_are_told_together(tmp_path: Path) -> None:
    """Whoever is told walks through all sockets of the process: once for a look, however many have signed out since."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        ended: list[Collection[str]] = []
        access = _access(database, ended)
        agent = (await access.authenticate_token(_token())).agent
        keys = {f"{number}" * 64 for number in range(5)}
        for key in keys:
            await database.transaction(lambda c, key=key: accounts.add_session(c, key, agent.id, 1, 2))  # type: ignore[misc]
            await database.transaction(lambda c, key=key: accounts.revoke_session(c, key, 2))  # type: ignore[misc]
        await access.look_up()
        assert [set(told) for told in ended] == [keys]


def test_a_password_is_never_kept() -> None:
    """Its hash is salted."""
    assert hash_password("x") != hash_password("x")


async def test_who_is_no_administrator_any_more_is_told_of_once(tmp_path: Path) -> None:
    """So that open sockets lose what only administrators get; a promotion counts from the next connection on."""
    demoted: list[int] = []
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        settings = Settings(jwt_secret=SECRET, public_url="https://inbox.example.org")
        access = Access(database, settings, lambda _agent: None, lambda _keys: None, demoted.append)
        agent = (await access.authenticate_token(_token(role="admin"))).agent
        await access.look_up()
        for n, role in enumerate(("admin", "agent", "agent", "admin"), start=1):
            change = "UPDATE agents SET role = :role, updated_at = updated_at + :n WHERE id = :id"
            await database.transaction(lambda c: c.execute(change, {"role": role, "n": n, "id": agent.id}))  # noqa: B023 - awaited at once
            await access.look_up()
        assert demoted == [agent.id]
