"""Who is asking, as far as it is decided without a database: hostile tokens, origins and cookies
are refused, never an error of ours.
"""

import base64
import json
import time
from pathlib import Path

import jwt
import pytest

from server.access.passwords import hash_password
from server.core.chatwoot.origins import read_cookie
from server.db.engine.database import Database
from server.errors import (
    OmniError,
    TokenExpired,
    Unauthenticated,
)
from tests.unit.access.agent_tokens import access_of, agent_token
from tests.unit.databases import fresh_sqlite


def _raw(header: bytes, payload: bytes = b"{}") -> str:
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (header, payload, b"x" * 32)
    )


async def test_a_good_token_names_its_agent(tmp_path: Path) -> None:
    """Listed when first seen; the same from memory."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = access_of(database)
        token = agent_token(companyId="1", role="admin")
        first, second = [await access.authenticate_token(token) for _ in range(2)]
        assert (first.company_id, first.agent.subject, first.agent.name, first.agent.role) == (
            1,
            "17",
            "Tomas",
            "admin",
        )
        assert first == second


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        agent_token(secret="o" * 32),
        agent_token(algorithm="HS512", secret="k" * 64),
        jwt.encode({"sub": "17", "companyId": 1, "exp": 9_999_999_999}, "", "none"),
        agent_token(exp=None),
        agent_token(sub=None),
        agent_token(sub=""),
        agent_token(companyId=None),
        agent_token(companyId=0),
        agent_token(companyId=-1),
        agent_token(companyId=True),
        agent_token(companyId=2**63),
        agent_token(companyId="1 OR 1=1"),
        agent_token(companyId=[1]),
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
            await access_of(database).authenticate_token(token)


async def test_an_expired_token_is_told_apart(tmp_path: Path) -> None:
    """The page then asks for a new one; also when it expires after it was first seen."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        with pytest.raises(TokenExpired):
            await access_of(database).authenticate_token(agent_token(exp=int(time.time()) - 60))


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("https://inbox.example.org", True),
        ("https://INBOX.example.org", False),
        ("http://10.0.0.1:8000", False),
        ("https://10.0.0.1:8000", False),
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
def test_only_our_own_pages_origin_is_ours(
    origin: str | None, is_own: bool, host: str | None
) -> None:
    """Foreign, missing, `null` and malformed ones are not (row 46), with or without a Host; nor is
    our own host by another scheme.
    """
    headers = {
        name: value for name, value in (("origin", origin), ("host", host)) if value is not None
    }
    access = access_of(Database("sqlite:////tmp/unused.db"))
    assert access.is_own_origin(headers) is is_own


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer"},
        {"cookie": "a=b"},
        {"cookie": "omni_session="},
    ],
)
async def test_without_a_sign_in_it_is_401(headers: dict[str, str]) -> None:
    """Nothing is looked up for it."""
    with pytest.raises(Unauthenticated):
        await access_of(Database("sqlite:////tmp/unused.db")).authenticate(
            headers, "GET", "203.0.113.9"
        )


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", ""])
async def test_a_cookie_writes_only_from_our_own_page(origin: str) -> None:
    """A form on a foreign page would send the cookie as well; whether it is good is not even looked
    up.
    """
    headers = {"cookie": "omni_session=x", "origin": origin}
    with pytest.raises(OmniError) as refused:
        await access_of(Database("sqlite:////tmp/unused.db")).authenticate(
            headers, "POST", "203.0.113.9"
        )
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("", None),
        ("a=1; s=x; b=2", "x"),
        ("s", None),
        ("s=", None),
        ("xs=1", None),
        (" s=a=b ", "a=b"),
    ],
)
def test_a_cookie_is_found_by_its_whole_name(header: str, value: str | None) -> None:
    """Whatever stands around it."""
    assert read_cookie(header, "s") == value


def test_a_password_is_never_kept() -> None:
    """Its hash is salted."""
    assert hash_password("x") != hash_password("x")
