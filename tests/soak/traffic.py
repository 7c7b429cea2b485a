"""Who uses the system during a soak: customers, agents who reply, and polling clients."""

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import Sequence

import httpx

from server.dev.chatwoot_sim import ChatwootSim
from tests.faults.kit import COMPANY
from tests.kit.client_model import Json
from tests.kit.omni import Omni
from tests.kit.tcp_proxy import TcpProxy

_POLL_SECONDS = 2.0


class Balancer(TcpProxy):
    """One address for the webhook in front of all servers, as Chatwoot knows only one; it does not look who is alive."""

    def __init__(self, ports: Sequence[int], rng: random.Random) -> None:
        self._ports, self._rng = list(ports), rng
        super().__init__(0)

    @property
    def server_port(self) -> int:
        return self._rng.choice(self._ports)

    @server_port.setter
    def server_port(self, port: int) -> None:
        assert port == 0


class Customers:
    """They write, Chatwoot tells of it by webhook."""

    def __init__(self, sim: ChatwootSim, rate: float, rng: random.Random) -> None:
        self._sim, self._rate, self._rng = sim, rate, rng
        self.written = 0

    async def run(self, stopped: asyncio.Event) -> None:
        while not await _is_set_within(stopped, self._rng.expovariate(self._rate)):
            self.written += 1
            self._sim.customer_says(f"Customer {self._rng.randrange(30)}", f"message {self.written}")


class Repliers:
    """Agents who reply, and send again with the same key until they are told that it was taken."""

    def __init__(self, servers: Sequence[Omni], rate: float, rng: random.Random) -> None:
        self._servers, self._rate, self._rng = servers, rate, rng
        self._tokens = [server.token(COMPANY, "replier") for server in servers]
        self.taken: list[str] = []
        self.attempts = 0

    async def run(self, stopped: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http, asyncio.TaskGroup() as group:
            while not await _is_set_within(stopped, self._rng.expovariate(self._rate)):
                group.create_task(self._reply(http, f"reply {uuid.uuid4().hex[:12]}"))

    async def _reply(self, http: httpx.AsyncClient, text: str) -> None:
        conversation: int | None = None
        while True:
            self.attempts += 1
            with contextlib.suppress(httpx.HTTPError):
                if conversation is None:
                    conversation = await self._choose(http)
                elif await self._is_taken(http, conversation, text):
                    self.taken.append(text)
                    return
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))

    async def _choose(self, http: httpx.AsyncClient) -> int | None:
        server = self._rng.choice(self._servers)
        answer = await http.get(f"{server.base_url}/api/conversations?limit=20", headers=self._headers())
        found: list[Json] = answer.json() if answer.status_code == 200 else []
        return int(self._rng.choice(found)["id"]) if found else None

    async def _is_taken(self, http: httpx.AsyncClient, conversation: int, text: str) -> bool:
        server = self._rng.choice(self._servers)
        headers = self._headers() | {"Idempotency-Key": text.replace(" ", "-")}
        answer = await http.post(f"{server.base_url}/api/conversations/{conversation}/reply", json={"content": text}, headers=headers)
        assert answer.status_code in (200, 201) or answer.status_code >= 500, f"{answer.status_code} {answer.text}"
        return answer.status_code < 300

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tokens[0]}"}


class Pollers:
    """The old page: lists every few seconds, with the tag of the answer before."""

    def __init__(self, servers: Sequence[Omni], count: int) -> None:
        self._servers, self._count = servers, count
        self.answers: Counter[str] = Counter()
        self.stale: list[str] = []  # lists that a 304 called unchanged and that were not
        self._lists: dict[int, tuple[str, bytes]] = {}  # poller -> tag and body of its last list

    async def run(self, stopped: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http, asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._one(http, number, stopped))

    async def check(self) -> None:
        """When all has come to rest: what a poller holds after two more polls is what a newcomer gets."""
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http:
            for number in range(self._count):
                for _ in range(2):
                    await self._poll(http, number)
                server = self._servers[number % len(self._servers)]
                fresh = await http.get(f"{server.base_url}/api/conversations", headers=self._headers(number))
                if self._lists[number][1] != fresh.content:
                    self.stale.append(f"poller {number}: its list is not the one of {fresh.headers['ETag']}")

    async def _one(self, http: httpx.AsyncClient, number: int, stopped: asyncio.Event) -> None:
        while not await _is_set_within(stopped, _POLL_SECONDS):
            try:
                await self._poll(http, number)
            except httpx.HTTPError:
                self.answers["none"] += 1

    async def _poll(self, http: httpx.AsyncClient, number: int) -> None:
        server = self._servers[number % len(self._servers)]
        known = {"If-None-Match": self._lists[number][0]} if number in self._lists else {}
        answer = await http.get(f"{server.base_url}/api/conversations", headers=self._headers(number) | known)
        self.answers[str(answer.status_code)] += 1
        if answer.status_code == 200:
            self._lists[number] = answer.headers["ETag"], answer.content

    def _headers(self, number: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._servers[0].token(COMPANY, f'poller-{number}')}"}


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
