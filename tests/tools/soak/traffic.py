"""Who uses the system during a soak: customers, agents who reply, and polling clients."""

import asyncio
import contextlib
import math
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence

import httpx
import pymysql

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.client_model import Json
from tests.kit.omni import Omni
from tests.tools.soak.meter import Meter
from tests.tools.soak.site import Tenant

_POLL_SECONDS = 2.0
_REPLIERS_EACH = 12  # of a company
_PATIENCE_SECONDS = 60.0


class Customers:
    """A company's customers write; Chatwoot tells of it by webhook."""

    def __init__(self, sim: ChatwootSim, tenant: Tenant, rng: random.Random) -> None:
        self._sim = sim
        self._tenant = tenant
        self._rng = rng
        self.written = 0

    async def run(self, stopped: asyncio.Event) -> None:
        while not await _is_set_within(
            stopped, self._rng.expovariate(self._tenant.messages_per_second)
        ):
            self.written += 1
            name, text = (
                f"Customer {self._rng.randrange(30)}",
                f"message {self.written} of {self._tenant.id}",
            )
            self._sim.customer_says(name, text, inbox_id=self._tenant.inbox.id)


class Repliers:
    """A company's agents who reply, and send again with the same key, to the other process, until
    they are told that it was taken.
    """

    def __init__(
        self, servers: Sequence[Omni], tenant: Tenant, meter: Meter, rng: random.Random
    ) -> None:
        self._servers = servers
        self._tenant = tenant
        self._meter = meter
        self._rng = rng
        self._headers = {"Authorization": f"Bearer {tenant.token(servers[0], 'replier')}"}
        self._idle = asyncio.Semaphore(_REPLIERS_EACH)
        self.taken: list[str] = []
        self.attempts = 0
        self.given_up: list[str] = []
        self.refused: Counter[str] = Counter()

    async def run(self, stopped: asyncio.Event) -> None:
        """Those who wait for an answer write nothing else meanwhile, as people do: what is under
        way is bounded.
        """
        async with (
            httpx.AsyncClient(timeout=5.0, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            while not await _is_set_within(
                stopped, self._rng.expovariate(self._tenant.replies_per_second)
            ):
                await self._idle.acquire()
                group.create_task(self._reply(http, f"reply {uuid.uuid4().hex[:12]}", stopped))

    async def _reply(self, http: httpx.AsyncClient, text: str, stopped: asyncio.Event) -> None:
        try:
            await self._reply_until_taken(http, text, stopped)
        except TimeoutError:
            self.given_up.append(text)
        finally:
            self._idle.release()

    async def _reply_until_taken(
        self, http: httpx.AsyncClient, text: str, stopped: asyncio.Event
    ) -> None:
        """Raises TimeoutError when all faults are over, and still nobody takes it."""
        turn, conversation, started, deadline = (
            self._rng.randrange(len(self._servers)),
            None,
            time.monotonic(),
            math.inf,
        )
        while time.monotonic() < deadline:
            if stopped.is_set():
                deadline = min(deadline, time.monotonic() + _PATIENCE_SECONDS)
            turn += 1
            server = self._servers[turn % len(self._servers)]
            with contextlib.suppress(httpx.HTTPError):
                if conversation is None:
                    conversation, started = await self._choose(http, server), time.monotonic()
                elif await self._is_taken(http, server, conversation, text):
                    self.taken.append(text)
                    self._meter.replied(self._tenant.id, text, started)
                    return
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))
        raise TimeoutError

    async def _choose(self, http: httpx.AsyncClient, server: Omni) -> int | None:
        answer = await http.get(
            f"{server.base_url}/api/conversations?limit=20&platform=chatwoot", headers=self._headers
        )
        found: list[Json] = answer.json() if answer.status_code == 200 else []
        return int(self._rng.choice(found)["id"]) if found else None

    async def _is_taken(
        self, http: httpx.AsyncClient, server: Omni, conversation: int, text: str
    ) -> bool:
        self.attempts += 1
        headers = self._headers | {"Idempotency-Key": text.replace(" ", "-")}
        url = f"{server.base_url}/api/conversations/{conversation}/reply"
        answer = await http.post(url, json={"content": text}, headers=headers)
        if answer.status_code not in (200, 201) and answer.status_code < 500:
            self.refused[f"{answer.status_code} {answer.text}"] += 1
        return answer.status_code < 300


