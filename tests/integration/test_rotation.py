"""Secrets, tokens and the key that seals them are renewed without a message lost."""

import json
from pathlib import Path

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, findings, registered
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni


async def test_rotation_loses_nothing(shop: Company, sim: ChatwootSim) -> None:
    """The new webhook is there before the old one goes; messages written all the while are there
    once each.
    """
    await registered(shop)
    old = sim.hooks[0].secret
    sim.customer_says("Léa", "before")
    async with admin(shop) as http:
        rotating = http.build_request("POST", f"/api/integrations/{shop.integration_id}/rotate")
        answer = await http.send(rotating)
        assert answer.status_code == 200, answer.text
    [hook] = sim.hooks
    assert hook.secret != old
    sim.customer_says("Léa", "after")
    await sim.webhooks.flushed()
    assert {delivery.http_status for delivery in sim.webhooks.log} == {200}

    async def written() -> bool:
        [conversation] = await shop.conversations()
        return [message["content"] for message in await shop.thread(conversation["id"])] == [
            "before",
            "after",
        ]

    await eventually(written)
    assert (await findings(shop))["signature"]["state"] == "ok"


async def test_a_token_that_does_not_work_never_replaces_one_that_may(
    shop: Company, sim: ChatwootSim
) -> None:
    """Tried first; a good one is kept and used at once."""
    other = sim.add_user("Ravi", account=sim.account, role="administrator")
    async with admin(shop) as http:
        path = f"/api/integrations/{shop.integration_id}"
        refused = await http.patch(path, json={"accessToken": "wrong"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unprocessable")
        assert "not kept" in refused.json()["message"]
        assert (await findings(shop))["access token"]["state"] == "ok"
        assert (await http.patch(path, json={"accessToken": other.access_token})).status_code == 200
    assert "Ravi" in (await findings(shop))["access token"]["text"]


def test_a_changed_secret_key_opens_and_seals_anew(database_url: str, tmp_path: Path) -> None:
    """SECRET_KEY_PREVIOUS is read; `db upgrade` seals with the new key, clear text as well; then
    the old key is needed no more.
    """

    def server(key: str, previous: str = "") -> Omni:
        return Omni(
            tmp_path,
            database_url=database_url,
            env={"SECRET_KEY": key, "SECRET_KEY_PREVIOUS": previous},
        )

    def problems(omni: Omni) -> list[tuple[str | None, bool]]:
        lines = [json.loads(line) for line in omni.cli("integration", "list").stdout.splitlines()]
        return [(line["problem"], line["isSigned"]) for line in lines]

    first = server("first")
    first.prepare()
    first.add_integration(company_id=1, inbox_id=1, webhook_secret="s")
    server("").add_integration(company_id=1, inbox_id=2, webhook_secret="clear")
    assert "2 tokens and secrets encrypted" in first.cli("db", "upgrade").stdout
    assert all(
        "SECRET_KEY_PREVIOUS" in (problem or "") for problem, _ in problems(server("second"))
    )
    changed = server("second", "zeroth, first")
    assert problems(changed) == [(None, True), (None, True)]
    assert "4 tokens and secrets encrypted" in changed.cli("db", "upgrade").stdout
    assert "nothing to do" in changed.cli("db", "upgrade").stdout
    assert problems(server("second")) == [(None, True), (None, True)]
