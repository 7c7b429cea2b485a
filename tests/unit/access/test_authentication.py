"""Who is asking, as far as it is decided without a database: hostile tokens, origins and cookies
are refused, never an error of ours.
"""

import base64
import contextlib
import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jwt
import pytest

from server.access import access_memory
from server.access.authentication import Access
from server.access.passwords import hash_password
from server.core.chatwoot.origins import read_cookie
from server.core.times import wall_now_us
from server.db.access import agent_rows, agent_sessions
from server.db.access.agent_rows import Agent
from server.db.engine.database import Database
from server.errors import (
    DatabaseUnavailable,
    OmniError,
    TokenExpired,
    TooManyRequests,
    Unauthenticated,
)
from server.settings import Settings
from tests.unit.databases import fresh_sqlite

SECRET = "k" * 32


def _access(database: Database, ended: list[Collection[str]] | None = None) -> Access:
    ended = [] if ended is None else ended
    return Access(
        database,
        Settings(jwt_secret=SECRET, public_url="https://inbox.example.org"),
        lambda _agent: None,
        ended.append,
    )


def _token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    given = {"sub": "17", "companyId": 1, "exp": int(time.time()) + 60, "name": "Tomas"}
    return jwt.encode(
        {name: value for name, value in (given | claims).items() if value is not None},
        secret,
        algorithm,
    )


def _raw(header: bytes, payload: bytes = b"{}") -> str:
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (header, payload, b"x" * 32)
    )


async def test_a_good_token_names_its_agent(tmp_path: Path) -> None:
    """Listed when first seen; the same from memory."""
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = _access(database)
        token = _token(companyId="1", role="admin")
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
    access = _access(Database("sqlite:////tmp/unused.db"))
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
        await _access(Database("sqlite:////tmp/unused.db")).authenticate(
            headers, "GET", "203.0.113.9"
        )


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", ""])
async def test_a_cookie_writes_only_from_our_own_page(origin: str) -> None:
    """A form on a foreign page would send the cookie as well; whether it is good is not even looked
    up.
    """
    headers = {"cookie": "omni_session=x", "origin": origin}
    with pytest.raises(OmniError) as refused:
        await _access(Database("sqlite:////tmp/unused.db")).authenticate(
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


async def test_sessions_that_have_ended_are_told_together(tmp_path: Path) -> None:
    """Whoever is told walks through all sockets of the process: once for a look, however many have
    signed out since.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        ended: list[Collection[str]] = []
        access = _access(database, ended)
        agent = (await access.authenticate_token(_token())).agent
        keys = {f"{number}" * 64 for number in range(5)}
        for key in keys:
            await database.transaction(
                lambda c, key=key: agent_sessions.add_session(c, key, agent.id, 1, 2)  # type: ignore[misc]
            )
            await database.transaction(lambda c, key=key: agent_sessions.revoke_session(c, key, 2))  # type: ignore[misc]
        await access.refresh_changed()
        assert [set(told) for told in ended] == [keys]


def test_a_password_is_never_kept() -> None:
    """Its hash is salted."""
    assert hash_password("x") != hash_password("x")


async def test_whose_row_changed_is_told_of_once(tmp_path: Path) -> None:
    """So that open sockets are judged by what it says now."""
    told: list[str] = []
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        settings = Settings(jwt_secret=SECRET, public_url="https://inbox.example.org")
        access = Access(
            database, settings, lambda agent: told.append(agent.role), lambda _keys: None
        )
        agent = (await access.authenticate_token(_token(role="admin"))).agent
        await access.refresh_changed()
        for n, role in enumerate(("admin", "agent", "agent", "admin"), start=1):
            change = (
                "UPDATE omni_agents SET role = :role, updated_at = updated_at + :n WHERE id = :id"
            )
            # awaited at once
            await database.transaction(
                lambda c: c.execute(change, {"role": role, "n": n, "id": agent.id})  # noqa: B023
            )
            await access.refresh_changed()
        assert told == ["agent", "admin"]


async def test_no_number_of_changes_hides_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand agents who are listed in one minute, and one who is disabled in it."""
    monkeypatch.setattr(access_memory, "_PAGE", 7)
    told: list[Agent] = []
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = Access(database, Settings(jwt_secret=SECRET), told.append, lambda _keys: None)
        agent = (await access.authenticate_token(_token())).agent
        await access.refresh_changed()
        now_us = wall_now_us()
        for number in range(30):
            # all in one microsecond, after the look
            await database.transaction(
                lambda c: agent_rows.get_or_create_agent(
                    c,
                    2,
                    f"n{number}",  # noqa: B023
                    "N",
                    "agent",
                    now_us + 1,
                )
            )
        await database.transaction(
            lambda c: agent_rows.update_access(
                c, agent.id, is_active=False, valid_after_us=0, now_us=now_us
            )
        )
        await access.refresh_changed()
        assert agent.id in {one.id for one in told if not one.is_active}
        with pytest.raises(Unauthenticated):
            await access.authenticate_token(_token())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("DELETE FROM omni_agents WHERE id = :id", "gone"),
        ("UPDATE omni_agents SET is_active = 0 WHERE id = :id", "gone"),
        ("UPDATE omni_agents SET valid_after = 4000000000000000 WHERE id = :id", "ended"),
        ("UPDATE omni_agents SET role = 'agent' WHERE id = :id", "agent"),
    ],
)
async def test_what_is_changed_by_hand_is_noticed(tmp_path: Path, change: str, status: str) -> None:
    """By a console, a script of the CRM, or as a company is removed: nobody sets `updated_at`
    then.
    """
    told: list[Agent] = []
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        connected: list[int] = []
        access = Access(
            database,
            Settings(jwt_secret=SECRET),
            told.append,
            lambda _keys: None,
            connected=lambda: connected,
        )
        agent = (await access.authenticate_token(_token(role="admin"))).agent
        connected.append(agent.id)
        await access.refresh_changed()
        told.clear()
        await database.transaction(lambda c: c.execute(change, {"id": agent.id}))
        await access.refresh_changed()
        assert [(one.id, one.is_active, one.valid_after_us > 0) for one in told] == [
            (agent.id, status != "gone", status == "ended")
        ]
        assert status == "gone" or [one.role for one in told] == [
            "agent" if status == "agent" else "admin"
        ]
        told.clear()
        await access.refresh_changed()
        assert told == [] or status == "gone"


