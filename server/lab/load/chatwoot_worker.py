"""A worker process of the harness: a Chatwoot of many accounts whose customers write, at the rate
of the plan, and whose API takes the replies.

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
from server.lab.chatwoot_sim.model import OUTGOING, Contact, Conversation, Inbox
from server.lab.chatwoot_sim.samples import Upload, picture, text_file
from server.lab.chatwoot_sim.webhooks import Delivery
from server.lab.load.counters import Counters
from server.lab.load.message_tag import number_of, tag_text
from server.lab.load.scenario_plan import Plan
from server.lab.load.texts import CUSTOMERS, MESSAGES

_REPORT_INTERVAL_SECONDS = 0.5
_TICK_SECONDS = 0.01
_CUSTOMERS_EACH = 40  # of a company; less where there are many companies
_MAX_CUSTOMERS = 20_000
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
        """A customer by chance writes the message with that number, due at that moment (monotonic
        seconds), now and then with a file.
        """
        contact = self._rng.choice(self._contacts)
        text = tag_text(number, self._rng.choice(MESSAGES), due)
        files: list[Upload] = []
        if self._rng.random() < _ATTACHMENT_SHARE:
            files = [picture() if self._rng.random() < 0.7 else text_file()]
        said = self._sim.customer_says(
            contact,
            text,
            inbox_id=self.inbox.id,
            conversation=self._conversations.get(contact),
            attachments=files,
        )
        self._conversations[contact] = said.conversation


class ChatwootWorker:
    """A simulated Chatwoot with a shop for each company. Numbers of messages count from 1."""

    def __init__(self, plan: Plan, webhook_url: str) -> None:
        self._plan = plan
        rng = random.Random(plan.seed)  # noqa: S311 - a load that can be repeated
        self.sim = ChatwootSim(account_name="Shop 0", rng=rng)
        each = max(2, min(_CUSTOMERS_EACH, _MAX_CUSTOMERS // plan.companies))
        self.shops = [
            Shop(self.sim, number, webhook_url, each, rng) for number in range(plan.companies)
        ]
        self._log: deque[Delivery] = deque()
        self.sim.webhooks.log = self._log
        self.counters = Counters()
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

    def report(self) -> dict[str, Any]:
        """The counts so far, with how many webhooks are under way."""
        self._drain_log()
        self.counters.cpu_seconds = time.process_time()
        self.counters.written = self._number
        counters = self.sim.webhooks.counters
        waiting = counters.queued - counters.acknowledged - counters.failed
        return self.counters.snapshot() | {"waiting": waiting, "levels": {}, "open_replies": 0}

    def record(self) -> dict[str, Any]:
        """What the verdict needs: the numbers written by shop, and how often each reply came."""
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
            self.counters.webhooks[
                str(delivery.http_status or delivery.error or delivery.state)
            ] += 1
            self.counters.acknowledgements.add(delivery.seconds)
        self._sending = waiting


async def _run(pipe: Connection, plan: Plan, webhook_url: str) -> None:
    worker = ChatwootWorker(plan, webhook_url)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    async with serving(worker.sim) as address, asyncio.TaskGroup() as group:
        accounts = [(shop.account.id, shop.inbox.id, shop.secret) for shop in worker.shops]
        pipe.send(
            (
                "ready",
                {"address": address, "token": worker.sim.admin.access_token, "accounts": accounts},
            )
        )
        writing: list[asyncio.Task[None]] = []

        def on_command() -> None:
            try:
                command = pipe.recv()
            except EOFError:  # the process that steers us is gone
                command = "end"
            if command == "end":
                over.set()
            elif command == "start":
                writing.append(group.create_task(worker.write()))
                pipe.send((command, None))
            else:
                if command == "stop":
                    for task in writing:
                        task.cancel()
                pipe.send((command, worker.record() if command == "record" else None))

        loop.add_reader(pipe.fileno(), on_command)
        while not over.is_set():
            pipe.send(("report", worker.report()))
            try:
                async with asyncio.timeout(_REPORT_INTERVAL_SECONDS):
                    await over.wait()
            except TimeoutError:
                continue
        loop.remove_reader(pipe.fileno())
        for task in writing:
            task.cancel()


def run_worker(pipe: Connection, plan: Plan, webhook_url: str) -> None:
    """The main function of the process: reports its counts twice a second; obeys `start`, `stop`,
    `record` and `end`.
    """
    # Ctrl-C reaches all processes; the one that steers us decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(_run(pipe, plan, webhook_url))
    except BrokenPipeError:
        return
