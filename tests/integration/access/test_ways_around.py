"""Ways around a sign-in's rules: tickets that outlive access, codes that are guessed, addresses and
names that only look alike.
"""

import asyncio
import secrets

import argon2
import httpx
import pytest

from server.core.times import SECOND, wall_now_us
from server.db.access import agent_rows, agent_sessions
from server.db.engine.database import Connection
from tests.integration.access.test_second_factor import (
    FACTOR,
    code_of,
    second_step,
    set_up,
)
from tests.integration.access.visitor import Visitor
from tests.integration.integration_admin import admin
from tests.integration.test_admin_pages import submit
from tests.integration.test_people import accept, invited
from tests.kit.company import Company
from tests.kit.eventually import eventually, scaled


@pytest.mark.parametrize("act", ["withdrawn", "signed out", "new password"])
async def test_a_ticket_ends_with_the_access_it_was_given_for(visitor: Visitor, act: str) -> None:
    """Password and set-up key were in other hands: what was begun before they were stopped is not
    ended after it.
    """
    async with admin(visitor.company) as chief, visitor.browser() as thief:
        assert (
            await chief.put("/api/policy", json={"requiresSecondFactor": True})
        ).status_code == 200
        first = await visitor.sign_in(thief)
        place = f"/api/people/{visitor.number}"
        if act == "withdrawn":
            assert (await chief.patch(place, json={"isActive": False})).status_code == 204
            assert (await chief.patch(place, json={"isActive": True})).status_code == 204
        elif act == "signed out":
            assert (
                await submit(chief, f"/admin/people/{visitor.number}/sign-out")
            ).status_code == 200
        else:
            link = await invited(visitor.company, visitor.email)
            await accept(visitor.omni, link)
        late = await second_step(thief, first, code_of(first.json()["setUp"]["secret"]))
        assert late.status_code == 401, late.text
        assert (await thief.get("/api/me")).status_code == 401
    rows = await visitor.company.rows(
        "SELECT 1 FROM omni_second_factors WHERE agent_id = :id", id=visitor.number
    )
    assert not rows


async def test_a_set_up_that_was_overtaken_replaces_no_factor(visitor: Visitor) -> None:
    """Two begin to set one up with the same password: the second one to end it finds a factor, and
    is asked for that one's code.
    """
    async with admin(visitor.company) as chief:
        assert (
            await chief.put("/api/policy", json={"requiresSecondFactor": True})
        ).status_code == 200
    async with visitor.browser() as thief, visitor.browser() as http:
        stolen, own = await visitor.sign_in(thief), await visitor.sign_in(http)
        secret = own.json()["setUp"]["secret"]
        assert (await second_step(http, own, code_of(secret))).status_code == 201
        late = await second_step(thief, stolen, code_of(stolen.json()["setUp"]["secret"]))
        assert late.status_code == 401, late.text
        assert (
            await second_step(thief, await visitor.sign_in(thief), code_of(secret, 1))
        ).status_code == 201


