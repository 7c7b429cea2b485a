"""`python -m tests.tools.beside`: how far an agent here is behind Chatwoot's own page, when
Chatwoot is busy.

One simulated Chatwoot, one server, and two that listen: a client of Chatwoot's socket, as its
dashboard is one, and an agent here. A burst of 300 messages, and a queue of webhooks that is held;
with the agents' socket as a second source, and by webhooks alone. What is printed are the figures
of one run on one machine; `--scale 1` takes as long as the recorded installation took.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from server.db.migrations import upgrade
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.sim_cable import PROTOCOL, pubsub_token
from tests.kit.client_model import Event
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket

COUNT = 300
_THREADS = 5
# jobs of five threads: 300 messages keep the socket 5 s, webhooks 30 s behind
_FRAME_SECONDS, _WEBHOOK_SECONDS = 0.03, 0.17
_HELD_SECONDS = 40.0
Moments = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.2, help="of the times of a busy Chatwoot")
    options = parser.parse_args()
    print("| Chatwoot | source | its page p50 | p95 | behind it p50 | p95 |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for play in (_burst, _held):
        for listens in (True, False):
            asyncio.run(_measure(play, listens=listens, scale=options.scale))
    return 0


async def _measure(play: Callable[..., object], *, listens: bool, scale: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        omni = Omni(
            Path(folder),
            database_url=f"sqlite:///{folder}/omni.db",
            env={
                "CHATWOOT_SOCKETS": str(listens).lower(),
                "RECONCILE_SECONDS": "3600",
                "RECONCILE_QUIET_SECONDS": "3600",
            },
        )
        upgrade(omni.env["DATABASE_URL"])
        omni.start()
        try:
            said, shown, seen = await _play(omni, play, listens=listens, scale=scale)
        finally:
            omni.kill9()
    name = (
        "a burst of 300" if play is _burst else f"webhooks held for {_HELD_SECONDS * scale:.0f} s"
    )
    theirs = [shown[text] - said[text] for text in said]
    behind = [seen[text] - shown[text] for text in said]
    source = "socket and webhooks" if listens else "webhooks alone"
    print(f"| {name} | {source} | {_line(theirs)} | {_line(behind)} |", flush=True)


async def _play(
    omni: Omni, play: Callable[..., object], *, listens: bool, scale: float
) -> tuple[Moments, Moments, Moments]:
    """(when each text was written, shown on Chatwoot's page, shown here)."""
    sim = ChatwootSim()
    sim.webhooks.concurrency = _THREADS
    said, shown, seen = Moments(), Moments(), Moments()
    async with serving(sim), Company(omni, chatwoot=sim) as company, _Watch(company, seen) as agent:
        sim.add_webhook(f"{omni.base_url}/api/webhooks/chatwoot", secret="")
        async with asyncio.TaskGroup() as group:
            page = group.create_task(_watch_page(sim, shown))
            await eventually(lambda: len(sim.cable.subscriptions) == 1 + listens, limit=30)
            started = time.monotonic()
            await play(sim, said, scale)  # type: ignore[misc]
            await eventually(lambda: len(shown) == len(said), limit=120)
            await agent.wait_until(lambda: len(seen) == len(said), limit=120)
            print(f"  {len(said)} messages in {time.monotonic() - started:.0f} s", file=sys.stderr)
            page.cancel()
    return said, shown, seen


async def _burst(sim: ChatwootSim, said: Moments, scale: float) -> None:
    sim.switches.set(
        broadcast_job_seconds=_FRAME_SECONDS * scale, webhook_job_seconds=_WEBHOOK_SECONDS * scale
    )
    for number in range(COUNT):
        said[f"{number}"] = time.monotonic()
        sim.customer_says(f"Customer {number % 20}", f"{number}")
        await asyncio.sleep(0.002)


async def _held(sim: ChatwootSim, said: Moments, scale: float) -> None:
    sim.switches.set(holds_webhooks=True)
    until = time.monotonic() + _HELD_SECONDS * scale
    number = 0
    while time.monotonic() < until:
        said[f"{number}"] = time.monotonic()
        sim.customer_says(f"Customer {number % 20}", f"{number}")
        number += 1
        await asyncio.sleep(0.1)
    sim.switches.set(holds_webhooks=False)


async def _watch_page(sim: ChatwootSim, shown: Moments) -> None:
    url = sim.base_url.replace("http", "ws") + "/cable"
    async with connect(url, subprotocols=[Subprotocol(PROTOCOL)], close_timeout=1) as page:
        identifier = {"channel": "RoomChannel", "pubsub_token": pubsub_token(sim.admin)}
        identifier |= {"account_id": sim.account.id, "user_id": sim.admin.id}  # type: ignore[dict-item]
        await page.send(json.dumps({"command": "subscribe", "identifier": json.dumps(identifier)}))
        async for text in page:
            message = json.loads(text).get("message")
            if (
                isinstance(message, dict)
                and message["event"] == "message.created"
                and message["data"]["message_type"] == 0
            ):
                shown.setdefault(message["data"]["content"], time.monotonic())


class _Watch(AgentSocket):
    """An agent who looks at the clock when a message is there."""

    def __init__(self, company: Company, seen: Moments) -> None:
        super().__init__(company.omni.ws_url, token=company.token())
        self._seen = seen

    def _on_event(self, event: Event) -> None:
        super()._on_event(event)
        if event.kind == "message.created":
            self._seen.setdefault(event.data["message"]["content"], time.monotonic())


def _line(seconds: list[float]) -> str:
    milliseconds = [1000 * one for one in seconds]
    return (
        f"{statistics.median(milliseconds):,.0f} ms | "
        f"{statistics.quantiles(milliseconds, n=20)[18]:,.0f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
