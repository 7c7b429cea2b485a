"""The simulated Sidekiq: takes events from the state, and delivers them to whoever subscribed,
once, never again.

Sources in Chatwoot: app/listeners/webhook_listener.rb (who gets what), lib/webhooks/trigger.rb
(headers, timeout, no retry), lib/safe_fetch/fetcher.rb (2xx is success), ssrf_filter (redirects
re-send the POST).
"""

import asyncio
import hashlib
import hmac
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx

from server.lab.chatwoot_sim.background import beside
from server.lab.chatwoot_sim.model import Account, Inbox, JsonObject, Webhook
from server.lab.chatwoot_sim.sidekiq import Workers
from server.lab.chatwoot_sim.switches import Switches
from server.lab.chatwoot_sim.webhook_bodies import encode_body

DELIVERY_TIMEOUT_SECONDS = 5.0  # trigger.rb: 5 s to connect and 5 s to read
MAX_REDIRECTS = 10
SIDEKIQ_CONCURRENCY = 10  # config/sidekiq.yml; installations often run five
# Redis has no such bound, but a simulation that nobody listens to must not eat the machine
MAX_QUEUED = 100_000
LOG_LENGTH = 1000


@dataclass(slots=True, eq=False)
class Event:
    """One change, before its webhooks and its frame are built."""

    name: str
    account: Account
    inbox: Inbox | None
    build: Callable[[], JsonObject]
    # the same for the agents' socket; none: it is not sent there
    frame: "Callable[[], JsonObject] | None" = None


@dataclass(slots=True, eq=False)
class Delivery:
    """One POST of one event to one address, and what became of it."""

    id: str
    event: str
    url: str
    secret: str
    build: Callable[[], bytes]
    due: float  # monotonic seconds
    body: bytes = b""
    state: str = "queued"  # queued | sending | acknowledged | failed | dropped
    http_status: int | None = None
    error: str = ""
    seconds: float = 0.0
    sent_at: float | None = None  # unix seconds


@dataclass(slots=True)
class Counters:
    """How many deliveries were queued, and what became of them."""

    queued: int = 0
    sent: int = 0
    acknowledged: int = 0
    dropped: int = 0
    failed: int = 0


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """`X-Chatwoot-Signature`: HMAC-SHA256 over `timestamp.body`, the secret as its literal text."""
    return (
        "sha256="
        + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    )


