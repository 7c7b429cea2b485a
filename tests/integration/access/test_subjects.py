"""A user of the CRM is never one of our own agents, whatever their number or name is there."""

import json

from tests.integration.integration_admin import admin, command
from tests.integration.test_people import (
    PASSWORD,
    accept,
    invited,
    signed_in,
)
from tests.kit.company import Company


async def number_of(company: Company, email: str) -> int:
    rows = await company.rows("SELECT id FROM omni_agents WHERE email = :email", email=email)
    return int(rows[0][0])


async def test_a_crm_user_with_an_agents_number_is_somebody_else(company: Company) -> None:
    """Neither by the number, nor by the name that our own agents have inside."""
    email = f"owner{company.id}@example.org"
    await accept(company.omni, await invited(company, email, "admin"))
    number = await number_of(company, email)
    async with company.omni.client(company.token(number, name="Nobody")) as http:
        me = (await http.get("/api/me")).json()
        assert (me["email"], me["role"], me["id"] == number) == (None, "agent", False)
        assert (await http.get("/api/people")).status_code == 403
    for subject in (f"local:{number}", "local:999999999", "local:"):
        async with company.omni.client(company.token(subject)) as http:
            assert (await http.get("/api/me")).status_code == 401


async def test_a_token_made_here_is_the_agents_own(company: Company) -> None:
    """`omni-inbox token` goes on working for agents with a password."""
    email = f"token{company.id}@example.org"
    await accept(company.omni, await invited(company, email, "admin"))
    arguments = (
        "--company-id",
        str(company.id),
        "--agent-id",
        str(await number_of(company, email)),
    )
    token = (await command(company.omni, "token", *arguments)).stdout.strip()
    async with company.omni.client(token) as http:
        assert (await http.get("/api/me")).json()["email"] == email


async def test_agents_of_an_earlier_version_are_separated_by_the_upgrade(company: Company) -> None:
    """They had their number, or their address, for a subject; the upgrade can be run again."""
    emails = [f"old{n}.{company.id}@example.org" for n in range(2)]
    for email in emails:
        await accept(company.omni, await invited(company, email))
    numbers = [await number_of(company, email) for email in emails]
    for number, subject in zip(numbers, (str(numbers[0]), emails[1]), strict=True):
        await company.execute(
            "UPDATE omni_agents SET subject = :s WHERE id = :id", s=subject, id=number
        )
    async with company.client("crm-user") as http:
        assert (await http.get("/api/me")).status_code == 200
    assert (
        "2 agents with a password separated"
        in (await command(company.omni, "db", "upgrade")).stdout
    )
    assert "agents with a password" not in (await command(company.omni, "db", "upgrade")).stdout
    rows = await company.rows(
        "SELECT subject FROM omni_agents WHERE company_id = :c ORDER BY id", c=company.id
    )
    assert {f"local:{number}" for number in numbers} <= {subject for (subject,) in rows}
    assert "crm-user" in {subject for (subject,) in rows}
    assert [await signed_in(company, email, PASSWORD) for email in emails] == [201, 201]
    async with admin(company) as chief:
        listed = json.dumps((await chief.get("/api/people")).json())
    assert all(email in listed for email in emails)
