"""What Chatwoot no longer has leaves the open ones: by itself, and at once when somebody touches
it. It can be read, not answered.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import one_stack, registered
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import running


@pytest.fixture
async def watched(tmp_path: Path, sim: ChatwootSim) -> AsyncIterator[Company]:
    with running(tmp_path, env={"INTEGRATION_WATCH_SECONDS": "1"}) as server:
        async with Company(server, chatwoot=sim) as company:
            await registered(company)
            yield company


async def _two(company: Company, sim: ChatwootSim) -> tuple[Json, Json]:
    """One that goes, one that stays."""
    for name in ("Goes", "Stays"):
        sim.customer_says(name, "Hello")

    async def both() -> tuple[Json, Json] | None:
        found = {one["externalUserName"]: one for one in await company.conversations()}
        return (found["Goes"], found["Stays"]) if len(found) == 2 else None

    return await eventually(both, 30)


async def _one(company: Company, conversation: Json) -> Json:
    found: Json = await company.get(f"/api/conversations/{conversation['id']}/messages")
    return found


async def test_a_deleted_conversation_leaves_the_open_ones_by_itself(
    watched: Company, sim: ChatwootSim
) -> None:
    """Nothing tells of it; agents see it in the moment in which it is noticed. The other one stays
    as it is.
    """
    goes, stays = await _two(watched, sim)
    async with watched.socket() as agent:
        sim.delete_conversation(goes["chatwootConversationId"])
        event = await agent.wait_for(
            lambda e: (
                e.kind == "conversation.updated" and e.data["conversation"]["goneAt"] is not None
            ),
            30,
        )
        assert event.data["conversation"]["id"] == goes["id"]
    assert [one["id"] for one in await watched.conversations(status="Open")] == [stays["id"]]
    whole = await _one(watched, goes)
    assert (whole["status"], whole["replyWindow"], whole["replyClosedReason"]) == (
        "Closed",
        "closed",
        "gone",
    )
    assert [message["content"] for message in whole["messages"]] == ["Hello"]
    refused = await watched.http.post(
        f"/api/conversations/{goes['id']}/reply", json={"content": "Are you there?"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_gone")
    opened = await watched.http.patch(f"/api/conversations/{goes['id']}", json={"status": "Open"})
    assert (opened.status_code, opened.json()["code"]) == (409, "conversation_gone")


@one_stack
async def test_a_deleted_conversation_can_be_closed_at_once(
    shop: Company, sim: ChatwootSim
) -> None:
    """The server that nobody told, and that looks once an hour: closing it is what the agent
    wished.
    """
    await registered(shop)
    goes, _ = await _two(shop, sim)
    sim.delete_conversation(goes["chatwootConversationId"])
    closed = await shop.http.patch(f"/api/conversations/{goes['id']}", json={"status": "Closed"})
    assert (closed.status_code, closed.json()["status"]) == (200, "Closed"), closed.text
    assert closed.json()["goneAt"]


@one_stack
async def test_a_reply_to_a_deleted_conversation_marks_it(shop: Company, sim: ChatwootSim) -> None:
    """It fails with its reason; the next one is refused before it is written."""
    await registered(shop)
    goes, _ = await _two(shop, sim)
    sim.delete_conversation(goes["chatwootConversationId"])
    assert (
        await shop.http.post(f"/api/conversations/{goes['id']}/reply", json={"content": "x"})
    ).status_code == 201

    async def gone() -> Json | None:
        whole = await _one(shop, goes)
        return whole if whole["goneAt"] else None

    whole = await eventually(gone, 30)
    assert whole["messages"][-1]["deliveryError"]["code"] == "chatwoot_404"
    again = await shop.http.post(f"/api/conversations/{goes['id']}/reply", json={"content": "y"})
    assert again.json()["code"] == "conversation_gone"


async def test_a_chatwoot_that_does_not_answer_has_lost_nothing(
    watched: Company, sim: ChatwootSim
) -> None:
    """Only 404 proves it: errors, and an inbox that shows nothing for a moment, close nothing."""
    goes, stays = await _two(watched, sim)
    sim.switches.set(fail_next=12, fail_status=500)

    def is_over() -> bool:
        return sim.switches.fail_next == 0

    assert await eventually(is_over, 30)
    assert {one["id"] for one in await watched.conversations(status="Open")} == {
        goes["id"],
        stays["id"],
    }


async def test_what_is_read_in_chatwoot_is_seen_when_open_ones_are_counted(
    watched: Company, sim: ChatwootSim
) -> None:
    """Nothing tells of it; the answer that is asked for anyway does."""
    read, other = await _two(watched, sim)
    assert {one["unreadCount"] for one in await watched.conversations()} == {1}
    sim.mark_seen(read["chatwootConversationId"])

    async def unread() -> bool:
        return {one["id"]: one["unreadCount"] for one in await watched.conversations()} == {
            read["id"]: 0,
            other["id"]: 1,
        }

    assert await eventually(unread, 30)