async def test_codes_are_counted_for_the_account(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """However many tickets and addresses: whoever has the password gets a few tries. Recovery codes
    and known browsers go on.
    """
    async with visitor.browser() as known:
        assert (await visitor.sign_in(known)).status_code == 201
        secret, codes = await set_up(browser, visitor.omni.base_url)
        statuses: list[int] = []
        for number in range(8):
            async with visitor.browser(f"127.8.{visitor.company.id % 250}.{number + 1}") as guesser:
                first = await visitor.sign_in(guesser, email=visitor.email)
                statuses += [
                    (await second_step(guesser, first, "000000")).status_code for _ in range(5)
                ]
        assert statuses[:5] == [422] * 5
        assert statuses[-5:] == [429] * 5, statuses
        assert (
            await second_step(known, await visitor.sign_in(known), code_of(secret, 1))
        ).status_code == 201
        async with visitor.browser(f"127.8.{visitor.company.id % 250}.200") as lost:
            assert (
                await second_step(lost, await visitor.sign_in(lost), codes[0])
            ).status_code == 201


async def test_an_invitation_is_no_way_around_the_second_factor(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """A link for a new password, read by somebody else: the code is asked for; and where the
    company asks for one, of new people, too.
    """
    await set_up(browser, visitor.omni.base_url)
    answer = await accept(visitor.omni, await invited(visitor.company, visitor.email))
    assert (answer.status_code, answer.headers["location"], "set-cookie" in answer.headers) == (
        303,
        "/sign-in",
        False,
    )
    async with admin(visitor.company) as chief:
        assert (
            await chief.put("/api/policy", json={"requiresSecondFactor": True})
        ).status_code == 200
    newcomer = f"new.{visitor.email}"
    answer = await accept(visitor.omni, await invited(visitor.company, newcomer))
    assert (answer.status_code, answer.headers["location"], "set-cookie" in answer.headers) == (
        303,
        "/sign-in",
        False,
    )


async def test_spellings_of_an_address_are_no_other_accounts(visitor: Visitor) -> None:
    """A database may find an address by what only compares alike: such a guess is none at the
    account, or counts as one.
    """
    spellings = [f"{mark}{visitor.email}" for mark in ("\u200b", "\u00ad", "\u200d", "\u2060")]
    alike = [
        ("a", "á"),
        ("a", "à"),
        ("g", "ǵ"),
        ("e", "é"),
        ("n", "ñ"),
        ("o", "ö"),
        ("g", "\uff47"),
    ]
    spellings += [visitor.email.replace(plain, other, 1) for plain, other in alike]
    async with visitor.browser() as http:
        for number, email in enumerate(spellings):
            async with visitor.browser(f"127.7.{visitor.company.id % 250}.{number + 1}") as guesser:
                assert (await visitor.sign_in(guesser, email=email)).status_code == 401, email
        assert (await visitor.sign_in(http)).status_code == 201


async def test_a_subject_that_only_compares_alike_is_somebody_else(company: Company) -> None:
    """MySQL ignores spaces at the end: whoever is called so in the CRM is not the agent without
    them.
    """
    own = (await company.http.get("/api/me")).json()
    async with company.client("1 ") as http:
        answer = await http.get("/api/me")
    assert answer.status_code == 401 or answer.json()["id"] != own["id"], answer.text


async def test_all_other_sign_ins_are_ended_however_many(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """Whoever has the password may have made hundreds: the oldest ones end as well."""
    now = wall_now_us()

    async def fill(connection: Connection) -> None:
        for number in range(230):
            at = now - (300 - number) * SECOND
            await agent_sessions.add_session(
                connection, secrets.token_hex(32), visitor.number, at, now + 3600 * SECOND
            )

    await visitor.company.database.transaction(fill)
    answer = await browser.post(
        "/api/me/sessions/end-others", headers={"Origin": visitor.omni.base_url}
    )
    assert answer.json() == {"ended": 230}
    left = await visitor.company.rows(
        "SELECT COUNT(*) FROM omni_agent_sessions WHERE agent_id = :id AND revoked_at IS NULL",
        id=visitor.number,
    )
    assert left[0][0] == 1


async def test_a_sign_in_under_way_ends_with_the_password(visitor: Visitor) -> None:
    """It was judged by the old one and would be given its session after the change: held up by the
    change's own lock.
    """
    database = visitor.company.database
    hashed = argon2.PasswordHasher().hash("another good long password")
    async with visitor.browser() as http, visitor.browser() as other, asyncio.TaskGroup() as group:
        http.timeout = httpx.Timeout(scaled(60))

        async def change(connection: Connection) -> "asyncio.Task[httpx.Response]":
            now = wall_now_us()
            await agent_rows.update_agent(
                connection, visitor.number, {"password_hash": hashed, "valid_after": now}, now
            )
            begun = group.create_task(visitor.sign_in(http))
            await eventually(lambda: _is_held_up(visitor, other), 20)
            assert not begun.done()
            return begun

        begun = await database.transaction(change, attempts=1)
        assert (await begun).status_code == 401
        assert (await http.get("/api/me")).status_code == 401


async def _is_held_up(visitor: Visitor, other: httpx.AsyncClient) -> bool:
    """Whether somebody waits for a lock on this agent, which is the session's last step. SQLite
    does not tell: there the server has had three turns to read the hash.
    """
    if visitor.company.database.dialect == "mysql":
        waiting = await visitor.company.rows(
            "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT' "
            "AND trx_query LIKE :text",
            text=f"%FROM omni_agents WHERE id = {visitor.number} %FOR UPDATE%",
        )
        return bool(waiting[0][0])
    for _ in range(3):
        assert (await other.get("/livez")).status_code == 200
    return True


async def test_a_known_browser_has_a_limit_as_well(visitor: Visitor) -> None:
    """Its queue is that of all known people: one account with a good cookie does not fill it from
    many addresses.
    """
    async with visitor.browser() as http:
        device = (await visitor.sign_in(http)).cookies["omni_device"]
    statuses = []
    for number in range(40):
        async with visitor.browser(f"127.6.{visitor.company.id % 250}.{number + 1}") as guesser:
            guesser.cookies.set("omni_device", device)
            statuses.append((await visitor.sign_in(guesser, password="wrong")).status_code)
    assert statuses[:10] == [401] * 10
    assert 429 in statuses


async def test_an_address_longer_than_any_is_no_guess(visitor: Visitor) -> None:
    """Nothing of it is kept."""
    async with visitor.browser() as http:
        assert (await visitor.sign_in(http, email="a" * 60_000 + "@example.org")).status_code == 400
        assert (await http.request("GET", FACTOR)).status_code == 401
