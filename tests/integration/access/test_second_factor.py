"""A code beside the password: set up, asked for, demanded by the company, lost and reset."""

import time
from typing import Any

import httpx
import pyotp

from tests.integration.access.visitor import PASSWORD, Visitor
from tests.integration.integration_admin import admin
from tests.integration.test_admin_pages import submit, text_of

FACTOR = "/api/me/second-factor"


def code_of(secret: str, steps: int = 0) -> str:
    """What the phone shows, now or some half minutes later."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


async def set_up(browser: httpx.AsyncClient, origin: str) -> tuple[str, list[str]]:
    """(secret, recovery codes). The first code that was used is that of now."""
    begun = await browser.post(FACTOR, json={"password": PASSWORD}, headers={"Origin": origin})
    assert begun.status_code == 201, begun.text
    new = begun.json()
    assert new["secret"] in new["uri"]
    done = await browser.put(
        FACTOR,
        json={"ticket": new["ticket"], "code": code_of(new["secret"])},
        headers={"Origin": origin},
    )
    assert done.status_code == 200, done.text
    return new["secret"], done.json()["recoveryCodes"]


async def second_step(http: httpx.AsyncClient, first: httpx.Response, code: str) -> httpx.Response:
    return await http.post("/api/sessions", json={"ticket": first.json()["ticket"], "code": code})


async def test_a_code_is_asked_for_and_counts_once(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """The password alone opens nothing; a code that was used opens nothing; a ticket has five
    tries.
    """
    secret, _ = await set_up(browser, visitor.omni.base_url)
    assert (await browser.get(FACTOR)).json() == {
        "isOn": True,
        "isRequired": False,
        "recoveryCodesLeft": 10,
    }
    async with visitor.browser() as http:
        first = await visitor.sign_in(http)
        assert (first.status_code, first.json()["code"]) == (401, "second_factor_needed")
        assert ("set-cookie" in first.headers, "setUp" in first.json()) == (False, False)
        used = await second_step(http, first, code_of(secret))  # it set the factor up
        assert (used.status_code, used.json()["code"]) == (422, "unprocessable")
        done = await second_step(http, first, code_of(secret, 1))
        assert done.status_code == 201
        assert (await http.get("/api/me")).status_code == 200
        # the ticket is used up
        assert (await second_step(http, first, code_of(secret, 1))).status_code == 401
    async with visitor.browser() as http:
        again = await visitor.sign_in(http)
        tries = [(await second_step(http, again, "000000")).status_code for _ in range(6)]
        assert tries == [422] * 5 + [401]
        assert (await http.get("/api/me")).status_code == 401
    row = await visitor.company.rows(
        "SELECT secret FROM omni_second_factors WHERE agent_id = :id", id=visitor.number
    )
    assert secret not in row[0][0]  # sealed


async def test_a_recovery_code_stands_in_once(visitor: Visitor, browser: httpx.AsyncClient) -> None:
    """For a phone that is gone; only hashes are kept."""
    _, codes = await set_up(browser, visitor.omni.base_url)
    async with visitor.browser() as http:
        assert (
            await second_step(http, await visitor.sign_in(http), codes[0].upper())
        ).status_code == 201
        assert (await http.get(FACTOR)).json()["recoveryCodesLeft"] == 9
    async with visitor.browser() as http:
        assert (await second_step(http, await visitor.sign_in(http), codes[0])).status_code == 422
    rows = await visitor.company.rows(
        "SELECT code_hash FROM omni_recovery_codes WHERE agent_id = :id", id=visitor.number
    )
    assert not {code.replace("-", "") for code in codes} & {row[0] for row in rows}


async def test_a_factor_is_changed_with_the_password_alone(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """An open browser is not enough to take it away or to set another one up."""
    ours = {"Origin": visitor.omni.base_url}
    for method in ("POST", "DELETE"):
        wrong = await browser.request(method, FACTOR, json={"password": "wrong"}, headers=ours)
        assert wrong.status_code == 422
    await set_up(browser, visitor.omni.base_url)
    done = await browser.request("DELETE", FACTOR, json={"password": PASSWORD}, headers=ours)
    assert done.status_code == 204
    async with visitor.browser() as http:
        assert (await visitor.sign_in(http)).status_code == 201


async def test_a_company_asks_everybody_for_one(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """Who has none is signed out, and sets one up at the next sign-in; then it cannot be turned
    off.
    """
    async with admin(visitor.company) as chief:
        assert (
            await chief.put("/api/policy", json={"requiresSecondFactor": True})
        ).status_code == 200
        assert (await browser.get("/api/me")).status_code == 401
        async with visitor.browser() as http:
            first = await visitor.sign_in(http)
            secret = first.json()["setUp"]["secret"]
            assert (await second_step(http, first, "000000")).status_code == 422
            done = await second_step(http, first, code_of(secret))
            assert (done.status_code, len(done.json()["recoveryCodes"])) == (201, 10)
            ours = {"Origin": visitor.omni.base_url}
            off = await http.request("DELETE", FACTOR, json={"password": PASSWORD}, headers=ours)
            assert (off.status_code, "company asks" in off.json()["message"]) == (422, True)
        place = f"/api/people/{visitor.number}/second-factor"
        assert (await chief.delete(place)).status_code == 204
        assert (await chief.delete(place)).status_code == 404
        assert "Ask nobody" in text_of(await chief.get("/admin/people"))
        assert "own choice" in text_of(
            await submit(chief, "/admin/people/policy", second_factor="off")
        )
    async with visitor.browser() as http:
        assert (await visitor.sign_in(http)).status_code == 201


async def test_a_company_does_not_reach_into_another(
    visitor: Visitor, browser: httpx.AsyncClient, shop: Any
) -> None:
    """Neither by its policy, nor by taking a factor away, nor with another's ticket."""
    secret, _ = await set_up(browser, visitor.omni.base_url)
    async with admin(shop) as stranger:
        assert (
            await stranger.delete(f"/api/people/{visitor.number}/second-factor")
        ).status_code == 404
        assert (
            await stranger.put("/api/policy", json={"requiresSecondFactor": True})
        ).status_code == 200
        assert (await browser.get(FACTOR)).json()["isRequired"] is False
        assert (
            await stranger.put("/api/policy", json={"requiresSecondFactor": False})
        ).status_code == 200
    other = f"second.{visitor.email}"
    await visitor.register(other)
    ours = {"Origin": visitor.omni.base_url}
    async with visitor.browser() as http, visitor.browser() as waiting:
        assert (await visitor.sign_in(http, email=other)).status_code == 201
        ticket = (await visitor.sign_in(waiting)).json()["ticket"]
        stolen = await http.put(
            FACTOR, json={"ticket": ticket, "code": code_of(secret, 1)}, headers=ours
        )
        assert stolen.status_code == 401


