"""Webhooks at a steady rate that remember what was acknowledged."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.faults.cluster import ACCOUNT, INBOX
from tests.kit.eventually import scaled
from tests.kit.omni import Omni
from tests.kit.webhook import WEBHOOK_PATH, Payload, delivery_of

_FIRST_MESSAGE = 100_000


@dataclass
class Post:
    """One webhook and what became of it; times are monotonic seconds."""

    text: str
    sent_at: float
    answered_at: float = 0.0
    status: int = 0  # 0: no answer

    @property
    def seconds(self) -> float:
        return self.answered_at - self.sent_at


@dataclass
class Flow:
    """Webhooks at a steady rate. Within a conversation each leaves only after the one before was
    answered, as their order counts.
    """

    servers: Sequence[Omni]
    rate: float = 50.0
    conversations: int = 10
    posts: list[Post] = field(default_factory=list)
    # each conversation at one server: then its order is ours to promise
    pins_conversations: bool = False
    # ids and texts begin above this: a second flow through the same conversations must not repeat
    # the first one's
    above: int = 0
    _numbers: Counter[int] = field(default_factory=Counter)

    @property
    def acknowledged(self) -> dict[str, Post]:
        return {post.text: post for post in self.posts if post.status == 200}

    @property
    def slowest_seconds(self) -> float:
        return max((post.seconds for post in self.posts), default=0.0)

    def statuses(self) -> Counter[int]:
        return Counter(post.status for post in self.posts)

    async def run(self, seconds: float) -> None:
        """Post for so long."""
        async with self.running():
            await asyncio.sleep(seconds)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Post while inside; leaving waits for the last answers."""
        limits = httpx.Limits(
            max_connections=4 * self.conversations, max_keepalive_connections=2 * self.conversations
        )
        stopped = asyncio.Event()
        async with (
            httpx.AsyncClient(timeout=scaled(10), limits=limits, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for number in range(self.conversations):
                group.create_task(self._one(http, number, stopped))
            try:
                yield
            finally:
                stopped.set()

    async def _one(
        self, http: httpx.AsyncClient, conversation: int, stopped: asyncio.Event
    ) -> None:
        pace = self.conversations / self.rate
        due = time.monotonic() + pace * conversation / self.conversations
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stopped.wait()
                    return
            due = max(due + pace, time.monotonic() - 1.0)
            await self.post(http, conversation)

    async def post(self, http: httpx.AsyncClient, conversation: int) -> Post:
        """Send the next message of that conversation."""
        self._numbers[conversation] += 1
        number = self.above + self._numbers[conversation]
        post = Post(f"c{conversation}-{number}", time.monotonic())
        self.posts.append(post)
        place = conversation if self.pins_conversations else len(self.posts)
        delivery = delivery_of(
            message_payload(post.text, conversation, _FIRST_MESSAGE + self.above + len(self.posts))
        )
        url = self.servers[place % len(self.servers)].base_url + WEBHOOK_PATH
        with contextlib.suppress(httpx.HTTPError):
            post.status = (
                await http.post(url, content=delivery.body, headers=dict(delivery.headers))
            ).status_code
        post.answered_at = time.monotonic()
        return post


def message_payload(text: str, conversation: int, message_id: int, **changes: Any) -> Payload:
    """`message_created` from the customer as Chatwoot sends it, with what counts here."""
    now = time.time()
    contact = {"id": 9000 + conversation, "name": f"Customer {conversation}", "type": "contact"}
    return {
        "event": "message_created",
        "id": message_id,
        "account": {"id": ACCOUNT},
        "inbox": {"id": INBOX, "name": "Website"},
        "content": text,
        "content_type": "text",
        "content_attributes": {},
        "message_type": "incoming",
        "private": False,
        "created_at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "sender": contact,
        "conversation": {
            "id": 400 + conversation,
            "inbox_id": INBOX,
            "status": "open",
            "labels": [],
            "can_reply": True,
            "channel": "Channel::WebWidget",
            "contact_inbox": {"contact_id": contact["id"], "inbox_id": INBOX},
            "meta": {"sender": contact, "assignee": None},
            "created_at": int(now),
            "updated_at": now,
        },
        **changes,
    }
