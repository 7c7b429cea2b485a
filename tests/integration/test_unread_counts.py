"""What an agent has read counts down, and never back."""

from tests.integration.talk import Talk


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