async def test_by_pages_alone(visitor: Visitor, browser: httpx.AsyncClient) -> None:
    """Set up on the account's page, asked for at the sign-in, a wrong code said in words."""
    begun = await submit(browser, "/account/second-factor", password=PASSWORD)
    page = begun.text
    assert '<img src="data:image/svg+xml' in page
    ticket = page.split('name="ticket" value="')[1].split('"')[0]
    secret = page.split("<code>")[1].split("</code>")[0]
    done = await submit(
        browser, "/account/second-factor/confirm", ticket=ticket, code=code_of(secret)
    )
    assert "Recovery codes" in text_of(done)
    async with visitor.browser() as http:
        http.headers["Origin"] = visitor.omni.base_url
        form = {"email": visitor.email, "password": PASSWORD, "next": "/account"}
        step = await http.post("/sign-in", data=form)
        assert (step.status_code, "Six digits" in text_of(step)) == (200, True)
        ticket = step.text.split('name="ticket" value="')[1].split('"')[0]
        wrong = await http.post(
            "/sign-in", data={"ticket": ticket, "code": "000000", "next": "/account"}
        )
        assert (wrong.status_code, "code is wrong" in text_of(wrong)) == (422, True)
        right = await http.post(
            "/sign-in", data={"ticket": ticket, "code": code_of(secret, 1), "next": "/account"}
        )
        assert (right.status_code, right.headers["location"]) == (303, "/account")
