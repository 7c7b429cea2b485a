"""One process of the harness: a Chatwoot of many accounts whose customers write, at the rate of the
plan, and whose API takes the replies.

It is the simulated Chatwoot of `omni-inbox dev`: signed webhooks, each over a connection of its
own, sent once and never again.
"""

import asyncio
import math
import random
import signal
import time
from collections import Counter, deque
from multiprocessing.connection import Connection
from typing import Any

from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.model import (
    OUTGOING,
    Contact,
    Conversation,
    Inbox,
)
from server.lab.chatwoot_sim.samples import Upload, note, picture
from server.lab.chatwoot_sim.webhooks import Delivery
from server.lab.load.mark import mark_text, number_of
from server.lab.load.scenario_plan import Plan
from server.lab.load.tally import Tally
from server.lab.load.texts import CUSTOMERS, MESSAGES

_TELL_SECONDS = 0.5
_TICK_SECONDS = 0.01
_CUSTOMERS_EACH = 40  # of a company; less where there are many companies
_CUSTOMERS_MOST = 20_000
_ATTACHMENT_SHARE = 0.05
_SUBSCRIPTIONS = (
    "conversation_status_changed",
    "conversation_updated",
    "conversation_created",
    "message_created",
    "message_updated",
)


class Shop:
    """One company's account, inbox and customers."""

    def __init__(
        self, sim: ChatwootSim, number: int, webhook_url: str, customers: int, rng: random.Random
    ) -> None:
        self.account = sim.add_account(f"Shop {number}") if number else sim.account
        self.inbox: Inbox = sim.add_inbox("Website", account=self.account) if number else sim.inbox
        sim.admin.roles[self.account.id] = "administrator"
        self.secret = sim.add_webhook(
            webhook_url, account=self.account, subscriptions=_SUBSCRIPTIONS
        ).secret
        self._sim = sim
        self._rng = rng
        self._contacts = [
            sim.add_contact(
                CUSTOMERS[(number + place) % len(CUSTOMERS)],
                account=self.account,
                identifier=f"crm-{number}-{place}",
            )
            for place in range(customers)
        ]
        self._conversations: dict[Contact, Conversation] = {}

    def customer_writes(self, number: int, due: float) -> None:
        contact = self._rng.choice(self._contacts)
        text = mark_text(number, self._rng.choice(MESSAGES), due)
        files: list[Upload] = []
        if self._rng.random() < _ATTACHMENT_SHARE:
            files = [picture() if self._rng.random() < 0.7 else note()]
        said = self._sim.customer_says(
            contact,
            text,
            inbox_id=self.inbox.id,
            conversation=self._conversations.get(contact),
            attachments=files,
        )
        self._conversations[contact] = said.conversation


class ChatwootPlayer:
    """`address`: of the simulated Chatwoot. Numbers of messages count from 1."""

    def __init__(self, plan: Plan, webhook_url: str) -> None:
        self._plan = plan
        rng = random.Random(plan.seed)  # noqa: S311 - a play that can be repeated
        self.sim = ChatwootSim(account_name="Shop 0", rng=rng)
        each = max(2, min(_CUSTOMERS_EACH, _CUSTOMERS_MOST // plan.companies))
        self.shops = [
            Shop(self.sim, number, webhook_url, each, rng) for number in range(plan.companies)
        ]
        self._log: deque[Delivery] = deque()
        self.sim.webhooks.log = self._log
        self.tally = Tally()
        self.written: dict[int, list[int]] = {}  # shop -> numbers
        self._number = 0
        self._rng = rng
        self._sending: list[Delivery] = []

    async def write(self) -> None:
        """Customers write until this is cancelled, evenly with a little jitter; what is due late is
        still due then.
        """
        plan, started = self._plan, time.monotonic()
        next_at = started + 0.2
        burst_at = (
            started + plan.ramp + min(plan.burst_every, plan.duration / 2)
            if plan.burst_messages
            else math.inf
        )
        while True:
            now = time.monotonic()
            while plan.webhooks_per_second > 0 and next_at <= now:
                self._write(self._rng.randrange(len(self.shops)), next_at)
                next_at += self._rng.uniform(0.5, 1.5) / plan.webhooks_per_second
            if burst_at <= now:
                for _ in range(plan.burst_messages):
                    self._write(0, now)
                burst_at += plan.burst_every or plan.duration
            await asyncio.sleep(_TICK_SECONDS)

    def told(self) -> dict[str, Any]:
        self._drain_log()
        self.tally.cpu_seconds = time.process_time()
        self.tally.written = self._number
        counters = self.sim.webhooks.counters
        waiting = counters.queued - counters.acknowledged - counters.failed
        return self.tally.snapshot() | {"waiting": waiting, "levels": {}, "open_replies": 0}

    def found(self) -> dict[str, Any]:
        texts = (m.content or "" for m in self.sim.messages.values() if m.message_type == OUTGOING)
        replies = Counter(number for text in texts if (number := number_of(text)) is not None)
        return {"written": self.written, "at_customer": dict(replies)}

    def _write(self, shop: int, due: float) -> None:
        self._number += 1
        self.written.setdefault(shop, []).append(self._number)
        self.shops[shop].customer_writes(self._number, due)

    def _drain_log(self) -> None:
        """Count deliveries that have come to an end."""
        self._sending += self._log
        self._log.clear()
        waiting = []
        for delivery in self._sending:
            if delivery.state in ("queued", "sending"):
                waiting.append(delivery)
                continue
            self.tally.webhooks[str(delivery.http_status or delivery.error or delivery.state)] += 1
            self.tally.acknowledgements.add(delivery.seconds)
        self._sending = waiting


async def _run(pipe: Connection, plan: Plan, webhook_url: str) -> None:
    player = ChatwootPlayer(plan, webhook_url)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    async with serving(player.sim) as address, asyncio.TaskGroup() as group:
        accounts = [(shop.account.id, shop.inbox.id, shop.secret) for shop in player.shops]
        pipe.send(
            (
                "ready",
                {"address": address, "token": player.sim.admin.access_token, "accounts": accounts},
            )
        )
        writing: list[asyncio.Task[None]] = []

        def on_command() -> None:
            try:
                command = pipe.recv()
            except EOFError:  # whoever steers us is gone
                command = "end"
            if command == "end":
                over.set()
            elif command == "start":
                writing.append(group.create_task(player.write()))
                pipe.send((command, None))
            else:
                if command == "stop":
                    for task in writing:
                        task.cancel()
                pipe.send((command, player.found() if command == "found" else None))

        loop.add_reader(pipe.fileno(), on_command)
        while not over.is_set():
            pipe.send(("told", player.told()))
            try:
                async with asyncio.timeout(_TELL_SECONDS):
                    await over.wait()
            except TimeoutError:
                continue
        loop.remove_reader(pipe.fileno())
        for task in writing:
            task.cancel()


def play(pipe: Connection, plan: Plan, webhook_url: str) -> None:
    """The process's main: tells its counts twice a second; obeys `start`, `stop`, `found`,
    `end`.
    """
    # Ctrl-C reaches all processes; the one that steers us decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(_run(pipe, plan, webhook_url))
    except BrokenPipeError:
        return
