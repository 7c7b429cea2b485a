"""The REST client against the simulated Chatwoot on a real socket: answers and refusals."""

import httpx
import pytest

from server.chatwoot import (
    CLIENT_ID_KEY,
    ChatwootClient,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootUnavailable,
    client_id_of,
)
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.unit.chatwoot.chatwoot_connections import ONCE, client_of, connected

pytestmark = pytest.mark.anyio


async def test_profile_and_inboxes() -> None:
    """The two calls an `integration check` makes."""
    async with connected() as (sim, chatwoot):
        profile = await chatwoot.profile()
        assert profile["accounts"][0]["role"] == "administrator"
        assert [inbox["id"] for inbox in await chatwoot.list_inboxes()] == [sim.inbox.id]


async def test_webhooks_are_found_made_and_changed() -> None:
    """The secret comes with the webhook and outlives a change; the same address twice is refused in
    Chatwoot's words.
    """
    async with connected() as (_, chatwoot):
        made = await chatwoot.create_webhook(
            "http://omni.test/hook", ["message_created"], name="Omni Inbox"
        )
        changed = await chatwoot.update_webhook(
            made["id"], subscriptions=["message_created", "message_updated"]
        )
        assert changed["secret"] == made["secret"]
        assert [hook["subscriptions"] for hook in await chatwoot.list_webhooks()] == [
            ["message_created", "message_updated"]
        ]
        with pytest.raises(ChatwootRefused, match="Url has already been taken") as refused:
            await chatwoot.create_webhook("http://omni.test/hook", ["message_created"])
        assert refused.value.chatwoot_status == 422


async def test_conversations_in_pages() -> None:
    """25 a page over all states, newest activity first; an empty page ends the walk."""
    async with connected() as (sim, chatwoot):
        for number in range(27):
            sim.customer_says(f"Customer {number}", "Hello")
        sim.set_status(3, "resolved")
        pages = [await chatwoot.list_conversations(page) for page in (1, 2, 3)]
        assert [len(page.rows) for page in pages] == [25, 2, 0]
        assert [page.count for page in pages] == [27] * 3
        assert pages[0].rows[0]["id"] == 3
        assert (await chatwoot.get_conversation(3))["status"] == "resolved"


async def test_conversations_changed_lately_come_at_once() -> None:
    """`updated_within` is not paged."""
    async with connected() as (sim, chatwoot):
        with sim.time_shifted(-3600):
            sim.customer_says("Long ago", "Hello")
        for number in range(30):
            sim.customer_says(f"Customer {number}", "Hello")
        assert len(await chatwoot.list_updated(600)) == 30
        assert len(await chatwoot.list_updated(600, inbox_id=999)) == 0


async def test_messages_by_windows_of_ids() -> None:
    """From the first id on, below the second; and a look at the newest, which says nothing of what
    else there is.
    """
    async with connected() as (sim, chatwoot):
        ids = [sim.customer_says("Léa", str(number)).id for number in range(130)]

        async def listed(*window: int) -> list[int]:
            return [message["id"] for message in await chatwoot.list_messages(1, *window)]

        assert await listed() == ids
        assert await listed(ids[9], ids[20]) == ids[9:20]
        assert await listed(ids[120]) == ids[120:]
        assert [message["id"] for message in await chatwoot.list_newest(1)] == ids[-20:]
        assert [message["id"] for message in await chatwoot.list_newest(1, before=ids[50])] == ids[
            30:50
        ]


async def test_reply_carries_the_marker_everywhere() -> None:
    """In the answer, in the list and in the webhook: content_attributes, while echo_id is in the
    answer only.
    """
    async with connected() as (sim, chatwoot):
        sim.customer_says("Léa", "Hello")
        sent = await chatwoot.send_message(1, "Hi 🙏", client_id="c-1")
        listed = (await chatwoot.list_messages(1))[-1]
        assert client_id_of(sent) == client_id_of(listed) == "c-1"
        assert (sent["echo_id"], "echo_id" in listed) == ("c-1", False)
        assert sim.messages[sent["id"]].content_attributes == {CLIENT_ID_KEY: "c-1"}


