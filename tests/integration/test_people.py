"""Agents administered: invited by a link, given and taken a role, signed out everywhere; by API, by
page, by command.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from server.access.authentication import SESSION_COOKIE
from tests.integration.integration_admin import admin, command
from tests.integration.test_admin_pages import submit, text_of
from tests.kit.company import Company
from tests.kit.omni import Omni

PASSWORD = "correct horse battery staple"


async def invited(company: Company, email: str, role: str = "agent") -> str:
    """The link's token."""
    async with admin(company) as http:
        answer = await http.post(
            "/api/invitations", json={"email": email, "name": "Rahim", "role": role}
        )
    assert answer.status_code == 201, answer.text
    link = urlsplit(answer.json()["link"])
    assert f"{link.scheme}://{link.netloc}{link.path}" == f"{company.omni.base_url}/invitation"
    [token] = parse_qs(link.query)["token"]
    return str(token)


def visitor(omni: Omni, **options: Any) -> httpx.AsyncClient:
    return omni.client(headers={"Origin": omni.base_url}, **options)


async def accept(omni: Omni, token: str, password: str = PASSWORD) -> httpx.Response:
    async with visitor(omni) as http:
        return await http.post(
            "/invitation", data={"token": token, "name": "Rahim  Uddin", "password": password}
        )


async def signed_in(company: Company, email: str, password: str = PASSWORD) -> int:
    async with visitor(company.omni) as http:
        return (
            await http.post("/api/sessions", json={"email": email, "password": password})
        ).status_code


