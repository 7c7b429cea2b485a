"""The row of a conversation tells the truth: in the list, in events, and the same after everything
was asked for again, or fetched as history.
"""

import asyncio
from collections.abc import Awaitable, Callable

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import Conversation as SimConversation
from server.lab.chatwoot_sim.model import Message as SimMessage
from tests import crm
from tests.integration.talk import Talk
from tests.kit.client_model import ClientModel, Json
from tests.kit.company import Company
from tests.kit.eventually import eventually

Mark = tuple[str | None, str | None]  # the row's text; the text of the reply that was not sent


async def _row(shop: Company, there: SimConversation) -> Json | None:
    rows = await shop.conversations()
    found = [one for one in rows if one["chatwootConversationId"] == there.display_id]
    return found[0] if found else None


async def _said(shop: Company, there: SimConversation) -> Mark:
    """What the list shows, after it was compared with the conversation by itself, and with the
    list and the count of what was not sent.
    """
    row = await _row(shop, there)
    assert row is not None
    marked = [] if row["unsentReply"] is None else [row]
    assert await shop.conversations(unsent="true") == marked
    assert await shop.conversations(unsent="true", limit="1") == marked
    assert await shop.conversations(unsent="true", status="Closed") == []
    assert (await shop.get("/api/conversations/unread"))["unsent"] == len(marked)
    alone = await shop.get(f"/api/conversations/{row['id']}")
    assert (alone["preview"], alone["unsentReply"]) == (row["preview"], row["unsentReply"])
    unsent = None
    if (mark := row["unsentReply"]) is not None:
        thread = await shop.thread(row["id"])
        (failed,) = [one for one in thread if one["id"] == mark["messageId"]]
        assert (failed["createdAt"], failed["deliveryState"]) == (mark["at"], "failed")
        assert failed["deliveryError"]["code"] == mark["code"]
        unsent = failed["content"]
    return (row["preview"] or {}).get("content"), unsent


async def _says(shop: Company, there: SimConversation, text: str, unsent: str | None) -> None:
    async def is_so() -> bool:
        assert await _said(shop, there) == (text, unsent)
        return True

    await eventually(is_so, 15.0)


async def _ask_again(shop: Company) -> None:
    answer = await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    assert answer.json()["integrations"][0]["errors"] == []


async def _snapshot(shop: Company) -> ClientModel:
    model = ClientModel()
    model.load(
        [
            await shop.get(f"/api/conversations/{row['id']}/messages")
            for row in await shop.conversations()
        ]
    )
    return model


async def _played(talk: Talk, play: Callable[[], Awaitable[None]]) -> None:
    """`play` ends in the same state for who heard its events and for who reads everything; and
    another sync changes nothing of it.
    """
    async with talk.company.socket() as agent:
        model = await _snapshot(talk.company)
        await play()
        await talk.sim.webhooks.flushed()
        await _ask_again(talk.company)
        await agent.wait_for_seq(await talk.company.head())
        for event in agent.events:
            model.apply(event)
        assert model == await _snapshot(talk.company)


async def test_a_greeting_hides_no_question(talk: Talk) -> None:
    """The row stands by its time, and shows what the customer asks."""

    async def play() -> None:
        greeting = talk.sim.template_says(talk.there, "We are closed: back on Monday")
        await talk.company.conversation_with(2, display_id=talk.there.display_id)
        await _says(talk.company, talk.there, "Is it still there?", None)
        row = await _row(talk.company, talk.there)
        assert row is not None
        thread = await talk.company.thread(talk.id)
        assert row["lastMessageAt"] == thread[-1]["createdAt"]
        assert thread[-1]["content"] == greeting.content

    await _played(talk, play)
    await _says(talk.company, talk.there, "Is it still there?", None)


async def test_a_deleted_answer_shows_the_question_again(talk: Talk) -> None:
    """Deleted in Chatwoot, told by a webhook."""

    async def play() -> None:
        answer = talk.sim.agent_says(talk.there, "It is")
        await _says(talk.company, talk.there, "It is", None)
        talk.sim.delete_message(answer)
        await _says(talk.company, talk.there, "Is it still there?", None)

    await _played(talk, play)
    await _says(talk.company, talk.there, "Is it still there?", None)


async def _answered(talk: Talk, text: str) -> SimMessage:
    """A reply written here, which Chatwoot has."""
    count = len(talk.there.messages)
    assert (await talk.reply(text)).status_code == 201
    await eventually(lambda: asyncio.sleep(0, len(talk.there.messages) > count), 15.0)
    await talk.sim.webhooks.flushed()
    return talk.there.messages[-1]


