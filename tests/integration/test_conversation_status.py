"""The status of conversations, set here and in the simulated Chatwoot."""

import asyncio

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.talk import Talk
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.webhook import WEBHOOK_PATH


async def test_twenty_conversations_are_closed_in_chatwoot(shop: Company, sim: ChatwootSim) -> None:
    """PATCH of each at the same moment: resolved there, Closed here, open again when asked."""
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    there = [sim.customer_says(f"Customer {n}", "Hello").conversation for n in range(20)]
    await sim.webhooks.flushed()

    async def all_here() -> list[Json] | None:
        rows = await shop.conversations(status="Open")
        return rows if len(rows) == 20 else None

    rows = await eventually(all_here)
    for status, chatwoot_status in (("Closed", "resolved"), ("Open", "open")):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    shop.http.patch(f"/api/conversations/{row['id']}", json={"status": status})
                )
                for row in rows
            ]
        assert {(task.result().status_code, task.result().json()["status"]) for task in tasks} == {
            (200, status)
        }
        assert {conversation.status for conversation in there} == {chatwoot_status}
        await sim.webhooks.flushed()
        assert len(await shop.conversations(status=status)) == 20


async def test_a_status_that_chatwoot_refuses_stays(talk: Talk) -> None:
    """502 with a sentence; nothing is changed here."""
    talk.sim.switches.set(unauthorized=True)
    answer = await talk.company.http.patch(talk.path, json={"status": "Closed"})
    assert (answer.status_code, answer.json()["code"]) == (502, "chatwoot_failed")
    assert answer.headers["retry-after"]
    assert [row["status"] for row in await talk.company.conversations()] == ["Open"]


async def test_a_status_set_in_chatwoot_arrives(talk: Talk) -> None:
    """Resolved there, Closed here; the customer writes again and it is open."""
    talk.sim.set_status(talk.there, "resolved")

    async def has(status: str) -> bool:
        return [row["status"] for row in await talk.company.conversations()] == [status]

    await eventually(lambda: has("Closed"))
    talk.sim.customer_says(talk.there.contact, "One more thing", conversation=talk.there)
    await eventually(lambda: has("Open"))
