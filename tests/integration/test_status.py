"""The status of a company: what it says is what happened, and nothing of another company's."""

from typing import Any

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, registered
from tests.integration.test_admin_pages import text_of
from tests.kit.company import Company
from tests.kit.eventually import eventually


async def status(company: Company) -> dict[str, Any]:
    async with admin(company) as http:
        answer = await http.get("/api/status")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_it_counts_what_comes_and_how_long_it_takes(
    shop: Company, company: Company, sim: ChatwootSim
) -> None:
    """Webhooks and delays of this minute, agents online; another company sees none of it."""
    await registered(shop)
    async with shop.socket(1) as first, shop.socket(2) as second:
        for socket in (first, second):
            await socket.wait_for_frame("welcome")
        for n in range(5):
            sim.customer_says("Léa", f"message {n}")
        await sim.webhooks.flushed()

        async def shown() -> dict[str, Any] | None:
            # of a batch only the last event's delay is known, which may be no message's
            sim.customer_says("Léa", "and more")
            found = await status(shop)
            plots = found["plots"]
            assert plots["delay"]["newest"]["p99"] is not None, "no delay yet"
            assert found["agentsOnline"] == 2
            assert found["integrations"][0]["lastWebhookAt"] is not None
            return found

        found = await eventually(shown, limit=30.0)
    assert found["plots"]["webhooks"]["newest"]["webhooks"] is not None
    assert "L" in found["plots"]["webhooks"]["paths"]["webhooks"]
    assert (
        found["plots"]["delay"]["newest"]["p50"]
        <= found["plots"]["delay"]["newest"]["p99"]
        <= found["plots"]["delay"]["top"]
    )
    assert found["integrations"][0]["isWell"], found
    other = await status(company)
    assert other["agentsOnline"] == 0
    assert other["plots"]["delay"]["newest"]["p99"] is None
    assert [one["id"] for one in other["integrations"]] == [company.integration_id]


async def test_it_says_what_is_wrong(company: Company) -> None:
    """An integration without webhooks, unsigned, switched off: a sentence each."""
    assert (await status(company))["integrations"][0]["text"] == "no webhook has come yet"
    await company.change_integration(is_webhook_active=False)

    async def told() -> bool:
        found = (await status(company))["integrations"][0]
        assert (found["isWell"], found["text"]) == (False, "its webhooks are switched off")
        return True

    await eventually(told)
    async with admin(company) as http:
        assert (await http.get("/admin")).headers["Location"] == "/admin/status"
        page = text_of(await http.get("/admin/status"))
    assert "Its webhooks are switched off." in page
    assert "Webhooks a minute" in page
    async with company.client() as agent:
        assert (await agent.get("/api/status")).status_code == 403
