"""A sync in the background: how far it is, stopped and gone on with, taken over from a process that
died; by API and by page.
"""

import asyncio
from pathlib import Path
from typing import Any

from server.lab.chatwoot_sim import ChatwootSim
from tests.conftest import Stack
from tests.integration.integration_admin import admin
from tests.integration.test_admin_pages import submit, text_of
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket

CONVERSATIONS = 60
PAGE = 25  # conversations in one answer of Chatwoot's list


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
    """Progress with its total; after a stop what is done stays done, and the rest comes when it
    goes on; nothing twice.
    """
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
        assert "It walks now" in text_of(
            await submit(http, f"/admin/integrations/{shop.integration_id}/sync")
        )
    done = await reaches(shop, "done")
    assert done["conversations"] >= CONVERSATIONS
    found = await shop.conversations()
    assert len(found) == CONVERSATIONS
    assert [len(await shop.thread(one["id"])) for one in found[:3]] == [2, 2, 2]
    acts = await shop.rows(
        "SELECT act FROM omni_audit_log WHERE company_id = :id ORDER BY id", id=shop.id
    )
    assert [act for (act,) in acts] == ["sync.start", "sync.stop", "sync.start"]


async def test_a_walk_whose_process_died_goes_on(shop: Company, sim: ChatwootSim) -> None:
    """Noticed by its silence; taken by a process that lives."""
    filled(sim)
    await shop.execute(
        "INSERT INTO omni_sync_runs (integration_id, state, asked_at, started_at, updated_at) "
        "VALUES (:id, 'running', 1, 1, 1)",
        id=shop.integration_id,
    )
    assert (await reaches(shop, "done"))["created"] == 2 * CONVERSATIONS


async def test_the_process_is_killed_in_the_middle(
    stack: Stack, tmp_path: Path, sim: ChatwootSim
) -> None:
    """SIGKILL: the other process, or the same one started again, goes on from where it had come to,
    and its administrators are told.
    """
    filled(sim)
    sim.switches.set(latency_seconds=0.03)
    walking = Omni(tmp_path, database_url=stack.database_url, broadcast_url=stack.broadcast_url)
    await asyncio.to_thread(walking.prepare)
    await asyncio.to_thread(walking.start)
    other = walking.another() if stack.kind == "production" else walking
    try:
        async with (
            Company(walking, chatwoot=sim) as shop,
            other.client(shop.token("boss", role="admin")) as http,
        ):
            async with admin(shop) as first:
                assert (
                    await first.post(f"/api/integrations/{shop.integration_id}/sync")
                ).status_code == 202
            before = await reaches(shop, "running", least=PAGE + 1)
            # so that it does not come to its end before it dies
            sim.switches.set(latency_seconds=0.5)
            if other is not walking:
                await asyncio.to_thread(other.start)
                await _look_on_at(other, shop, walking, sim)
            else:
                await asyncio.to_thread(walking.kill9)
                sim.switches.reset()
                await asyncio.to_thread(walking.start)

            async def done() -> dict[str, Any]:
                found: dict[str, Any] = (
                    await http.get(f"/api/integrations/{shop.integration_id}/sync")
                ).json()
                assert found["state"] == "done", found
                return found

            after = await eventually(done, limit=90)
            assert after["conversations"] == after["total"] == CONVERSATIONS
            # what was done before it died counts
            assert 2 * CONVERSATIONS - before["created"] < after["created"] <= 2 * CONVERSATIONS
            rows = (await http.get("/api/conversations")).json()
            assert sorted(row["inboundCount"] for row in rows) == [2] * CONVERSATIONS
    finally:
        for server in {walking, other}:
            await asyncio.to_thread(server.kill9)


async def _look_on_at(other: Omni, shop: Company, walking: Omni, sim: ChatwootSim) -> None:
    """An administrator at a process that does not walk is told over the bus, and still when it
    walks itself; an agent never is.
    """
    token = shop.token("boss", role="admin")
    async with (
        AgentSocket(other.ws_url, token=token) as boss,
        AgentSocket(other.ws_url, token=shop.token("asha")) as asha,
    ):
        told = await boss.wait_for_frame("sync", limit=20)
        assert (told["integrationId"], told["total"]) == (shop.integration_id, CONVERSATIONS)
        await asyncio.to_thread(walking.kill9)
        sim.switches.reset()
        await boss.wait_until(
            lambda: any(frame["state"] == "done" for frame in boss.frames_of("sync")), limit=90
        )
        counts = [frame["conversations"] for frame in boss.frames_of("sync")]
        # it went on by the page, not from the beginning
        assert min(counts) >= told["conversations"] - 2 * PAGE
        await asha.wait_for_frame("presence")
        assert asha.frames_of("sync") == []


async def test_one_that_was_to_stop_when_its_process_died_stays_stopped(
    shop: Company, sim: ChatwootSim
) -> None:
    """Nobody wants it any more."""
    await shop.execute(
        "INSERT INTO omni_sync_runs (integration_id, state, asked_at, started_at, updated_at) "
        "VALUES (:id, 'stopping', 1, 1, 1)",
        id=shop.integration_id,
    )
    await reaches(shop, "stopped")


async def test_what_goes_wrong_is_told(shop: Company, sim: ChatwootSim) -> None:
    """A token that is not accepted: failed, with Chatwoot's word."""
    sim.switches.set(unauthorized=True)
    async with admin(shop) as http:
        assert (await http.post(f"/api/integrations/{shop.integration_id}/sync")).status_code == 202
        assert "Invalid Access Token" in (await reaches(shop, "failed"))["problem"]
        assert "Invalid Access Token" in text_of(
            await http.get(f"/admin/integrations/{shop.integration_id}")
        )


async def test_another_company_s_cannot_be_begun(shop: Company, company: Company) -> None:
    """Neither looked at, nor begun, nor stopped."""
    async with admin(company) as http:
        for method in ("GET", "POST", "DELETE"):
            assert (
                await http.request(method, f"/api/integrations/{shop.integration_id}/sync")
            ).status_code == 404
    assert not await shop.rows(
        "SELECT 1 FROM omni_sync_runs WHERE integration_id = :id", id=shop.integration_id
    )