async def test_a_failed_reply_is_marked_until_a_later_one_goes_out(talk: Talk) -> None:
    """It does not stand before what the customer writes next."""

    async def play() -> None:
        reply = await _answered(talk, "It is")
        await _says(talk.company, talk.there, "It is", None)
        talk.sim.mark_failed(reply, "131047")
        await _says(talk.company, talk.there, "Is it still there?", "It is")
        talk.sim.customer_says(talk.there.contact, "Hello?", conversation=talk.there)
        await _says(talk.company, talk.there, "Hello?", "It is")
        await talk.sim.webhooks.flushed()
        await _ask_again(talk.company)
        await _says(talk.company, talk.there, "Hello?", "It is")
        await _answered(talk, "Sorry: it is")
        await _says(talk.company, talk.there, "Sorry: it is", None)

    await _played(talk, play)
    await _says(talk.company, talk.there, "Sorry: it is", None)


async def test_a_failed_reply_that_is_sent_again_is_shown_again(talk: Talk) -> None:
    """Sent again in Chatwoot, or refused by it and sent again here; deleted it is no more."""

    async def play() -> None:
        reply = await _answered(talk, "It is")
        talk.sim.mark_failed(reply, "131047")
        await _says(talk.company, talk.there, "Is it still there?", "It is")
        talk.sim.retry_message(reply)
        await _ask_again(talk.company)
        await _says(talk.company, talk.there, "It is", None)
        talk.sim.mark_failed(reply, "131047")
        await _says(talk.company, talk.there, "Is it still there?", "It is")
        talk.sim.delete_message(reply)
        await _says(talk.company, talk.there, "Is it still there?", None)

    await _played(talk, play)
    await _says(talk.company, talk.there, "Is it still there?", None)


async def test_fetched_history_says_the_same(shop: Company, sim: ChatwootSim) -> None:
    """A greeting, a deleted and a failed answer before anything was told here: the mark names its
    message in the first event already.
    """
    there = sim.customer_says("Rahima", "Is it still there?").conversation
    deleted = sim.agent_says(there, "No")
    failed = sim.agent_says(there, "It is")
    sim.template_says(there, "How did we do?")
    sim.delete_message(deleted)
    sim.mark_failed(failed, "131047")
    async with shop.socket() as agent:
        model = await _snapshot(shop)
        await _ask_again(shop)
        await _says(shop, there, "Is it still there?", "It is")
        await agent.wait_for_seq(await shop.head())
        for event in agent.events:
            model.apply(event)
        assert model == await _snapshot(shop)
    await _ask_again(shop)
    await _says(shop, there, "Is it still there?", "It is")


async def test_the_crm_s_own_answer_takes_the_mark_away(talk: Talk) -> None:
    """Another program writes it into the tables; deleted there, the row says what is left."""
    reply = await _answered(talk, "It is")
    talk.sim.mark_failed(reply, "131047")
    await _says(talk.company, talk.there, "Is it still there?", "It is")
    url = talk.company.omni.env["DATABASE_URL"]
    now = (
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '+2 seconds')"
        if url.startswith("sqlite")
        else "UTC_TIMESTAMP(3) + INTERVAL 2 SECOND"
    )
    await asyncio.to_thread(
        crm.execute,
        url,
        "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) VALUES "
        f"(:id, 'agent', 'Called them', {now})",
        id=talk.id,
    )
    await _says(talk.company, talk.there, "Called them", None)
    await asyncio.to_thread(
        crm.execute,
        url,
        "DELETE FROM social_messages WHERE conversation_id = :id AND content = 'Called them'",
        id=talk.id,
    )
    await _says(talk.company, talk.there, "Is it still there?", "It is")


async def test_a_row_of_an_older_version_is_put_right_by_its_next_message(talk: Talk) -> None:
    """Until then it shows what it showed."""
    reply = await _answered(talk, "It is")
    talk.sim.mark_failed(reply, "131047")
    await _says(talk.company, talk.there, "Is it still there?", "It is")
    await asyncio.to_thread(
        crm.execute,
        talk.company.omni.env["DATABASE_URL"],
        "UPDATE social_conversations SET omni_preview = :old, omni_is_unsent = 0 WHERE id = :id",
        old='{"content":"It is","senderType":"agent","hasAttachments":false}',
        id=talk.id,
    )
    await _says(talk.company, talk.there, "It is", None)
    talk.sim.template_says(talk.there, "We are closed")
    await _says(talk.company, talk.there, "Is it still there?", "It is")


async def test_what_is_asked_for_besides_yes_and_no_is_refused(talk: Talk) -> None:
    """Whether the list is narrowed to what was not sent is a yes or a no."""
    await _says(talk.company, talk.there, "Is it still there?", None)
    everything = await talk.company.conversations()
    assert await talk.company.conversations(unsent="false") == everything
    answer = await talk.company.http.get("/api/conversations", params={"unsent": "1"})
    assert answer.status_code == 400
