"""Nothing hides between two answers of Chatwoot's, whatever the times, ties, pages and faults
are.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootTooLong,
    ChatwootUnavailable,
    Listing,
    ReadRetries,
    RecentListing,
    RequestBudget,
    Timeouts,
    account_requests,
    message_windows,
)
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.model import Conversation
from tests.kit.eventually import eventually

pytestmark = pytest.mark.anyio

ONCE = ReadRetries(attempts=1)
Disorder = Callable[[int, int, random.Random], float]

DISORDERS: dict[str, Disorder] = {
    "as the ids": lambda place, count, rng: place,
    "the last one is old": lambda place, count, rng: -1_000.0 if place == count - 1 else place,
    "all but the first are old": lambda place, count, rng: (
        place if place == 0 else -10_000.0 + place
    ),
    "against the ids": lambda place, count, rng: -place,
    "random": lambda place, count, rng: rng.uniform(0, count),
    "equal": lambda place, count, rng: 0.0,
    "neighbours swapped": lambda place, count, rng: place ^ 1,
}


def client_of(sim: ChatwootSim, http: httpx.AsyncClient, **options: Any) -> ChatwootClient:
    given = {
        "retries": ONCE,
        "budget": RequestBudget(per_minute=10**9, pause_seconds=0.0),
        **options,
    }
    return ChatwootClient(
        base_url=sim.base_url,
        account_id=sim.account.id,
        access_token=sim.admin.access_token,
        http=http,
        **given,
    )


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[ChatwootSim, ChatwootClient]]:
    sim = ChatwootSim()
    async with serving(sim), httpx.AsyncClient(trust_env=False) as http:
        yield sim, client_of(sim, http, **options)


def filled(sim: ChatwootSim, count: int, disorder: str, rng: random.Random) -> Conversation:
    """A conversation whose messages have ids with holes, as those of a busy installation have."""
    talk = sim.customer_says("Léa", "0").conversation
    for number in range(1, count):
        sim.customer_says(talk.contact, str(number), conversation=talk)
        if rng.random() < 0.3:
            sim.customer_says("Noor", "between")
    for place, message in enumerate(talk.messages):
        message.created_at += DISORDERS[disorder](place, count, rng)
    return talk


async def listed(client: ChatwootClient, display_id: int, **window: int) -> list[int]:
    return [
        row["id"] async for rows in message_windows(client, display_id, **window) for row in rows
    ]


@pytest.mark.parametrize("disorder", DISORDERS)
@pytest.mark.parametrize("count", [1, 100, 175, 1_000, 2_345])
async def test_no_message_hides_whatever_the_times(disorder: str, count: int) -> None:
    """Also where there are more messages than an answer has; each comes once, and most come with
    the first time of asking.
    """
    async with connected() as (sim, client):
        talk = filled(sim, count, disorder, random.Random(count))
        found = await listed(client, talk.display_id)
        assert sorted(found) == [message.id for message in talk.messages]
        questions = sum("/messages" in question for question in sim.questions.log)
        assert questions <= (1 if count < 100 else 3 if count < 1_000 else 40), questions


async def test_a_window_of_ids_is_asked_for_alone() -> None:
    """From one id on, below another one."""
    async with connected() as (sim, client):
        ids = [message.id for message in filled(sim, 300, "random", random.Random(1)).messages]
        assert sorted(await listed(client, 1, low=ids[50], high=ids[290])) == ids[50:290]


async def test_no_limit_of_an_answer_is_relied_upon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Chatwoot that cuts at a hundred and fifty is read as whole as any."""
    monkeypatch.setattr("server.lab.chatwoot_sim.api_messages.BETWEEN", 150)
    async with connected() as (sim, client):
        talk = filled(sim, 700, "random", random.Random(2))
        assert sorted(await listed(client, 1)) == [message.id for message in talk.messages]


