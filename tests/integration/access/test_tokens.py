"""The CRM's tokens: which are good, and whom they name."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.access.visitor import refusal
from tests.kit.company import Company
from tests.kit.omni import JWT_SECRET
from tests.kit.socket_client import AgentSocket

PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


Forge = Callable[[Company], str]


def _claims(company: Company, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"sub": "1", "companyId": company.id, "iat": now, "exp": now + 600, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def _signed(company: Company, **changes: Any) -> str:
    return jwt.encode(_claims(company, **changes), JWT_SECRET, algorithm="HS256")


def _unsigned(company: Company) -> str:
    parts = [
        json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, _claims(company))
    ]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def _changed_payload(company: Company) -> str:
    head, _, signature = _signed(company).split(".")
    other = (
        base64.urlsafe_b64encode(json.dumps(_claims(company, sub="2")).encode())
        .decode()
        .rstrip("=")
    )
    return f"{head}.{other}.{signature}"


BAD_TOKENS: dict[str, Forge] = {
    "expired": lambda c: _signed(c, exp=int(time.time()) - 120),
    "not yet valid": lambda c: _signed(c, nbf=int(time.time()) + 600),
    "without an end": lambda c: _signed(c, exp=None),
    "wrong key": lambda c: jwt.encode(
        _claims(c), "another secret of at least 32 bytes", algorithm="HS256"
    ),
    "algorithm none": _unsigned,
    "HS512": lambda c: jwt.encode(_claims(c), JWT_SECRET.ljust(64, "!"), algorithm="HS512"),
    "RS256": lambda c: jwt.encode(_claims(c), PRIVATE_KEY, algorithm="RS256"),
    "payload changed": _changed_payload,
    "no company": lambda c: _signed(c, companyId=None),
    "company zero": lambda c: _signed(c, companyId=0),
    "company negative": lambda c: _signed(c, companyId=-c.id),
    "company true": lambda c: _signed(c, companyId=True),
    "company a list": lambda c: _signed(c, companyId=[c.id]),
    "company as SQL": lambda c: _signed(c, companyId=f"{c.id} OR 1=1"),
    "company too large": lambda c: _signed(c, companyId=2**63),
    "no agent": lambda c: _signed(c, sub=None),
    "agent empty": lambda c: _signed(c, sub=""),
    "agent a list": lambda c: _signed(c, sub=["1"]),
    "garbage": lambda c: "not.a.token",
    "not ASCII": lambda c: "ünsigned",
    "64 KB": lambda c: "a" * 30_000 + "." + "b" * 30_000 + ".c",
}


@pytest.mark.parametrize("case", BAD_TOKENS)
async def test_a_bad_token_is_refused(company: Company, case: str) -> None:
    """401 on every path, as a problem that says how to sign in; and the socket says the same."""
    token = BAD_TOKENS[case](company)
    header = {b"Authorization": b"Bearer " + token.encode()}
    async with company.omni.client() as http:
        for method, path in (
            ("GET", "/api/conversations"),
            ("GET", "/api/me"),
            ("GET", "/api/events"),
            ("POST", "/api/conversations/1/reply"),
        ):
            answer = await http.request(
                method, path, headers=header, json={"content": "x"} if method == "POST" else None
            )
            assert (answer.status_code, answer.headers["content-type"]) == (
                401,
                "application/problem+json",
            ), path
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["code"] in ("unauthenticated", "token_expired")
    socket = AgentSocket(company.omni.ws_url, token=token)
    assert await refusal(socket) == 4205
    assert socket.frames[0]["code"] in ("unauthenticated", "token_expired")


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "bearer\tx", "Token abc"])
async def test_no_token_is_refused(company: Company, header: str) -> None:
    """Nor one under another scheme."""
    async with company.omni.client(headers={"Authorization": header} if header else {}) as http:
        for path in (
            "/api/conversations",
            "/api/conversations/1/messages",
            "/api/me",
            "/api/events",
        ):
            assert (await http.get(path)).status_code == 401
        for path in (
            "/api/conversations/1/reply",
            "/api/conversations/1/read",
            "/api/chatwoot/sync",
        ):
            assert (await http.post(path, json={})).status_code == 401
        assert (
            await http.patch("/api/conversations/1", json={"status": "Open"})
        ).status_code == 401
        assert (await http.delete("/api/sessions")).status_code == 401


async def test_numbers_as_text_are_accepted(company: Company) -> None:
    """Some issuers write the company, and the agent, the other way."""
    token = _signed(company, companyId=str(company.id), sub=77)
    async with company.omni.client(token) as http:
        assert (await http.get("/api/me")).json()["companyId"] == company.id


async def test_an_agent_first_seen_in_a_token_is_listed(company: Company) -> None:
    """Once, with name and role of the token."""
    token = company.token("crm-42", name="Rupa Akter", role="admin")
    async with company.omni.client(token) as http:
        me = (await http.get("/api/me")).json()
        assert (me["name"], me["role"], me["companyId"]) == ("Rupa Akter", "admin", company.id)
        await http.get("/api/me")
    rows = await company.rows(
        "SELECT id, name, role FROM omni_agents WHERE company_id = :c AND subject = 'crm-42'",
        c=company.id,
    )
    assert [tuple(row) for row in rows] == [(me["id"], "Rupa Akter", "admin")]


async def test_an_agent_first_seen_many_times_at_once_is_one_agent(company: Company) -> None:
    """A page opens with several requests at the same moment: all are answered, as one agent."""
    async with company.client("newcomer") as http, asyncio.TaskGroup() as group:
        tasks = [group.create_task(http.get("/api/me")) for _ in range(20)]
    answers = [task.result() for task in tasks]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
