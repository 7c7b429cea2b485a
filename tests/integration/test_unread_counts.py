"""What an agent has read counts down, and never back."""

from server.core.times import SECOND, iso
from tests.integration.talk import Talk
from tests.kit.company import Company
from tests.kit.webhook import Payload

START = 1_784_365_265  # 2026-07-18 09:01:05


async def test_read_marks_count_down_and_never_back(talk: Talk) -> None:
    """unreadCount of the one who read; an older mark changes nothing and makes no event."""
    for text in ("two", "three"):
        talk.sim.customer_says(talk.there.contact, text, conversation=talk.there)
        await talk.sim.webhooks.flushed()
    whole = await talk.company.conversation_with(3, display_id=talk.there.display_id)
    assert whole["unreadCount"] == 3
    ids = [message["id"] for message in whole["messages"]]
    async with talk.company.socket() as agent:
        for message_id, unread in ((ids[1], 1), (ids[0], 1), (ids[2], 0), (ids[2], 0)):
            answer = await talk.company.http.post(
                f"{talk.path}/read", json={"messageId": message_id}
            )
            assert (answer.status_code, answer.json()["unreadCount"]) == (200, unread)
        await agent.wait_for(lambda e: e.kind == "conversation.read" and e.data["readCount"] == 3)
        assert [e.data["readCount"] for e in agent.events if e.kind == "conversation.read"] == [
            2,
            3,
        ]
    async with talk.company.client(2) as colleague:
        (row,) = (await colleague.get("/api/conversations")).json()
    assert row["unreadCount"] == 3


async def test_a_message_that_comes_with_an_old_time_is_unread(company: Company) -> None:
    """Written two hours ago, delivered to Chatwoot after an agent has looked there: it stands at
    its time, and counts as new until somebody looks.
    """

    def written(number: int, at: int, told: int, seen: int, unread: int) -> Payload:
        conversation = {
            "id": 481,
            "created_at": START - 9_000,
            "updated_at": START + told,
            "agent_last_seen_at": START + seen,
            "unread_count": unread,
        }
        moment = iso((START + at) * SECOND)
        return company.message(number, f"at {at}", created_at=moment, conversation=conversation)

    await company.post(written(1, -7_300, -7_300, -8_000, 1))
    await company.post(written(2, -3_600, -3_600, -8_000, 2))
    await company.conversation_with(2)
    async with company.socket() as agent:
        agent.model.agent_id = await company.agent_number()
        await company.post(written(3, -7_200, 0, -60, 0))
        whole = await company.conversation_with(3)
        assert [one["content"] for one in whole["messages"]] == ["at -7300", "at -7200", "at -3600"]
        assert (whole["inboundCount"], whole["readCount"], whole["unreadCount"]) == (3, 2, 1)
        assert whole["lastMessageAt"] == whole["messages"][-1]["createdAt"]
        await agent.wait_for_seq(await company.head())
        heard = agent.model.conversations[whole["id"]]
        read = agent.model.read_counts.get(whole["id"], 0)
        assert (heard["inboundCount"], read) == (3, 2)
        await company.post(written(4, 5, 10, 8, 0))
        whole = await company.conversation_with(4)
        assert (whole["inboundCount"], whole["unreadCount"]) == (4, 0)
