"""The REST client against the simulated Chatwoot on a real socket: answers, refusals, and every way
an answer gets lost.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from server.chatwoot import (
    CLIENT_ID_KEY,
    ChatwootClient,
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootUnavailable,
    ChatwootUnexpected,
    ReadRetries,
    RequestBudget,
    RequestBudgets,
    Timeouts,
    client_id_of,
)
from server.lab.chatwoot_sim import ChatwootSim, serving

pytestmark = pytest.mark.anyio

ONCE = ReadRetries(attempts=1)
SHORT = ReadRetries(attempts=3, first_wait_seconds=0.01, longest_wait_seconds=0.02)
SECRET_TEXT = "the customer's secret"


def client_of(sim: ChatwootSim, http: httpx.AsyncClient, **options: Any) -> ChatwootClient:
    settings: dict[str, Any] = {
        "retries": SHORT,
        "budget": RequestBudget(pause_seconds=0.0),
        **options,
    }
    token = settings.pop("access_token", sim.admin.access_token)
    return ChatwootClient(
        base_url=sim.base_url, account_id=sim.account.id, access_token=token, http=http, **settings
    )


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[ChatwootSim, ChatwootClient]]:
    sim = ChatwootSim()
    async with serving(sim), httpx.AsyncClient(trust_env=False) as http:
        yield sim, client_of(sim, http, **options)


# -- what is there --


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


# -- writing --


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


# -- refusals --


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


# -- reads are tried again --


async def test_read_survives_a_bad_moment() -> None:
    """500, 429 and a cut-off answer once: the second attempt succeeds."""
    async with connected() as (sim, chatwoot):
        for fault in ({"fail_next": 1}, {"limit_next": 1}, {"truncate_next": 1}):
            sim.switches.set(**fault)
            assert (await chatwoot.profile())["id"] == sim.admin.id


async def test_read_gives_up() -> None:
    """After its attempts it says: later."""
    async with connected() as (sim, chatwoot):
        sim.switches.set(fail_next=100, fail_status=503)
        with pytest.raises(ChatwootUnavailable):
            await chatwoot.list_inboxes()
        assert sim.switches.fail_next == 100 - SHORT.attempts


async def test_slow_read_times_out() -> None:
    """The time of one attempt is bounded as a whole."""
    async with connected(timeouts=Timeouts(total=0.05), retries=ONCE) as (sim, chatwoot):
        sim.switches.set(latency_seconds=0.2)
        with pytest.raises(ChatwootUnavailable):
            await chatwoot.profile()


async def test_another_program_at_the_address_is_told() -> None:
    """200 with JSON that is not Chatwoot's."""
    # a stream, as from a socket: what a Response is made with otherwise counts as read already
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, stream=httpx.ByteStream(b'{"hello": "world"}'))
    )
    async with httpx.AsyncClient(transport=transport) as http:
        chatwoot = ChatwootClient(
            base_url="http://chat.test", account_id=1, access_token="t", http=http, retries=ONCE
        )
        for call in (
            chatwoot.profile(),
            chatwoot.list_inboxes(),
            chatwoot.list_conversations(),
            chatwoot.list_messages(1),
        ):
            with pytest.raises(ChatwootUnexpected):
                await call


async def test_redirect_names_the_right_address() -> None:
    """An http address of an https Chatwoot: not followed, since a POST would lose its body and the
    token would travel.
    """
    location = {"location": "https://chat.test/api/v1/profile?token=x"}
    moved = httpx.Response(301, headers=location, stream=httpx.ByteStream(b""))
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: moved)) as http:
        chatwoot = ChatwootClient(
            base_url="http://chat.test", account_id=1, access_token="t", http=http, retries=ONCE
        )
        with pytest.raises(ChatwootRefused, match=r"https://chat\.test; use that address"):
            await chatwoot.profile()


# -- writes are never tried again --


@pytest.mark.parametrize(
    "fault",
    [
        {"fail_next": 1, "fail_after_commit": True, "fail_status": 502},
        {"lose_next": 1},
        {"truncate_next": 1},
        {"hang_next": 1},
    ],
    ids=["gateway", "cut", "truncated", "hanging"],
)
async def test_lost_answer_of_a_reply_is_unknown_and_findable(fault: dict[str, Any]) -> None:
    """The customer has it exactly once, and the list of messages proves it by the marker."""
    async with connected(timeouts=Timeouts(read=0.2, total=0.5)) as (sim, chatwoot):
        sim.customer_says("Léa", "Hello")
        sim.switches.set(**fault)
        with pytest.raises(ChatwootOutcomeUnknown):
            await chatwoot.send_message(1, "Hi", client_id="c-6")
        marked = [m for m in await chatwoot.list_messages(1) if client_id_of(m) == "c-6"]
        assert len(marked) == 1


