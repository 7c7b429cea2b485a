"""A sync in the background: how far it is, stopped and gone on with, taken over from a process that died; by API and by page."""

from typing import Any

from server.dev.chatwoot_sim import ChatwootSim
from tests.integration.test_admin_pages import submit, text_of
from tests.integration.test_integrations import admin
from tests.kit.company import Company
from tests.kit.eventually import eventually

CONVERSATIONS = 60


def filled(sim: ChatwootSim) -> None:
    for n in range(CONVERSATIONS):
        sim.customer_says(f"Customer {n}", "Hello")
        sim.customer_says(f"Customer {n}", "Are you there?")


async def run_of(company: Company) -> dict[str, Any]:
    async with admin(company) as http:
        answer = await http.get(f"/api/integrations/{company.integration_id}/sync")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json() or {"state": None}
    return found


async def reaches(company: Company, *states: str, least: int = 0) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        found = await run_of(company)
        assert found["state"] in states, found
        assert found["conversations"] >= least, found
        return found

    return await eventually(there, limit=30.0)


async def test_it_tells_how_far_it_is_stops_and_goes_on(shop: Company, sim: ChatwootSim) -> None:
    """Progress with its total; after a stop what is done stays done, and the rest comes when it goes on; nothing twice."""
    filled(sim)
    sim.switches.set(latency_seconds=0.15)
    async with admin(shop) as http:
        path = f"/api/integrations/{shop.integration_id}/sync"
        assert (await run_of(shop))["state"] is None
        assert (await http.post(path)).status_code == 202
        under_way = await reaches(shop, "running", least=1)
        assert under_way["total"] == CONVERSATIONS
        assert "Stop" in text_of(await http.get(f"/admin/integrations/{shop.integration_id}"))
        assert (await http.delete(path)).status_code == 202
        stopped = await reaches(shop, "stopped")
        assert 0 < stopped["conversations"] < CONVERSATIONS
        assert len(await shop.conversations()) < CONVERSATIONS
        sim.switches.reset()
        assert "It walks now" in text_of(await submit(http, f"/admin/integrations/{shop.integration_id}/sync"))
    done = await reaches(shop, "done")
    assert done["conversations"] >= CONVERSATIONS
    found = await shop.conversations()
    assert len(found) == CONVERSATIONS
    assert [len(await shop.thread(one["id"])) for one in found[:3]] == [2, 2, 2]
    acts = await shop.rows("SELECT act FROM audit_log WHERE company_id = :id ORDER BY id", id=shop.id)
    assert [act for (act,) in acts] == ["sync.start", "sync.stop", "sync.start"]


async def test_a_walk_whose_process_died_goes_on(shop: Company, sim: ChatwootSim) -> None:
    """Noticed by its silence; taken by a process that lives."""
    filled(sim)
    await shop.execute(
        "INSERT INTO sync_runs (integration_id, state, asked_at, started_at, updated_at) VALUES (:id, 'running', 1, 1, 1)",
        id=shop.integration_id,
    )
    assert (await reaches(shop, "done"))["created"] == 2 * CONVERSATIONS


async def test_one_that_was_to_stop_when_its_process_died_stays_stopped(shop: Company, sim: ChatwootSim) -> None:
    """Nobody wants it any more."""
    await shop.execute(
        "INSERT INTO sync_runs (integration_id, state, asked_at, started_at, updated_at) VALUES (:id, 'stopping', 1, 1, 1)",
        id=shop.integration_id,
    )
    await reaches(shop, "stopped")


async def test_what_goes_wrong_is_told(shop: Company, sim: ChatwootSim) -> None:
    """A token that is not accepted: failed, with Chatwoot's word."""
    sim.switches.set(unauthorized=True)
    async with admin(shop) as http:
        assert (await http.post(f"/api/integrations/{shop.integration_id}/sync")).status_code == 202
        assert "Invalid Access Token" in (await reaches(shop, "failed"))["problem"]
        assert "Invalid Access Token" in text_of(await http.get(f"/admin/integrations/{shop.integration_id}"))


async def test_another_company_s_cannot_be_begun(shop: Company, company: Company) -> None:
    """Neither looked at, nor begun, nor stopped."""
    async with admin(company) as http:
        for method in ("GET", "POST", "DELETE"):
            assert (await http.request(method, f"/api/integrations/{shop.integration_id}/sync")).status_code == 404
    assert not await shop.rows("SELECT 1 FROM sync_runs WHERE integration_id = :id", id=shop.integration_id)
