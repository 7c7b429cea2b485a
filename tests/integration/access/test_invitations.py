"""Invitations end with the access of who they are for and of who made them; none gives back what
was withdrawn.
"""

import httpx

from server.access.authentication import SESSION_COOKIE
from tests.integration.integration_admin import admin
from tests.integration.test_admin_pages import submit, text_of
from tests.integration.test_people import (
    accept,
    invited,
    signed_in,
    visitor,
)
from tests.kit.company import Company


class Person:
    """An agent with a password, and a client that is signed in as them."""

    def __init__(self, http: httpx.AsyncClient, number: int) -> None:
        self.http = http
        self.number = number

    async def invite(self, email: str, role: str = "agent") -> str:
        """The token of a link that this person makes."""
        answer = await self.http.post(
            "/api/invitations", json={"email": email, "name": "Ghost", "role": role}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["link"].partition("token=")[2])


async def join(company: Company, email: str, role: str) -> Person:
    """Invite somebody and let them accept. The client is closed with the loop."""
    cookie = (await accept(company.omni, await invited(company, email, role))).cookies[
        SESSION_COOKIE
    ]
    http = visitor(company.omni, cookies={SESSION_COOKIE: cookie})
    return Person(http, (await http.get("/api/me")).json()["id"])


async def test_withdrawn_access_does_not_come_back_by_an_invitation(company: Company) -> None:
    """Neither by a link the person made for themselves, nor by one for somebody else."""
    email = f"bob{company.id}@example.org"
    bob = await join(company, email, "admin")
    own, ghost = (
        await bob.invite(email, "admin"),
        await bob.invite(f"ghost{company.id}@example.net", "admin"),
    )
    async with admin(company) as chief:
        assert (
            await chief.patch(f"/api/people/{bob.number}", json={"isActive": False})
        ).status_code == 204
        assert (await chief.get("/api/invitations")).json() == []
        again = await chief.post(
            "/api/invitations", json={"email": email, "name": "Bob", "role": "admin"}
        )
        assert (again.status_code, "withdrawn" in again.json()["message"]) == (409, True)
    assert (await accept(company.omni, own)).status_code == 404
    assert (await accept(company.omni, ghost)).status_code == 404
    assert (await bob.http.get("/api/me")).status_code == 401
    assert await signed_in(company, email) == 401
    await bob.http.aclose()


async def test_a_link_is_nothing_to_somebody_whose_access_was_withdrawn_otherwise(
    company: Company,
) -> None:
    """By the CRM's own hand or an older process, which ends no links: neither let in, nor given a
    new password.
    """
    email = f"gone{company.id}@example.org"
    person = await join(company, email, "agent")
    link = await invited(company, email, "agent")
    before = await company.rows(
        "SELECT password_hash FROM omni_agents WHERE id = :id", id=person.number
    )
    await company.execute(
        "UPDATE omni_agents SET is_active = :no WHERE id = :id", no=False, id=person.number
    )
    assert (await accept(company.omni, link)).status_code == 404
    assert (
        await company.rows("SELECT password_hash FROM omni_agents WHERE id = :id", id=person.number)
        == before
    )
    await person.http.aclose()


async def test_an_invitation_says_what_is_known_here_and_nothing_of_another_company(
    company: Company, shop: Company
) -> None:
    """One's own administrator stays one, whatever the form said; of somebody else's nothing
    shows.
    """
    own, foreign = f"own{company.id}@example.org", f"foreign{shop.id}@example.org"
    people = [await join(company, own, "admin"), await join(shop, foreign, "admin")]
    for email in (own, foreign):
        await invited(company, email, "agent")
    async with admin(company) as chief:
        listed = {one["email"]: one["role"] for one in (await chief.get("/api/invitations")).json()}
    assert listed == {own: "admin", foreign: "agent"}
    for person in people:
        await person.http.aclose()