async def test_reply_that_was_not_carried_out_may_be_unknown_too() -> None:
    """500 before the commit looks the same from outside: the list shows that nothing happened."""
    async with connected() as (sim, chatwoot):
        sim.customer_says("Léa", "Hello")
        sim.switches.set(fail_next=1)
        with pytest.raises(ChatwootOutcomeUnknown):
            await chatwoot.send_message(1, "Hi", client_id="c-7")
        assert not [m for m in await chatwoot.list_messages(1) if client_id_of(m)]


async def test_limited_reply_was_not_sent() -> None:
    """429 comes before Chatwoot sees the request: later, without looking."""
    async with connected() as (sim, chatwoot):
        sim.customer_says("Léa", "Hello")
        sim.switches.set(limit_next=1)
        with pytest.raises(ChatwootUnavailable):
            await chatwoot.send_message(1, "Hi", client_id="c-8")
        assert len(sim.messages) == 1


async def test_reply_to_nobody_was_not_sent() -> None:
    """Connection refused: nothing left this machine."""
    sim = ChatwootSim(base_url="http://127.0.0.1:9")
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(ChatwootUnavailable):
            await client_of(sim, http).send_message(1, "Hi", client_id="c-9")


async def test_nothing_secret_is_logged_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    """Neither token nor text, whatever fails, at any log level of this program."""
    caplog.set_level(logging.DEBUG)
    failures: list[ChatwootError] = []
    async with connected(timeouts=Timeouts(read=0.2, total=0.5)) as (sim, chatwoot):
        sim.customer_says("Léa", "Hello")
        for fault in (
            {"fail_next": 1},
            {"lose_next": 1},
            {"hang_next": 1},
            {"limit_next": 1},
            {"truncate_next": 1},
        ):
            sim.switches.set(**fault)
            with pytest.raises(ChatwootError) as failed:
                await chatwoot.send_message(1, SECRET_TEXT, client_id="c-10")
            failures.append(failed.value)
        token = sim.admin.access_token
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("server")]
    said = " ".join([*ours, *map(repr, failures), *(repr(f.__cause__) for f in failures)])
    assert token not in said
    assert SECRET_TEXT not in said


# -- the budget --


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_budget_allows_a_burst_then_a_steady_rate() -> None:
    """60 a minute: one a second, and reads leave a part to replies."""
    clock = Clock()
    budget = RequestBudget(per_minute=600, monotonic=clock)  # a bucket of 10
    for _ in range(8):
        await budget.acquire(is_write=False)
    assert budget.seconds_until_free(is_write=False) > 0
    await budget.acquire(is_write=True)
    await budget.acquire(is_write=True)
    assert budget.seconds_until_free(is_write=True) == pytest.approx(0.1)
    clock.now += 1
    assert budget.seconds_until_free(is_write=False) == 0


async def test_budget_gives_up_instead_of_waiting_for_ever() -> None:
    """A wait longer than allowed is told at once."""
    budget = RequestBudget(per_minute=60, max_wait_seconds=0.5, monotonic=Clock())
    await budget.acquire(is_write=True)
    with pytest.raises(ChatwootUnavailable):
        await budget.acquire(is_write=True)


async def test_budget_pauses_after_429() -> None:
    """Nobody asks for a while, writes neither."""
    clock = Clock()
    budget = RequestBudget(pause_seconds=5.0, monotonic=clock)
    budget.on_refused()
    assert budget.seconds_until_free(is_write=True) == pytest.approx(5.0)
    clock.now += 5.0
    assert budget.seconds_until_free(is_write=True) == 0


async def test_cancelled_waiter_takes_nothing() -> None:
    """The budget is taken after the wait, in one step."""
    clock = Clock()
    budget = RequestBudget(per_minute=60, monotonic=clock)
    await budget.acquire(is_write=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await budget.acquire(is_write=True)
    clock.now += 1.0
    assert budget.seconds_until_free(is_write=True) == 0


async def test_clients_of_one_address_share_a_budget() -> None:
    """However the address is written."""
    budgets = RequestBudgets()
    assert budgets.of("https://Chat.test/") is budgets.of("https://chat.test")
    assert budgets.of("https://chat.test") is not budgets.of("https://other.test")