@dataclass(eq=False)
class WebhookSender:
    """Queue and senders. `enqueue` may be called at any time; deliveries leave while `running()` is
    entered.

    `http` may be given (an ASGI transport in a test); otherwise a client is made that opens a new
    connection for every delivery, as Net::HTTP does. `concurrency=1` keeps deliveries in order;
    Chatwoot's 10 do not. Its threads are those of all of Sidekiq (`workers`): deliveries wait for
    what is in the queues before theirs.
    """

    webhooks: list[Webhook]
    switches: Switches
    http: httpx.AsyncClient | None = None
    rng: random.Random = field(default_factory=random.Random)
    counters: Counters = field(default_factory=Counters)
    log: deque[Delivery] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))
    _queue: deque[Delivery] = field(default_factory=deque, init=False)
    _ready: deque[Delivery] = field(default_factory=deque, init=False)
    _pending: int = field(default=0, init=False)
    _running: bool = field(default=False, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    workers: Workers = field(init=False)

    def __post_init__(self) -> None:
        self.workers = Workers(self.switches, SIDEKIQ_CONCURRENCY, self.rng)

    @property
    def concurrency(self) -> int:
        """Threads that deliver at once."""
        return self.workers.threads

    @concurrency.setter
    def concurrency(self, threads: int) -> None:
        """Threads that deliver at once."""
        self.workers.threads = threads

    def enqueue(self, event: Event) -> None:
        """Queue a delivery for each subscriber; with none, the payload is not even built."""
        for url, secret in self._subscribers(event):
            self._add(event, url, secret)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver in the background while inside. Leaving cancels what is under way; what is queued
        stays queued.
        """
        if self._running:
            raise RuntimeError("the webhook sender is running already")
        self._running = True
        try:
            async with beside(self._run()):
                yield
        finally:
            self._running = False

    async def flushed(self) -> None:
        """Wait until every queued delivery has its end (acknowledged, failed or dropped)."""
        if self._pending and not self._running:
            raise RuntimeError("nobody delivers: enter `running()` first")
        while self._pending:
            self._idle.clear()
            await self._idle.wait()

    def _subscribers(self, event: Event) -> Iterator[tuple[str, str]]:
        for webhook in self.webhooks:
            if webhook.account is event.account and event.name in webhook.subscriptions:
                yield webhook.url, webhook.secret
        # an API inbox's own callback gets every event of its inbox but contact_* and inbox_*: a
        # second copy, if the address is the same (Chatwoot's issue #1747)
        if event.inbox is not None and event.inbox.webhook_url:
            yield event.inbox.webhook_url, event.inbox.secret

    def _add(self, event: Event, url: str, secret: str) -> None:
        body = None if self.switches.late_payload else encode_body(event.build())
        delivery = Delivery(
            id=str(uuid.uuid4()),
            event=event.name,
            url=url,
            secret=secret,
            build=lambda: encode_body(event.build()) if body is None else body,
            due=time.monotonic() + self.switches.delay_seconds,
        )
        self.log.append(delivery)
        lost = self.switches.count_down("drop_next") or self.rng.random() < self.switches.drop_rate
        if lost or len(self._queue) >= MAX_QUEUED:
            delivery.state = "dropped"
            self.counters.dropped += 1
            return
        self._put(delivery)
        if self.switches.duplicate:
            again = delivery.id if self.switches.duplicate == "same_id" else str(uuid.uuid4())
            copy = Delivery(again, event.name, url, secret, delivery.build, delivery.due)
            self.log.append(copy)
            self._put(copy)

    def _put(self, delivery: Delivery) -> None:
        self.counters.queued += 1
        self._pending += 1
        self._queue.append(delivery)
        self._wake.set()

    async def _run(self) -> None:
        async with self._client() as http, asyncio.TaskGroup() as group:
            while True:
                if not self._ready:
                    await self._fill_ready()
                await self.workers.acquire("medium")
                delivery = self._ready.popleft()
                task = group.create_task(self._deliver(http, delivery))
                task.add_done_callback(lambda _: self.workers.release())
                task.add_done_callback(partial(self._settle, delivery))

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        if self.http is not None:
            yield self.http
            return
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            timeout=DELIVERY_TIMEOUT_SECONDS, limits=limits, trust_env=False
        ) as http:
            yield http

    async def _fill_ready(self) -> None:
        """Move the delivery that is due next; with `shuffle_window`, several of them in random
        order.
        """
        await self._until_due()
        window = self.switches.shuffle_window
        if window > 1:
            end = time.monotonic() + self.switches.shuffle_seconds
            while len(self._queue) < window and (left := end - time.monotonic()) > 0:
                await self._wait_for_more(left)
        batch = [self._queue.popleft() for _ in range(min(max(window, 1), len(self._queue)))]
        if window > 1:
            self.rng.shuffle(batch)
        self._ready.extend(batch)

    async def _until_due(self) -> None:
        while not self._queue or (left := self._queue[0].due - time.monotonic()) > 0:
            await self._wait_for_more(left if self._queue else None)

    async def _wait_for_more(self, seconds: float | None) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _deliver(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        delivery.state = "sending"
        await self.workers.work("medium")
        delivery.body = delivery.build()
        delivery.sent_at = time.time()
        self.counters.sent += 1
        started = time.monotonic()
        try:
            delivery.http_status = await self._post(http, delivery)
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            delivery.error = type(problem).__name__
        delivery.seconds = time.monotonic() - started

    def _settle(self, delivery: Delivery, _task: object) -> None:
        """trigger.rb rescues everything, writes one log line, and the job ends well: nothing is
        ever sent again.
        """
        if delivery.http_status is not None and 200 <= delivery.http_status < 300:
            delivery.state = "acknowledged"
            self.counters.acknowledged += 1
        else:
            delivery.state = "failed"
            delivery.error = delivery.error or ("" if delivery.http_status else "stopped")
            self.counters.failed += 1
        self._pending -= 1
        if not self._pending:
            self._idle.set()

    async def _post(self, http: httpx.AsyncClient, delivery: Delivery) -> int:
        url = httpx.URL(delivery.url)
        timestamp = str(int(time.time()))  # taken when it is sent, so a long queue does not age it
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "Ruby",
            "X-Chatwoot-Timestamp": timestamp,
            "X-Chatwoot-Delivery": delivery.id,
        }
        if delivery.secret:
            headers["X-Chatwoot-Signature"] = sign(delivery.secret, timestamp, delivery.body)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await http.post(
                url, content=delivery.body, headers=headers, timeout=DELIVERY_TIMEOUT_SECONDS
            )
            if not answer.has_redirect_location:
                return answer.status_code
            url = url.join(answer.headers["location"])
        raise httpx.TooManyRedirects("more than 10 redirects")
