"""How the simulated Chatwoot delivers its webhooks, and what the switches do to that."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.lab.chatwoot_sim import ChatwootSim

pytestmark = pytest.mark.anyio


@dataclass
class Receiver:
    """Takes deliveries and remembers them."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.taken.append((dict(request.headers), await request.body()))
        if request.url.path == "/moved":
            return Response(status_code=302, headers={"location": "/hook"})
        return Response(status_code=self.status)

    @property
    def contents(self) -> list[str]:
        return [json.loads(body)["content"] for _, body in self.taken]

    @property
    def delivery_ids(self) -> list[str]:
        return [headers["x-chatwoot-delivery"] for headers, _ in self.taken]


@asynccontextmanager
async def delivering(receiver: Receiver, path: str = "/hook") -> AsyncIterator[ChatwootSim]:
    app = Starlette(routes=[Route("/{any:path}", receiver.take, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        sim = ChatwootSim(http=http)
        sim.webhooks.concurrency = 1
        sim.add_webhook(f"http://omni.test{path}", subscriptions=["message_created"])
        async with sim.webhooks.running():
            yield sim


async def test_delivery_is_signed_as_chatwoot_does() -> None:
    """Three headers; the signature covers timestamp, dot and raw body."""
    receiver = Receiver()
    async with delivering(receiver) as sim:
        sim.customer_says("Léa", "Tom & Léa <3")
        await sim.webhooks.flushed()
    headers, body = receiver.taken[0]
    signed = headers["x-chatwoot-timestamp"].encode() + b"." + body
    expected = hmac.new(sim.hooks[0].secret.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["x-chatwoot-signature"] == f"sha256={expected}"
    assert headers["content-type"] == "application/json"
    assert b"\\u003c3" in body


async def test_refused_delivery_is_never_sent_again() -> None:
    """500 is a failure in the log, and that was it."""
    receiver = Receiver(status=500)
    async with delivering(receiver) as sim:
        sim.customer_says("Léa", "lost")
        await sim.webhooks.flushed()
    assert len(receiver.taken) == 1
    assert (sim.webhooks.counters.failed, sim.webhooks.log[-1].http_status) == (1, 500)


async def test_unreachable_receiver_is_a_failure() -> None:
    """Nobody listens: counted, not raised."""
    sim = ChatwootSim()
    sim.add_webhook("http://127.0.0.1:9/", subscriptions=["message_created"])
    async with sim.webhooks.running():
        sim.customer_says("Léa", "lost")
        await sim.webhooks.flushed()
    assert (sim.webhooks.counters.failed, sim.webhooks.log[-1].error) == (1, "ConnectError")


async def test_redirect_sends_the_body_again() -> None:
    """ssrf_filter re-sends the POST, where browsers would turn it into GET."""
    receiver = Receiver()
    async with delivering(receiver, "/moved") as sim:
        sim.customer_says("Léa", "moved")
        await sim.webhooks.flushed()
    assert receiver.contents == ["moved", "moved"]
    assert sim.webhooks.counters.acknowledged == 1


async def test_drop_next_loses_just_those() -> None:
    """Dropped ones are never sent."""
    receiver = Receiver()
    async with delivering(receiver) as sim:
        sim.switches.set(drop_next=2)
        for text in "abc":
            sim.customer_says("Léa", text)
        await sim.webhooks.flushed()
    assert receiver.contents == ["c"]
    assert (sim.webhooks.counters.dropped, sim.webhooks.counters.sent) == (2, 1)


@pytest.mark.parametrize(("kind", "different_ids"), [("same_id", 1), ("new_id", 2)])
async def test_duplicates(kind: str, different_ids: int) -> None:
    """A job run again keeps its delivery id; an event dispatched twice has two."""
    receiver = Receiver()
    async with delivering(receiver) as sim:
        sim.switches.set(duplicate=kind)
        sim.customer_says("Léa", "twice")
        await sim.webhooks.flushed()
    assert receiver.contents == ["twice", "twice"]
    assert len(set(receiver.delivery_ids)) == different_ids


async def test_shuffle_keeps_all_and_changes_the_order() -> None:
    """Within its window the order is random, nothing is lost."""
    receiver = Receiver()
    texts = [str(number) for number in range(40)]
    async with delivering(receiver) as sim:
        sim.switches.set(shuffle_window=40)
        for text in texts:
            sim.customer_says("Léa", text)
        await sim.webhooks.flushed()
    assert receiver.contents != texts
    assert sorted(receiver.contents) == sorted(texts)


async def test_delay_holds_them_back() -> None:
    """Nothing leaves before its time."""
    receiver = Receiver()
    async with delivering(receiver) as sim:
        sim.switches.set(delay_seconds=0.05)
        sim.customer_says("Léa", "late")
        queued = sim.webhooks.log[-1]
        await sim.webhooks.flushed()
    assert receiver.contents == ["late"]
    assert queued.state == "acknowledged"


async def test_flushing_without_a_sender_is_told() -> None:
    """A test that forgot to start the sender gets an error instead of waiting for ever."""
    sim = ChatwootSim()
    sim.add_webhook("http://127.0.0.1:9/")
    sim.customer_says("Léa", "Hello")
    with pytest.raises(RuntimeError, match="running"):
        await sim.webhooks.flushed()


async def test_unsubscribed_events_are_not_sent() -> None:
    """Only what the webhook subscribed to, in its own account."""
    receiver = Receiver()
    async with delivering(receiver) as sim:
        other = sim.add_account("Other")
        inbox = sim.add_inbox("Other site", account=other)
        sim.customer_says("Ana", "elsewhere", inbox_id=inbox.id)
        sim.customer_says("Léa", "here")
        await sim.webhooks.flushed()
    assert receiver.contents == ["here"]


async def test_what_the_body_raises_comes_out_as_it_is() -> None:
    """A failing assertion beside the sender must not be wrapped in a group."""
    sim = ChatwootSim()
    with pytest.raises(ZeroDivisionError):
        async with sim.webhooks.running():
            raise ZeroDivisionError
    async with sim.webhooks.running():
        await sim.webhooks.flushed()