class CrmWriter:
    """The CRM writes into Facebook conversations of a company by itself: messages, and now and then
    their status.
    """

    def __init__(
        self, sql: Callable[..., object], tenant: Tenant, per_second: float, rng: random.Random
    ) -> None:
        """`sql` runs one statement of the CRM's own; what it raises is not written."""
        self._sql = sql
        self._tenant = tenant
        self._per_second = per_second
        self._rng = rng
        self.written: list[str] = []
        self.unknown: list[str] = []  # the connection was lost under them: written, or not
        self.refused = 0

    async def run(self, stopped: asyncio.Event) -> None:
        while not await _is_set_within(stopped, self._rng.expovariate(self._per_second)):
            await asyncio.to_thread(self._write, f"crm {uuid.uuid4().hex[:12]}")

    def _write(self, text: str) -> None:
        person = f"crm-{self._rng.randrange(20)}"
        try:
            rows = self._sql(
                "SELECT id FROM social_conversations WHERE company_id = %s AND external_user_id "
                "= %s",
                self._tenant.id,
                person,
            )
            if not rows:
                self._sql(
                    "INSERT INTO social_conversations (company_id, platform, external_user_id, "
                    "external_user_name, last_message_at, "
                    "created_at, updated_at) VALUES (%s, 'facebook', %s, %s, UTC_TIMESTAMP(6), "
                    "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
                    self._tenant.id,
                    person,
                    person,
                )
                return
            conversation_id = rows[0]["id"]  # type: ignore[index]
            if self._rng.random() < 0.2:
                status = self._rng.choice(("Open", "Closed"))
                self._sql(
                    "UPDATE social_conversations SET status = %s WHERE id = %s",
                    status,
                    conversation_id,
                )
                return
        except pymysql.err.MySQLError:
            self.refused += 1
            return
        try:
            self._sql(
                "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
                "VALUES (%s, 'customer', %s, UTC_TIMESTAMP(6))",
                conversation_id,
                text,
            )
        except pymysql.err.MySQLError:
            self.unknown.append(text)
        else:
            self.written.append(text)


class Pollers:
    """The old page: lists every few seconds, with the tag of the answer before."""

    def __init__(self, servers: Sequence[Omni], tenant: Tenant, count: int) -> None:
        self._servers = servers
        self._tenant = tenant
        self._count = count
        self.answers: Counter[str] = Counter()
        self.stale: list[str] = []  # lists that a 304 called unchanged and that were not
        self._lists: dict[int, tuple[str, bytes]] = {}  # poller -> tag and body of its last list

    async def run(self, stopped: asyncio.Event) -> None:
        async with (
            httpx.AsyncClient(timeout=10.0, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for number in range(self._count):
                group.create_task(self._one(http, number, stopped))

    async def check(self) -> None:
        """When all has come to rest: what a poller holds after two more polls is what a newcomer
        gets.
        """
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http:
            for number in range(self._count):
                for _ in range(2):
                    await self._poll(http, number)
                server = self._servers[number % len(self._servers)]
                fresh = await http.get(
                    f"{server.base_url}/api/conversations", headers=self._headers(number)
                )
                if self._lists[number][1] != fresh.content:
                    self.stale.append(
                        f"poller {number}: its list is not the one of {fresh.headers['ETag']}"
                    )

    async def _one(self, http: httpx.AsyncClient, number: int, stopped: asyncio.Event) -> None:
        while not await _is_set_within(stopped, _POLL_SECONDS):
            try:
                await self._poll(http, number)
            except httpx.HTTPError:
                self.answers["none"] += 1

    async def _poll(self, http: httpx.AsyncClient, number: int) -> None:
        server = self._servers[number % len(self._servers)]
        known = {"If-None-Match": self._lists[number][0]} if number in self._lists else {}
        answer = await http.get(
            f"{server.base_url}/api/conversations", headers=self._headers(number) | known
        )
        self.answers[str(answer.status_code)] += 1
        if answer.status_code == 200:
            self._lists[number] = answer.headers["ETag"], answer.content

    def _headers(self, number: int) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._tenant.token(self._servers[0], f'poller-{number}')}"
        }


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
