"""What people see of their own sign-ins, and what is written down about them."""

import json

import httpx

from tests.integration.access.visitor import PASSWORD, Visitor
from tests.integration.integration_admin import admin
from tests.integration.test_admin_pages import submit, text_of


def ours(visitor: Visitor) -> dict[str, str]:
    return {"Origin": visitor.omni.base_url, "User-Agent": "Firefox on a telephone"}


async def test_own_sign_ins_are_listed_and_ended_one_by_one(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """With address and browser; another agent's cannot be ended; all others at once."""
    async with (
        visitor.browser() as phone,
        visitor.browser() as tablet,
        visitor.browser() as stranger,
    ):
        for one in (phone, tablet):
            one.headers.update(ours(visitor))
            assert (await visitor.sign_in(one)).status_code == 201
        listed = (await phone.get("/api/me/sessions")).json()
        assert [one["isThis"] for one in listed].count(True) == 1
        own = next(one for one in listed if one["isThis"])
        assert (own["address"], own["client"]) == (visitor.address, "Firefox on a telephone")
        assert phone.cookies["omni_session"] not in json.dumps(listed)
        await visitor.register(f"other.{visitor.email}")
        stranger.headers.update(ours(visitor))
        assert (await visitor.sign_in(stranger, email=f"other.{visitor.email}")).status_code == 201
        assert (await stranger.delete(f"/api/me/sessions/{own['id']}")).status_code == 404
        tablets = next(
            one["id"] for one in (await tablet.get("/api/me/sessions")).json() if one["isThis"]
        )
        assert (await phone.delete(f"/api/me/sessions/{tablets}")).status_code == 204
        assert (await tablet.get("/api/me")).status_code == 401
        assert (await browser.get("/api/me")).status_code == 200
        assert (await phone.post("/api/me/sessions/end-others")).json()["ended"] >= 1
        assert (await browser.get("/api/me")).status_code == 401
        assert (await phone.get("/api/me")).status_code == 200
        page = text_of(await phone.get("/account"))
        assert "Where you are signed in" in page
        assert (await submit(phone, "/account/sessions/nothing/end")).status_code == 404


async def test_sign_ins_are_in_the_audit_log_with_their_address(visitor: Visitor) -> None:
    """Good ones, failed ones and ends; and in the server's log, for programs that ban addresses."""
    async with visitor.browser() as http, admin(visitor.company) as chief:
        http.headers.update(ours(visitor))
        await visitor.sign_in(http, password="wrong")
        await visitor.sign_in(http)
        await http.delete("/api/sessions")
        acts = [
            act
            for act in (await chief.get("/api/audit")).json()
            if act["agentId"] == visitor.number
        ]
        assert [act["act"] for act in acts] == ["sign-out", "sign-in", "sign-in.failed"]
        assert {(act["address"], act["client"]) for act in acts} == {
            (visitor.address, "Firefox on a telephone")
        }
        export = await chief.get("/api/audit/export")
        lines = [json.loads(line) for line in export.text.splitlines()]
        assert [line["id"] for line in lines] == sorted(
            (line["id"] for line in lines), reverse=True
        )
        assert {act["id"] for act in acts} <= {line["id"] for line in lines}
        assert (await http.get("/api/audit/export")).status_code == 401
    refused = [line for line in visitor.omni.log.splitlines() if "sign-in refused" in line]
    assert any(visitor.address in line for line in refused)
    assert not any(visitor.email in line or "wrong horse" in line for line in refused)


async def test_failed_tries_are_said_after_the_next_sign_in(visitor: Visitor) -> None:
    """On a page the person sees, not in a list somewhere."""
    async with visitor.browser() as guesser:
        for number in range(3):
            await visitor.sign_in(guesser, password=f"guess {number}")
    async with visitor.browser() as http:
        http.headers.update(ours(visitor))
        done = await http.post("/sign-in", data={"email": visitor.email, "password": PASSWORD})
        assert (done.status_code, done.headers["location"]) == (303, "/account")
        assert "3 times" in text_of(await http.get("/account"))


async def test_a_known_browser_is_let_in_while_others_guess(visitor: Visitor) -> None:
    """From many addresses nobody gets more than a few tries at one account; whoever signed in
    before does not wait.
    """
    async with visitor.browser() as http:
        assert (await visitor.sign_in(http)).status_code == 201
        statuses: list[int] = []
        for number in range(60):
            async with visitor.browser(f"127.9.{visitor.company.id % 250}.{number + 1}") as guesser:
                statuses.append(
                    (await visitor.sign_in(guesser, password=f"guess {number}")).status_code
                )
        assert statuses[:15] == [401] * 15
        assert 429 in statuses
        assert (await visitor.sign_in(http)).status_code == 201
        async with visitor.browser("127.9.250.250") as thief:
            thief.cookies.set("omni_device", "0" * 64)
            assert (await visitor.sign_in(thief)).status_code == 429
