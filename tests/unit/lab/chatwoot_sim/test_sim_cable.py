"""The simulated agents' socket against the recorded one, and the order in which the simulated
Sidekiq works.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.kit.dashboard import Dashboard, dashboard
from tests.kit.eventually import eventually, scaled
from tests.kit.recorded import read_lines

pytestmark = pytest.mark.anyio
Json = dict[str, Any]

# what is there only where somebody did it
SOMETIMES = {
    "performer",
    "company_id",
    "attachments",
    "assignee",
    "team",
    "sender_id",
    "sender_type",
    "sender",
    "previous_changes",
}
FREE_FORM = {"additional_attributes", "content_attributes", "custom_attributes"}


def shape(value: Any, key: str = "") -> Any:
    if key in FREE_FORM:
        return "object"
    if isinstance(value, dict):
        kept = {name: inner for name, inner in value.items() if name not in SOMETIMES}
        return {name: shape(inner, name) for name, inner in sorted(kept.items())}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1] if isinstance(inner, dict)]
    return (
        "number"
        if type(value) in (int, float)
        else "text or null"
        if value is None
        else type(value).__name__
    )


def shapes(messages: list[Json]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for message in messages:
        data = dict(message["data"])
        if message["event"] == "conversation.created":
            # an API's conversation is made before its first message, a web chat's with it
            data.pop("messages")
        text = json.dumps(shape(data)).replace('"str"', '"text or null"')
        found.setdefault(message["event"], set()).add(text)
    return found


async def test_frames_have_the_shapes_of_the_recorded_ones() -> None:
    """Every event of the recording that the simulator can make happen, down to the types of its
    fields.
    """
    sim = ChatwootSim()
    async with serving(sim), dashboard(sim) as client:
        await client.subscribe(sim.admin, sim.account.id)
        await eventually(lambda: "presence.update" in client.events(), limit=30)
        contact = sim.add_contact("Lea", identifier="crm-1", email="lea@example.org")
        found = sim.customer_says(contact, "Where is order #5512?").conversation
        reply = sim.agent_says(found, "Let me look")
        sim.mark_arrived(reply, "delivered")
        sim.assign_team(found, "Returns")
        sim.assign(found, sim.admin)
        sim.rename_inbox(sim.inbox, "Dhaka")
        sim.set_status(found, "resolved")
        sim.typing(found, contact, on=True)
        sim.typing(found, sim.add_user("Bo Agent", account=sim.account), on=False)
        sim.typing(found, sim.admin, on=True)
        sim.switches.set(writes_views=True)
        sim.mark_seen(found)
        sim.customer_looks(found)
        other = sim.customer_says("Leo", "It is me again").conversation.contact
        sim.merge_contacts(contact, other)
        sim.delete_contact(contact)
        await eventually(lambda: client.events()[-1:] == ["contact.deleted"], limit=30)
    recorded = shapes(
        [
            one["frame"]["message"]
            for one in read_lines("socket/frames")
            if "message" in one["frame"]
        ]
    )
    mine = shapes(client.messages)
    assert {
        name: sorted(told - recorded[name]) for name, told in mine.items() if told - recorded[name]
    } == {}
    assert set(recorded) - set(mine) == {"notification.created"}


async def test_a_wrong_token_gets_silence_and_pings() -> None:
    sim = ChatwootSim()
    sim.switches.set(ping_seconds=0.02)
    async with serving(sim), dashboard(sim) as client:
        await client.subscribe(sim.admin, sim.account.id, token="wrong")
        sim.customer_says("Lea", "Hello?")
        await eventually(
            lambda: len([f for f in client.frames if f.get("type") == "ping"]) > 3, limit=30
        )
        assert {frame.get("type") for frame in client.frames} == {"welcome", "ping"}
        assert not sim.cable.is_online(sim.admin)


async def test_an_agent_hears_their_inboxes_and_an_administrator_all() -> None:
    sim = ChatwootSim()
    second = sim.add_inbox("Second", account=sim.account)
    agent = sim.add_user("Bo", account=sim.account, inboxes=(second,))
    async with serving(sim), dashboard(sim) as of_admin, dashboard(sim) as of_agent:
        await of_admin.subscribe(sim.admin, sim.account.id)
        await of_agent.subscribe(agent, sim.account.id)
        await eventually(lambda: len(sim.cable.subscriptions) == 2, limit=30)
        assert sim.cable.is_online(agent)
        sim.customer_says("Lea", "In the first")
        sim.customer_says("Lea", "In the second", inbox_id=second.id)

        def texts(client: Dashboard) -> list[str]:
            return [
                m["data"]["content"] for m in client.messages if m["event"] == "message.created"
            ]

        await eventually(lambda: len(texts(of_admin)) == 2 and texts(of_agent), limit=30)
    assert texts(of_admin) == ["In the first", "In the second"]
    assert texts(of_agent) == ["In the second"]


@asynccontextmanager
async def receiving(sim: ChatwootSim, order: list[str]) -> AsyncIterator[None]:
    """Webhooks and frames of `sim` write down what came."""

    async def take(request: Request) -> Response:
        order.append(f"webhook {json.loads(await request.body())['id']}")
        return Response()

    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        sim.webhooks.http = http
        sim.add_webhook("http://omni.test/hook", subscriptions=["message_created"])
        async with serving(sim), dashboard(sim) as client:
            await client.subscribe(sim.admin, sim.account.id)
            await eventually(lambda: sim.cable.subscriptions, limit=30)
            yield
            await eventually(lambda: len(client.frames), limit=30)


async def test_webhooks_wait_until_all_frames_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One queue before the other, on the same threads: no webhook of a burst leaves while a frame
    waits for a thread.
    """
    sim, order = ChatwootSim(), list[str]()
    broadcast = sim.cable._broadcast

    async def noting(*job: Any) -> None:
        await broadcast(*job)
        order.append("frame")

    monkeypatch.setattr(sim.cable, "_broadcast", noting)
    sim.switches.set(broadcast_job_seconds=0.002, webhook_job_seconds=0.002)
    async with receiving(sim, order):
        for number in range(30):
            sim.customer_says("Lea", f"{number}")
        await sim.webhooks.flushed()
    # of the threads that were free when the burst began, some may hold a webhook already
    late = [
        place
        for place, what in enumerate(order)
        if what != "frame" and place < order.count("frame") - 10
    ]
    assert len(late) <= sim.webhooks.concurrency, order
    assert order.count("frame") >= 60
    webhooks = [what for what in order if what != "frame"]
    assert len(webhooks) == 30
    assert webhooks != sorted(webhooks, key=lambda what: int(what.split()[1])), (
        "several threads end in another order"
    )


async def test_a_held_queue_lets_frames_through() -> None:
    sim, order = ChatwootSim(), list[str]()
    sim.switches.set(holds_webhooks=True)
    async with receiving(sim, order):
        sim.customer_says("Lea", "Is anybody there?")
        await eventually(lambda: sim.cable.heard and not sim.cable._jobs, limit=30)
        assert order == []
        sim.switches.set(holds_webhooks=False)
        async with asyncio.timeout(scaled(30)):
            await sim.webhooks.flushed()
    assert len(order) == 1


async def test_a_failed_delivery_is_never_sent_again() -> None:
    """Not after 500, nor when the connection breaks: the log keeps the one attempt."""
    sim = ChatwootSim()
    sim.add_webhook("http://127.0.0.1:9/hook", subscriptions=["message_created"])
    async with serving(sim):
        sim.customer_says("Lea", "Hello")
        await sim.webhooks.flushed()
    assert [(one.state, sim.webhooks.counters.sent) for one in sim.webhooks.log] == [("failed", 1)]