async def test_an_answer_with_too_many_bytes_is_asked_for_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Long messages: no answer above the bound is taken, and yet all of them come. One that is too
    long alone is an error.
    """
    monkeypatch.setattr(account_requests, "MAX_ANSWER_BYTES", 60_000)
    async with connected() as (sim, client):
        talk = sim.customer_says("Léa", "x" * 1_000).conversation
        for _ in range(120):
            sim.customer_says(talk.contact, "y" * 1_000, conversation=talk)
        assert sorted(await listed(client, 1)) == [message.id for message in talk.messages]
        sim.customer_says(talk.contact, "z" * 70_000, conversation=talk)
        with pytest.raises(ChatwootError):
            await listed(client, 1)
        assert issubclass(ChatwootTooLong, ChatwootError)


# -- conversations --

MOVES = (
    "nothing",
    "a message",
    "a new one",
    "one is deleted",
    "a new one and one is deleted",
    "times are set equal",
)


def _act(sim: ChatwootSim, move: str, rng: random.Random) -> None:
    """What happens in Chatwoot while its list is read."""
    talks = list(sim.conversations.values())
    if move == "a message":
        one = rng.choice(talks)
        sim.customer_says(one.contact, "again", conversation=one)
    if "a new one" in move:
        sim.customer_says(f"New {rng.random()}", "hello")
    if "deleted" in move and len(talks) > 1:
        sim.delete_conversation(rng.choice(talks))
    if move == "times are set equal":
        for one in talks:
            one.last_activity_at = talks[0].last_activity_at


async def _walk(
    sim: ChatwootSim, client: ChatwootClient, moves: list[str], rng: random.Random
) -> tuple[Listing, set[int]]:
    """A whole listing, with one move after every few rows; and the conversations that were there
    all the while.
    """
    listing = Listing(client, sim.inbox.id)
    before = {number for _, number in sim.conversations}
    left = list(moves)
    async for _ in listing.rows():
        if left and rng.random() < 0.2:
            _act(sim, left.pop(), rng)
    return listing, before & {number for _, number in sim.conversations}


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    count=st.integers(1, 60),
    page_length=st.sampled_from([25, 5]),
    ties=st.sampled_from(["none", "all", "some", "created as well"]),
    moves=st.lists(st.sampled_from(MOVES), max_size=6),
    fault=st.sampled_from(
        [
            "",
            "page=2&",
            "page=3&",
            "sort_by=last_activity_at_desc&page=1&",
            "sort_by=created_at",
            "empty",
            "repeats",
        ]
    ),
    seed=st.integers(0, 2**16),
)
def test_no_conversation_hides(
    count: int, page_length: int, ties: str, moves: list[str], fault: str, seed: int
) -> None:
    """Rows that are equal in what they are sorted by, pages of another length, pages that fail,
    lack or repeat for ever, and rows that move, come and go while one reads: every conversation
    that was there all the while is found, and the walk says so.
    """
    asyncio.run(_no_conversation_hides(count, page_length, ties, moves, fault, random.Random(seed)))


async def _no_conversation_hides(
    count: int, page_length: int, ties: str, moves: list[str], fault: str, rng: random.Random
) -> None:
    async with connected() as (sim, client):
        other = sim.add_inbox("Other", account=sim.account)
        for number in range(count):
            sim.customer_says(
                f"Customer {number}",
                "hello",
                inbox_id=other.id if number % 7 == 3 else sim.inbox.id,
            )
        for number, one in enumerate(sim.conversations.values()):
            if ties != "none" and (ties != "some" or number % 3):
                one.last_activity_at = 1_700_000_000.0
            if ties == "created as well":
                one.created_at = 1_700_000_000.0
        sim.switches.set(
            page_length=page_length,
            fail_matching=fault if "=" in fault else "",
            empty_page=2 if fault == "empty" else 0,
            repeats_page=fault == "repeats",
        )
        listing, there = await _walk(sim, client, moves, rng)
        there = {number for number in there if sim.conversation(number).inbox is sim.inbox}
        assert there <= listing.found, sorted(there - listing.found)
        assert listing.is_proved, listing.problem


async def test_a_quiet_list_is_read_once() -> None:
    """Nothing is asked for twice where the first pass agrees with the count."""
    async with connected() as (sim, client):
        for number in range(60):
            sim.customer_says(f"Customer {number}", "hello")
        listing = Listing(client, None)
        assert len([row async for row in listing.rows()]) == 60
        assert (listing.is_proved, len(sim.questions.log)) == (True, 3)


async def test_what_could_not_be_proved_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """More numbers without a conversation than one walk asks for: the sentence has both counts."""
    monkeypatch.setattr("server.chatwoot.conversation_listing._MAX_PROBES", 5)
    async with connected() as (sim, client):
        for number in range(60):
            sim.customer_says(f"Customer {number}", "hello")
        sim.switches.set(repeats_page=True)
        listing = Listing(client, None)
        assert len([row async for row in listing.rows()]) < 60
        assert not listing.is_proved
        assert "counts 60 conversations" in (listing.problem or "")


async def test_a_chatwoot_that_is_away_ends_the_walk() -> None:
    """Several pages in a row fail: that is no single question."""
    async with connected() as (sim, client):
        sim.customer_says("Mira", "hello")
        sim.switches.set(fail_matching="/conversations")
        with pytest.raises(ChatwootUnavailable):
            assert not [row async for row in Listing(client, None).rows()]


async def test_those_active_lately_come_through_ties() -> None:
    """A bulk act gives all the same time: pages shuffled from one question to the next, and what is
    older ends the walk.
    """
    async with connected() as (sim, client):
        for number in range(100):
            one = sim.customer_says(f"Customer {number}", "hello").conversation
            one.last_activity_at = (
                1_700_000_000.0 if number < 10 else 1_700_000_900.0 + number // 30
            )
        sim.switches.set(page_length=5)
        recent = RecentListing(client, None, 1_700_000_500 * 10**6)
        found = {row["id"] for row in await recent.rows()}
        assert len(found - set(range(11, 101))) == 0
        assert len(found) > 60
        assert recent.problem is None


async def test_a_question_without_an_answer_is_not_asked_twice() -> None:
    """Chatwoot goes on with a request whose client has left: nobody asks the same until it must
    have ended; other questions go.
    """
    budget = RequestBudget(per_minute=10**9)
    async with connected(
        retries=ReadRetries(attempts=3, first_wait_seconds=0.01),
        timeouts=Timeouts(read=0.3, total=0.3, work=600.0),
        budget=budget,
    ) as (sim, client):
        for number in range(20):
            sim.customer_says(f"Customer {number}", "hello")
        sim.switches.set(row_seconds=1.0, rack_timeout_seconds=2.0)
        for _ in range(3):
            with pytest.raises(ChatwootUnavailable):
                await client.list_updated(600)
        assert sum("updated_within" in question for question in sim.questions.log) == 1
        assert sim.questions.at_work, "it went on there"
        assert len((await client.list_conversations()).rows) == 20
        await eventually(lambda: not sim.questions.at_work)
        budget._unanswered.clear()  # the time has passed
        sim.switches.reset()
        assert len(await client.list_updated(600)) == 20
