"""Read in either place is read in both, and history begins with what Chatwoot says is unread."""

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import Conversation
from tests.integration.integration_admin import registered
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually


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
                # by the API: Chatwoot notes no look
                sim.create_message(found[name], 1, "Yes", sim.admin)
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
    """What was seen, answered or resolved there is unread for no agent here; snapshot and events
    say the same of it.
    """
    _history(sim)
    async with shop.socket() as agent:
        agent.model.agent_id = await shop.agent_number()
        answer = await shop.http.post(
            "/api/chatwoot/sync", json={"integrationId": shop.integration_id}
        )
        assert answer.json()["integrations"][0]["errors"] == []
        wanted = {"Read": 0, "Half": 1, "Answered": 0, "Resolved": 0, "New": 2}
        assert await _unread(shop) == wanted
        async with shop.client(2) as other:
            assert {
                one["externalUserName"]: one["unreadCount"]
                for one in (await other.get("/api/conversations")).json()
            } == wanted
        assert await _by_view(shop) == {"Open": 2, "Closed": 0, "unsent": 0}, "not messages"
        await agent.wait_for_seq(await shop.head())
        assert {
            c["externalUserName"]: agent.model.unread_count(c["id"])
            for c in agent.model.conversations.values()
        } == wanted


async def test_a_second_sync_changes_nothing(shop: Company, sim: ChatwootSim) -> None:
    """No event, no tag: what is read stays as it is."""
    _history(sim)
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    before = (await shop.http.get("/api/conversations")).headers["etag"], await shop.head()
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    assert (
        (await shop.http.get("/api/conversations")).headers["etag"],
        await shop.head(),
    ) == before


@pytest.mark.parametrize("is_read_here", [False, True])
async def test_what_is_told_of_reading_moves_the_tag(
    shop: Company, sim: ChatwootSim, is_read_here: bool
) -> None:
    """A poller's list is asked for anew, and shows it; an agent who had read it already hears
    nothing new.
    """
    found = _history(sim)["New"]
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    [row] = [one for one in await shop.conversations() if one["externalUserName"] == "New"]
    if is_read_here:
        last = (await shop.thread(row["id"]))[-1]["id"]
        assert (
            await shop.http.post(f"/api/conversations/{row['id']}/read", json={"messageId": last})
        ).json()["unreadCount"] == 0
    list_before = (await shop.http.get("/api/conversations")).headers["etag"]
    sim.mark_seen(found)
    await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    after = await shop.http.get("/api/conversations", headers={"If-None-Match": list_before})
    assert after.status_code == 200
    assert {one["externalUserName"]: one["unreadCount"] for one in after.json()}["New"] == 0


async def _two_messages(shop: Company, sim: ChatwootSim) -> tuple[Conversation, Json]:
    """(there, here)."""
    await registered(shop)
    there = sim.customer_says("Rahima", "One").conversation
    sim.customer_says("Rahima", "Two", conversation=there)
    return there, await shop.conversation_with(2, display_id=there.display_id)


async def test_what_is_read_here_is_read_in_chatwoot_and_for_every_agent(
    shop: Company, sim: ChatwootSim
) -> None:
    """To its end, soon after; what was read in part is not told. The others hear it when Chatwoot
    has confirmed it.
    """
    there, here = await _two_messages(shop, sim)
    first, last = (message["id"] for message in here["messages"])
    async with shop.client(2) as other, shop.socket(2) as socket:
        path = f"/api/conversations/{here['id']}"
        assert (await shop.http.post(f"{path}/read", json={"messageId": first})).json()[
            "unreadCount"
        ] == 1
        assert (await shop.http.post(f"{path}/read", json={"messageId": last})).json()[
            "unreadCount"
        ] == 0
        assert await eventually(lambda: there.unread_count == 0, limit=30)
        event = await socket.wait_for(
            lambda e: e.kind == "conversation.read" and e.data["agentId"] is None, 30
        )
        assert event.data["readCount"] == 2
        assert (await other.get(path)).json()["unreadCount"] == 0
    assert len(_asked(sim, "update_last_seen")) == 1


def _asked(sim: ChatwootSim, what: str) -> list[str]:
    return [one for one in sim.questions.log if what in one]


async def test_many_read_at_once_are_told_once_each(shop: Company, sim: ChatwootSim) -> None:
    """By several agents, again and again, while Chatwoot is away at first: each is told once it is
    back, and nobody waited.
    """
    await registered(shop)
    there = [sim.customer_says(f"Customer {n}", "Hello").conversation for n in range(12)]

    async def all_here() -> list[Json] | None:
        found = await shop.conversations()
        return (
            found
            if len(found) == len(there) and all(one["inboundCount"] for one in found)
            else None
        )

    here = await eventually(all_here, limit=30)
    sim.switches.set(fail_next=2, fail_status=503)
    async with shop.client(2) as other:
        for one in here:
            [message] = await shop.thread(one["id"])
            for client in (shop.http, other, shop.http):
                answer = await client.post(
                    f"/api/conversations/{one['id']}/read", json={"messageId": message["id"]}
                )
                assert answer.json()["unreadCount"] == 0
    assert await eventually(lambda: all(one.unread_count == 0 for one in there), limit=60)
    assert len(_asked(sim, "update_last_seen")) <= 2 * len(there) + 2


async def test_a_message_that_nobody_has_seen_stays_unread_in_chatwoot(
    shop: Company, sim: ChatwootSim
) -> None:
    """It came while Chatwoot was told of those before it, and its webhook was lost: what Chatwoot
    answers shows it.
    """
    there, here = await _two_messages(shop, sim)
    sim.switches.set(holds_webhooks=True)
    sim.customer_says("Rahima", "Three", conversation=there)
    answer = await shop.http.post(
        f"/api/conversations/{here['id']}/read", json={"messageId": here["messages"][-1]["id"]}
    )
    assert answer.json()["unreadCount"] == 0
    assert await eventually(lambda: _asked(sim, "/unread") and there.unread_count > 0, limit=30)
    sim.switches.set(holds_webhooks=False)
    await shop.conversation_with(3, display_id=there.display_id)
    async with shop.client(2) as other:
        assert (await other.get(f"/api/conversations/{here['id']}")).json()["unreadCount"] >= 1, (
            "the newest is read for nobody"
        )


async def test_what_was_deleted_there_is_marked_when_it_is_read(
    shop: Company, sim: ChatwootSim
) -> None:
    there, here = await _two_messages(shop, sim)
    sim.delete_conversation(there)
    await shop.http.post(
        f"/api/conversations/{here['id']}/read", json={"messageId": here["messages"][-1]["id"]}
    )

    async def is_gone() -> bool:
        return bool((await shop.get(f"/api/conversations/{here['id']}"))["goneAt"])

    assert await eventually(is_gone, limit=30)
