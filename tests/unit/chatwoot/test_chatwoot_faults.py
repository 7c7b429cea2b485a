"""Answers that get lost, late or broken: reads are tried again, writes never."""

import logging
from typing import Any

import httpx
import pytest

from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootUnavailable,
    ChatwootUnexpected,
    Timeouts,
    client_id_of,
)
from server.lab.chatwoot_sim import ChatwootSim
from tests.unit.chatwoot.chatwoot_connections import ONCE, SHORT, client_of, connected

pytestmark = pytest.mark.anyio

SECRET_TEXT = "the customer's secret"


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
