"""Read in either place is read in both, and history begins with what Chatwoot says is unread."""

import pytest

from server.dev.chatwoot_sim import ChatwootSim
from server.dev.chatwoot_sim.model import Conversation
from tests.kit.client_model import Json
from tests.kit.company import Company


def _history(sim: ChatwootSim) -> dict[str, Conversation]:
    """As it was yesterday, seconds apart: Chatwoot tells looks in whole seconds."""
    found: dict[str, Conversation] = {}

    def says(second: int, name: str, text: str) -> None:
        with sim.time_shifted(second - 90_000):
            found[name] = sim.customer_says(name, text, conversation=found.get(name)).conversation

    def does(second: int, name: str, act: str) -> None:
        with sim.time_shifted(second - 90_000):
            if act == "looks":
                sim.mark_seen(found[name])
            elif act == "answers":
                sim.create_message(found[name], 1, "Yes", sim.admin)  # by the API: Chatwoot notes no look
            else:
                sim.set_status(found[name], "resolved")

    for name in ("Read", "Half", "Answered", "Resolved", "New"):
        says(0, name, "One")
        says(5, name, "Two")
    does(10, "Read", "looks")
    does(10, "Half", "looks")
    does(10, "Answered", "answers")
    does(10, "Resolved", "resolves")
    says(20, "Half", "Three")
    return found


async def _unread(shop: Company) -> dict[str, int]:
    return {one["externalUserName"]: one["unreadCount"] for one in await shop.conversations()}


async def _by_view(shop: Company) -> Json:
    counts: Json = await shop.get("/api/conversations/unread")
    return counts


async def test_fetched_history_is_as_unread_as_in_chatwoot(shop: Company, sim: ChatwootSim) -> None:
    """What was seen, answered or resolved there is unread for no agent here; snapshot and events say the same of it."""
    _history(sim)
    async with shop.socket() as agent:
        agent.model.agent_id = await shop.agent_number()
        answer = await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
        assert answer.json()["integrations"][0]["errors"] == []
        wanted = {"Read": 0, "Half": 1, "Answered": 0, "Resolved": 0, "New": 2}
        assert await _unread(shop) == wanted
        async with shop.client(2) as other:
            assert {one["externalUserName"]: one["unreadCount"] for one in (await other.get("/api/conversations")).json()} == wanted
        assert await _by_view(shop) == {"Open": 2, "Closed": 0}, "conversations, not messages"
        await agent.wait_for_seq(await shop.head())
        assert {c["externalUserName"]: agent.model.unread_count(c["id"]) for c in agent.model.conversations.values()} == wanted


async def test_a_second_sync_changes_nothing(shop: Company, sim: ChatwootSim) -> None:
    """No event, no tag: what is read stays as it is."""
    _history(sim)
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    before = (await shop.http.get("/api/conversations")).headers["etag"], await shop.head()
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    assert ((await shop.http.get("/api/conversations")).headers["etag"], await shop.head()) == before


@pytest.mark.parametrize("is_read_here", [False, True])
async def test_what_is_told_of_reading_moves_the_tag(shop: Company, sim: ChatwootSim, is_read_here: bool) -> None:
    """A poller's list is asked for anew, and shows it; an agent who had read it already hears nothing new."""
    found = _history(sim)["New"]
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    [row] = [one for one in await shop.conversations() if one["externalUserName"] == "New"]
    if is_read_here:
        last = (await shop.thread(row["id"]))[-1]["id"]
        assert (await shop.http.post(f"/api/conversations/{row['id']}/read", json={"messageId": last})).json()["unreadCount"] == 0
    list_before = (await shop.http.get("/api/conversations")).headers["etag"]
    sim.mark_seen(found)
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    after = await shop.http.get("/api/conversations", headers={"If-None-Match": list_before})
    assert after.status_code == 200
    assert {one["externalUserName"]: one["unreadCount"] for one in after.json()}["New"] == 0
