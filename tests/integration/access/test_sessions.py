"""Signing in to the web inbox and out of it, and guessing at it."""

from http.cookies import SimpleCookie

import httpx
import pytest

from tests.integration.access.visitor import Visitor, refusal
from tests.kit.company import Company


async def test_signing_in_sets_a_cookie_that_scripts_cannot_read(visitor: Visitor) -> None:
    """HttpOnly, SameSite=Lax, for the whole site, for the hours of the settings."""
    async with visitor.browser() as http:
        answer = await visitor.sign_in(http, email=f"  {visitor.email.upper()} ")
        assert (answer.status_code, answer.json()["email"]) == (201, visitor.email)
        session, device = (SimpleCookie(value) for value in answer.headers.get_list("set-cookie"))
        assert device["omni_device"]["httponly"] is True
        morsel = session["omni_session"]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["max-age"]) == (
            True,
            "Lax",
            "/",
            str(12 * 3600),
        )
        me = (await http.get("/api/me")).json()
    assert {name: me[name] for name in answer.json()} == answer.json()
    assert not await visitor.company.rows(
        "SELECT 1 FROM omni_agent_sessions WHERE token_hash = :cookie", cookie=morsel.value
    )


async def test_a_wrong_pair_is_answered_alike(visitor: Visitor) -> None:
    """Unknown address, wrong password, disabled agent: nobody learns which it was."""
    async with visitor.browser() as http:
        wrong = await visitor.sign_in(http, password="wrong")
        unknown = await visitor.sign_in(http, email="nobody@example.org")
        await visitor.company.execute(
            "UPDATE omni_agents SET is_active = :no WHERE email = :email",
            no=False,
            email=visitor.email,
        )
        disabled = await visitor.sign_in(http)
    assert {(a.status_code, a.text) for a in (wrong, unknown, disabled)} == {(401, wrong.text)}
    assert "set-cookie" not in wrong.headers


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "x",
        '{"email": 5, "password": "x"}',
        '{"email": "a@b.c", "password": null}',
        '{"email": {"a": 1}, "password": []}',
    ],
)
async def test_a_sign_in_that_cannot_be_meant_is_400(visitor: Visitor, body: str) -> None:
    """Never 500."""
    async with visitor.browser() as http:
        assert (await http.post("/api/sessions", content=body)).status_code == 400


async def test_what_a_stranger_sends_is_short(visitor: Visitor) -> None:
    """Taking apart a megabyte of odd JSON, or of escapes in a form, keeps everybody waiting: it is
    refused unread.
    """
    odd = b'{"email": "a@b.c", "password": "x", "s": "\\ud800", "a": [' + b"[]," * 100_000 + b"1]}"
    escapes = {"Content-Type": "application/x-www-form-urlencoded", "Origin": visitor.omni.base_url}
    async with visitor.browser() as http:
        assert (await http.post("/api/sessions", content=odd)).status_code == 413
        for path in ("/sign-in", "/setup", "/invitation"):
            answer = await http.post(
                path, content=b"email=a&password=" + b"%41" * 100_000, headers=escapes
            )
            assert (path, answer.status_code) in ((path, 413), ("/setup", 404), ("/setup", 303)), (
                answer.text
            )


async def test_an_agent_s_call_has_few_values(company: Company) -> None:
    """Each is read in the loop that serves everybody."""
    body = b'{"preferences": {}, "s": "\\ud800", "a": [' + b"[]," * 100_000 + b"1]}"
    answer = await company.http.patch("/api/me", content=body)
    assert (answer.status_code, "values" in answer.json()["message"]) == (400, True)


async def test_signing_out_ends_the_session_and_its_socket(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """The cookie is worth nothing afterwards, wherever it was copied to; the live socket goes
    silent.
    """
    cookie = browser.cookies["omni_session"]
    async with visitor.socket(cookie, visitor.omni.base_url) as agent:
        answer = await browser.delete("/api/sessions", headers={"Origin": visitor.omni.base_url})
        # files of conversations are kept there for an hour
        assert answer.headers["clear-site-data"] == '"cache"'
        assert answer.status_code == 204
        assert SimpleCookie(answer.headers["set-cookie"])["omni_session"]["max-age"] == "0"
        assert await agent.wait_closed(limit=5) == 4003
    async with visitor.browser() as thief:
        assert (
            await thief.get("/api/me", headers={"Cookie": f"omni_session={cookie}"})
        ).status_code == 401
    assert await refusal(visitor.socket(cookie, visitor.omni.base_url)) == 4205


async def test_guessing_is_slowed_down_and_locks_nobody_out(visitor: Visitor) -> None:
    """10 tries in a row, then 429 with a time; the rightful one signs in from elsewhere
    meanwhile.
    """
    async with visitor.browser() as guesser:
        statuses = [
            (await visitor.sign_in(guesser, password=f"guess {n}")).status_code for n in range(10)
        ]
        assert statuses == [401] * 10
        slowed = await visitor.sign_in(guesser)
        assert (slowed.status_code, slowed.json()["code"]) == (429, "too_many_requests")
        assert int(slowed.headers["retry-after"]) > 0
    async with visitor.browser("127.0.200.200") as home:
        assert (await visitor.sign_in(home)).status_code == 201


async def test_guessing_many_accounts_from_one_address_is_slowed_down(visitor: Visitor) -> None:
    """One password tried on everybody: the address has a budget as well."""
    emails = [f"person{n}.{visitor.email}" for n in range(40)]
    for email in emails:
        await visitor.register(email)
    async with visitor.browser() as guesser:
        statuses = [
            (await visitor.sign_in(guesser, email=email, password="123456")).status_code
            for email in emails
        ]
    assert statuses[:30] == [401] * 30
    assert 429 in statuses
