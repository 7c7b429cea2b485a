"""Integrations administered, on the API and by the command: added, switched off and on, and closed
to everybody else.
"""

import json

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, command, one_stack
from tests.kit.company import Company


async def test_add_by_api_and_command(company: Company, sim: ChatwootSim) -> None:
    """Added and registered; a second time is noticed; the answer holds no secret, the database
    holds it sealed.
    """
    values = {
        "accountId": sim.account.id,
        "inboxId": sim.inbox.id,
        "baseUrl": sim.base_url + "/",
        "accessToken": sim.admin.access_token,
    }
    async with admin(company) as http:
        added = await http.post("/api/integrations", json=values)
        assert added.status_code == 201, added.text
        again = await http.post("/api/integrations", json=values)
        assert (again.status_code, again.json()["code"]) == (409, "duplicate")
        listed = (await http.get("/api/integrations")).text
    assert added.json()["baseUrl"] == sim.base_url
    assert sim.admin.access_token not in added.text + listed
    rows = await company.rows(
        "SELECT access_token FROM integrations WHERE id = :id", id=added.json()["id"]
    )
    assert rows[0][0].startswith("enc1:")
    options = [
        "--company-id",
        str(company.id),
        "--account-id",
        str(sim.account.id),
        "--inbox-id",
        str(sim.inbox.id),
    ]
    options += ["--base-url", sim.base_url, "--access-token-stdin", "--register"]
    done = await command(
        company.omni, "integration", "add", *options, stdin=f"{sim.admin.access_token}\n"
    )
    assert done.returncode == 1
    assert f"Integration {added.json()['id']} is this Chatwoot inbox already" in done.stderr


@one_stack
@pytest.mark.parametrize(
    ("base_url", "sentence"),
    [
        ("chat.example.com", "must begin with http"),
        ("ftp://chat.example.com", "must begin with http"),
        ("https://user:pw@chat.example.com", "holds no user"),
        ("http://169.254.169.254", "private or local address"),
        ("http://[fe80::1]", "private or local address"),
        ("http://0.0.0.0:8000", "private or local address"),
        ("http://[::ffff:169.254.169.254]/", "private or local address"),
    ],
)
async def test_an_address_that_cannot_be_chatwoot_s_is_refused(
    company: Company, base_url: str, sentence: str
) -> None:
    """Before it is kept, also where private addresses are allowed."""
    values = {"accountId": 1, "inboxId": 2, "baseUrl": base_url, "accessToken": "x"}
    async with admin(company) as http:
        answer = await http.post("/api/integrations", json=values)
    assert answer.status_code == 400, answer.text
    assert sentence in answer.json()["message"]


async def test_only_administrators_and_only_their_own(shop: Company, company: Company) -> None:
    """An agent is refused; another company's administrator finds nothing there, and changes
    nothing.
    """
    async with shop.client() as agent:
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("PATCH", "/1"),
            ("POST", "/1/check"),
            ("POST", "/1/register"),
            ("POST", "/1/rotate"),
        ):
            assert (
                await agent.request(method, f"/api/integrations{path}", json={})
            ).status_code == 403
    async with admin(company) as stranger:
        place = f"/api/integrations/{shop.integration_id}"
        assert (await stranger.patch(place, json={"isActive": False})).status_code == 404
        for act in ("check", "register", "rotate"):
            assert (await stranger.post(f"{place}/{act}")).status_code == 404
        assert shop.integration_id not in [
            one["id"] for one in (await stranger.get("/api/integrations")).json()
        ]
    rows = await shop.rows(
        "SELECT is_active FROM integrations WHERE id = :id", id=shop.integration_id
    )
    assert rows[0][0]


async def test_switched_off_and_on_again_by_command(company: Company) -> None:
    """Off means kept and ignored; each act is in the audit log, with who did it."""
    number = str(company.integration_id)
    assert (
        await command(company.omni, "integration", "disable", "--integration-id", number)
    ).returncode == 0
    await company.tell_server()
    entry = await company.outcome(await company.post(company.simple()))
    assert entry.state == "ignored"
    assert "is_active" in (entry.reason or "")
    line = json.loads(
        (await command(company.omni, "integration", "enable", "--integration-id", number)).stdout
    )
    assert (line["isActive"], line["isWebhookActive"]) == (True, True)
    acts = await company.rows(
        "SELECT act, actor, detail FROM omni_audit_log WHERE company_id = :company ORDER BY id",
        company=company.id,
    )
    assert [(act, actor) for act, actor, _ in acts] == [
        ("integration.change", "command on the server")
    ] * 2
    assert json.loads(acts[0][2]) == {"is_active": False}