async def test_note_status_and_seen() -> None:
    """The small writes."""
    async with connected() as (sim, chatwoot):
        conversation = sim.customer_says("Léa", "Hello").conversation
        assert (await chatwoot.send_message(1, "among us", client_id="c-2", private=True))[
            "private"
        ]
        await chatwoot.update_last_seen(1)
        assert conversation.unread_count == 0
        assert await chatwoot.toggle_status(1, "resolved") == conversation.status == "resolved"


@pytest.mark.parametrize("has_happened", [False, True])
async def test_a_status_without_an_answer_is_asked_for_again(has_happened: bool) -> None:
    """A gateway's 502 says nothing of what Chatwoot did; the status is a named one, so it does not
    matter.
    """
    async with connected() as (sim, chatwoot):
        conversation = sim.customer_says("Léa", "Hello").conversation
        sim.switches.set(fail_next=2, fail_status=502, fail_after_commit=has_happened)
        assert await chatwoot.toggle_status(1, "resolved") == conversation.status == "resolved"
        sim.switches.set(fail_next=3, fail_status=502)
        with pytest.raises(ChatwootOutcomeUnknown):
            await chatwoot.toggle_status(1, "open")


async def test_marker_of_others_is_none() -> None:
    """Messages without content attributes, or deleted ones, have no marker."""
    assert client_id_of({"content_attributes": {"deleted": True}}) is None
    assert client_id_of({"content_attributes": None}) is None
    assert client_id_of({"content_attributes": {CLIENT_ID_KEY: 7}}) is None


@pytest.mark.parametrize(
    ("role", "sentence"),
    [("nobody", "Invalid Access Token"), ("agent", "You are not authorized to do this action")],
)
async def test_401_is_final_and_keeps_chatwoots_words(role: str, sentence: str) -> None:
    """A wrong token, and an agent's where an administrator's is needed; asked once only."""
    sim = ChatwootSim()
    sim.add_user("Tanvir", account=sim.account, token="agent", inboxes=(sim.inbox,))
    async with serving(sim), httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(ChatwootRefused) as refused:
            await client_of(sim, http, access_token=role).list_webhooks()
    assert (refused.value.chatwoot_status, refused.value.message) == (401, sentence)


async def test_404_and_422_are_final() -> None:
    """A conversation that is gone, and a text that is too long."""
    async with connected() as (sim, chatwoot):
        with pytest.raises(ChatwootRefused, match="could not be found"):
            await chatwoot.get_conversation(7)
        sim.customer_says("Léa", "Hello")
        with pytest.raises(ChatwootRefused, match="too long"):
            await chatwoot.send_message(1, "x" * 150_001, client_id="c-3")


async def test_too_many_messages_passes_by_itself() -> None:
    """Chatwoot's 422 for more than 200 messages a minute in a conversation is not final."""
    async with connected() as (sim, chatwoot):
        for _ in range(200):
            sim.customer_says("Léa", "Hello")
        with pytest.raises(ChatwootUnavailable):
            await chatwoot.send_message(1, "Hi", client_id="c-4")


@pytest.mark.parametrize("base_url", ["ftp://chat.test", "http://", "chat.test"])
async def test_unusable_address_is_a_refusal(base_url: str) -> None:
    """Somebody has to correct it; trying again does not help."""
    async with httpx.AsyncClient(trust_env=False) as http:
        chatwoot = ChatwootClient(
            base_url=base_url, account_id=1, access_token="t", http=http, retries=ONCE
        )
        with pytest.raises(ChatwootRefused) as refused:
            await chatwoot.profile()
    assert refused.value.chatwoot_status == 0


async def test_text_that_is_no_unicode_is_a_refusal() -> None:
    """A lone surrogate cannot be encoded; it must not come out as a foreign exception."""
    async with connected() as (sim, chatwoot):
        sim.customer_says("Léa", "Hello")
        with pytest.raises(ChatwootRefused):
            await chatwoot.send_message(1, "\ud83d", client_id="c-5")