async def test_a_database_that_went_back_is_read_anew(tmp_path: Path) -> None:
    """An older backup knows nothing of what was changed since: what it says of each agent
    counts.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = Access(
            database, Settings(jwt_secret=SECRET), lambda _agent: None, lambda _keys: None
        )
        agent = (await access.authenticate_token(_token())).agent
        far_us = wall_now_us() + 3_600_000_000  # that machine's clock was an hour ahead
        await database.transaction(
            lambda c: agent_rows.update_agent(c, agent.id, {"name": "Tomas"}, far_us)
        )
        await access.refresh_changed()
        await database.transaction(
            lambda c: c.execute(
                "UPDATE omni_agents SET updated_at = created_at, name = 'As it was'", {}
            )
        )
        await access.refresh_changed()
        assert (await access.authenticate_token(_token())).agent.name == "As it was"


async def test_a_role_is_taken_away_in_either_place(tmp_path: Path) -> None:
    """The CRM's word counts, until an administrator here has changed the role: from then on the
    lower of the two.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = Access(
            database, Settings(jwt_secret=SECRET), lambda _agent: None, lambda _keys: None
        )

        async def roles() -> list[str]:
            return [
                (await access.authenticate_token(_token(role=role))).agent.role
                for role in ("admin", "agent", None)
            ]

        agent = (await access.authenticate_token(_token(role="agent"))).agent
        assert await roles() == ["admin", "agent", "agent"]
        for role, expected in (
            ("agent", ["agent", "agent", "agent"]),
            ("admin", ["admin", "agent", "admin"]),
        ):
            values = {"role": role}
            await database.transaction(lambda c: agent_rows.update_agent(c, agent.id, values, 1))  # noqa: B023
            await access.refresh_changed()
            assert await roles() == expected


async def test_without_the_database_memory_counts_for_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is read, and no event leaves, until it has been asked again; what shows how the
    server does goes on.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db"), wait_seconds=0.2) as database:
        access = Access(
            database, Settings(jwt_secret=SECRET), lambda _agent: None, lambda _keys: None
        )
        token = _token()
        await access.authenticate_token(token)
        assert access.is_current
        assert access.cached_principal(f"Bearer {token}") is not None
        later = access._freshness.read_clocks()[0] + 5
        monkeypatch.setattr(access._freshness, "_steady", lambda: later)
        assert not access.is_current
        assert access.cached_principal(f"Bearer {token}") is None
        (tmp_path / "auth.db").rename(tmp_path / "elsewhere.db")
        await database.__aexit__()
        with pytest.raises(DatabaseUnavailable):
            await access.authenticate_token(token)
        headers = {"authorization": f"Bearer {token}"}
        principal = await access.authenticate(headers, "GET", "203.0.113.9", is_for_operation=True)
        assert principal.agent.subject == "17"


async def test_a_flood_of_accounts_makes_no_guess_forgotten(tmp_path: Path) -> None:
    """What is remembered has a bound: names that cost nothing to invent must not push out the
    account that is guessed at.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = _access(database)
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
        access = _access(database)
        for number in range(100):
            with contextlib.suppress(TooManyRequests):
                access.limits.check(f"2001:db8::{number:x}", f"{number}@example.org")
        with pytest.raises(TooManyRequests):
            access.limits.check("2001:db8::ffff", "one@example.org")