async def test_a_demotion_ends_the_links_of_an_administrator(company: Company) -> None:
    """An agent has no links to give, and none of their own raises them again."""
    email = f"demoted{company.id}@example.org"
    person = await join(company, email, "admin")
    other = await person.invite(f"other{company.id}@example.net")
    async with admin(company) as chief:
        early = await invited(company, email, "admin")
        assert (
            await chief.patch(f"/api/people/{person.number}", json={"role": "agent"})
        ).status_code == 204
        assert [(await accept(company.omni, token)).status_code for token in (early, other)] == [
            404,
            404,
        ]
        fresh = await invited(company, email, "admin")  # a new password, and no new role
    answer = await accept(company.omni, fresh)
    assert answer.status_code == 303
    async with visitor(
        company.omni, cookies={SESSION_COOKIE: answer.cookies[SESSION_COOKIE]}
    ) as http:
        assert (await http.get("/api/me")).json()["role"] == "agent"
    await person.http.aclose()


async def test_signing_out_everywhere_ends_links_too(company: Company) -> None:
    """Whoever had the browser may have made some."""
    person = await join(company, f"left{company.id}@example.org", "admin")
    ghost = await person.invite(f"ghost{company.id}@example.com")
    async with admin(company) as chief:
        assert (await chief.delete(f"/api/people/{person.number}/sessions")).status_code == 204
    assert (await accept(company.omni, ghost)).status_code == 404
    await person.http.aclose()


async def test_a_new_password_ends_links_that_would_set_another(company: Company) -> None:
    """Those for other people stay."""
    email = f"new{company.id}@example.org"
    person = await join(company, email, "admin")
    own, other = await person.invite(email), await person.invite(f"friend{company.id}@example.org")
    body = {
        "presentPassword": "correct horse battery staple",
        "newPassword": "a new one, and longer",
    }
    assert (await person.http.put("/api/me/password", json=body)).status_code == 204
    assert (await accept(company.omni, own)).status_code == 404
    assert (await accept(company.omni, other)).status_code == 303
    await person.http.aclose()


async def test_a_link_never_lowers_or_raises_a_role(company: Company) -> None:
    """The form's first choice is agent: a new password for an administrator keeps the
    administrator.
    """
    email = f"boss{company.id}@example.org"
    boss = await join(company, email, "admin")
    answer = await accept(company.omni, await invited(company, email))
    async with visitor(
        company.omni, cookies={SESSION_COOKIE: answer.cookies[SESSION_COOKIE]}
    ) as http:
        assert (await http.get("/api/me")).json()["role"] == "admin"
    await boss.http.aclose()


async def test_open_invitations_are_listed_and_can_be_ended(
    company: Company, shop: Company
) -> None:
    """By API and on the page, by administrators of the company alone."""
    email, second = f"first{company.id}@example.org", f"second{company.id}@example.org"
    token, by_page = await invited(company, email, "admin"), await invited(company, second)
    async with admin(company) as chief, admin(shop) as stranger, company.client("reader") as reader:
        listed = {one["email"]: one for one in (await chief.get("/api/invitations")).json()}
        assert {address: one["role"] for address, one in listed.items()} == {
            email: "admin",
            second: "agent",
        }
        assert token not in str(listed)
        place = f"/api/invitations/{listed[email]['id']}"
        assert (await reader.get("/api/invitations")).status_code == 403
        assert (await reader.delete(place)).status_code == 403
        assert (await stranger.get("/api/invitations")).json() == []
        assert (await stranger.delete(place)).status_code == 404
        assert (await chief.delete(place)).status_code == 204
        assert (await chief.delete(place)).status_code == 404
        page = text_of(await chief.get("/admin/people"))
        assert (second in page, email in page) == (True, False)
        ended = await submit(chief, f"/admin/people/invitations/{listed[second]['id']}/end")
        assert "works no more" in text_of(ended)
        assert (await chief.get("/api/invitations")).json() == []
    assert [(await accept(company.omni, one)).status_code for one in (token, by_page)] == [404, 404]
    acts = await company.rows(
        "SELECT act, target FROM omni_audit_log WHERE company_id = :company", company=company.id
    )
    assert {target for act, target in acts if act == "agent.invite-end"} == {email, second}