async def test_a_link_makes_an_agent_once(company: Company) -> None:
    """It leads to a page, then into the inbox; a second time it is gone, and so is one that was
    replaced.
    """
    email = f"rahim{company.id}@example.org"
    replaced, token = await invited(company, email), await invited(company, email, "admin")
    assert (await accept(company.omni, replaced)).status_code == 404
    async with visitor(company.omni) as http:
        page = await http.get("/invitation", params={"token": token})
        assert f"an administrator with the address {email}" in text_of(page)
        short = await http.post(
            "/invitation", data={"token": token, "name": "R", "password": "short"}
        )
        assert (short.status_code, "10 characters" in text_of(short)) == (400, True)
    answer = await accept(company.omni, token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    async with visitor(
        company.omni, cookies={SESSION_COOKIE: answer.cookies[SESSION_COOKIE]}
    ) as http:
        me = (await http.get("/api/me")).json()
    assert (me["companyId"], me["name"], me["role"], me["email"]) == (
        company.id,
        "Rahim Uddin",
        "admin",
        email,
    )
    assert (await accept(company.omni, token)).status_code == 404
    assert await signed_in(company, email) == 201
    rows = await company.rows(
        "SELECT COUNT(*) FROM omni_invitations WHERE token_hash = :token", token=token
    )
    assert rows[0][0] == 0  # only its hash is kept


async def test_an_address_of_another_company_is_not_taken_over(
    company: Company, shop: Company
) -> None:
    """Neither by an invitation nor by one that was made before."""
    email = f"both{company.id}@example.org"
    early = await invited(shop, email)
    assert (await accept(company.omni, await invited(company, email))).status_code == 303
    # answered like any other: who is a customer here is nobody's business
    async with admin(shop) as http:
        late = await http.post("/api/invitations", json={"email": email, "name": "x"})
    assert late.status_code == 201
    [token] = parse_qs(urlsplit(late.json()["link"]).query)["token"]
    assert (await accept(shop.omni, token, "another password entirely")).status_code == 404
    assert (await accept(shop.omni, early, "another password entirely")).status_code == 404
    assert await signed_in(company, email) == 201


async def test_a_password_is_changed_and_all_else_ends(company: Company) -> None:
    """The page that changed it goes on; another browser is out; the old password is wrong now."""
    email = f"ruma{company.id}@example.org"
    cookie = (await accept(company.omni, await invited(company, email))).cookies[SESSION_COOKIE]
    async with visitor(company.omni) as other:
        other.cookies.set(
            SESSION_COOKIE,
            (
                await other.post("/api/sessions", json={"email": email, "password": PASSWORD})
            ).cookies[SESSION_COOKIE],
        )
        async with visitor(company.omni, cookies={SESSION_COOKIE: cookie}) as http:
            wrong = await http.put(
                "/api/me/password",
                json={"presentPassword": "wrong", "newPassword": "a new one, longer"},
            )
            assert wrong.status_code == 422
            done = await http.put(
                "/api/me/password",
                json={"presentPassword": PASSWORD, "newPassword": "a new one, longer"},
            )
            assert done.status_code == 204
            http.cookies.set(SESSION_COOKIE, done.cookies[SESSION_COOKIE])
            assert (await http.get("/api/me")).status_code == 200
            assert (await other.get("/api/me")).status_code == 401
            assert await signed_in(company, email) == 401
            assert await signed_in(company, email, "a new one, longer") == 201
            page = await submit(http, "/account/password", present="a new one, longer", new="short")
            assert "10 characters" in text_of(page)
            assert (await http.delete("/api/me/sessions")).status_code == 204
            assert (await http.get("/api/me")).status_code == 401


async def test_roles_and_access_are_given_and_taken(company: Company) -> None:
    """On the page; nobody locks out themselves; each act is in the audit log."""
    email = f"tania{company.id}@example.org"
    cookie = (await accept(company.omni, await invited(company, email))).cookies[SESSION_COOKIE]
    async with (
        admin(company) as chief,
        visitor(company.omni, cookies={SESSION_COOKIE: cookie}) as http,
    ):
        number = (await http.get("/api/me")).json()["id"]
        own = (await chief.get("/api/me")).json()["id"]
        assert (await http.get("/api/people")).status_code == 403
        assert "Is an administrator now" in text_of(
            await submit(chief, f"/admin/people/{number}/admin")
        )
        assert email in [one["email"] for one in (await http.get("/api/people")).json()]
        assert (
            await chief.patch(f"/api/people/{own}", json={"isActive": False})
        ).status_code == 422
        assert (
            await chief.patch(f"/api/people/{number}", json={"role": "owner"})
        ).status_code == 400
        assert "withdrawn" in text_of(await submit(chief, f"/admin/people/{number}/disable"))
        assert (await http.get("/api/me")).status_code == 401
        assert (
            await chief.patch(f"/api/people/{number}", json={"isActive": True})
        ).status_code == 204
        assert (await http.get("/api/me")).status_code == 401  # earlier sign-ins stay ended
    assert await signed_in(company, email) == 201
    acts = await company.rows(
        "SELECT act FROM omni_audit_log WHERE company_id = :company ORDER BY id", company=company.id
    )
    assert [act for (act,) in acts] == [
        *("agent.invite", "agent.accept", "agent.change", "agent.change", "agent.change"),
        "sign-in",
    ]


async def test_a_stranger_s_agents_are_not_there(company: Company, shop: Company) -> None:
    """Neither seen nor changed."""
    async with shop.client() as http:
        number = (await http.get("/api/me")).json()["id"]
    async with admin(company) as stranger:
        assert number not in [one["id"] for one in (await stranger.get("/api/people")).json()]
        assert (
            await stranger.patch(f"/api/people/{number}", json={"isActive": False})
        ).status_code == 404
        assert (await stranger.delete(f"/api/people/{number}/sessions")).status_code == 404
        assert (await submit(stranger, f"/admin/people/{number}/disable")).status_code == 404


async def test_by_command(company: Company) -> None:
    """Invite, list, set a password, change a role."""
    email = f"nila{company.id}@example.org"
    arguments = ("--company-id", str(company.id), "--email", email, "--name", "Nila")
    link = json.loads(
        (await command(company.omni, "agent", "invite", *arguments, "--role", "admin")).stdout
    )["link"]
    token = re.search(r"token=(.+)$", link)
    assert token is not None
    assert (await accept(company.omni, token[1])).status_code == 303
    listed = (await command(company.omni, "agent", "list", "--company-id", str(company.id))).stdout
    [one] = [json.loads(line) for line in listed.splitlines() if email in line]
    assert (one["role"], one["isActive"]) == ("admin", True)
    done = company.omni.cli(
        "agent",
        "password",
        "--agent-id",
        str(one["id"]),
        "--password-stdin",
        input="another, longer one\n",
    )
    assert done.returncode == 0, done.stderr
    assert await signed_in(company, email, "another, longer one") == 201
    assert (
        await command(
            company.omni, "agent", "role", "--agent-id", str(one["id"]), "--role", "agent"
        )
    ).returncode == 0
    rows = await company.rows("SELECT role FROM omni_agents WHERE id = :id", id=one["id"])
    assert rows[0][0] == "agent"
