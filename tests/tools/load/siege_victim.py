"""The company under siege: its integration, its customers, and people who lose their access."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import argon2
import httpx

from server.core.times import SECOND, wall_now_us
from server.db.access import agent_rows, integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from tests.faults.cluster import COMPANY, Cluster
from tests.faults.webhook_flow import message_payload
from tests.kit.eventually import eventually, scaled
from tests.kit.omni import SECRET_KEY, Omni
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import WEBHOOK_PATH, delivery_of
from tests.tools.load.attackers import Target
from tests.tools.load.insiders import Leftovers

ACCOUNT, INBOX = 3, 12
_SECRET, _OLD_SECRET = "victims-webhook-secret", "what-it-was-before"  # gitleaks:allow
_PASSWORD, EMAIL = "correct horse battery staple", "gone@example.org"
EMAIL_DURING = "going@example.org"  # loses access in the middle of it


class Customers:
    """Write to the victim, each after the answer to the last message; `statuses` are those of the
    webhooks.
    """

    def __init__(self, target: Target, rate: float, count: int = 6) -> None:
        self.target = target
        self.rate = rate
        self.count = count
        self.sent: dict[str, float] = {}  # text -> monotonic seconds of its answer
        self.statuses: Counter[int] = Counter()
        self._ids = itertools.count(100_000)

    async def write(self, number: int, stopped: asyncio.Event) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=scaled(30)) as http:
            for turn in itertools.count(1):
                if stopped.is_set():
                    return
                text = f"{self.target.mark} c{number}-{turn}"
                payload = message_payload(text, number, next(self._ids))
                delivery = delivery_of(payload, secret=_SECRET)
                url = self.target.urls[number % len(self.target.urls)] + WEBHOOK_PATH
                answer = await http.post(url, content=delivery.body, headers=dict(delivery.headers))
                # nginx on a busy machine waits 4 s
                while answer.status_code in (502, 504) and not stopped.is_set():
                    answer = await http.post(
                        url, content=delivery.body, headers=dict(delivery.headers)
                    )
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.sent[text] = time.monotonic()
                await asyncio.sleep(self.count / self.rate)


async def prepare_victim(cluster: Cluster) -> None:
    """The victim's integration: signed, proved, its secret renewed a while ago; and a person who is
    to lose access.
    """
    now = wall_now_us()
    values = {"company_id": COMPANY, "account_id": ACCOUNT, "inbox_id": INBOX, "base_url": ""}
    values |= {
        "access_token": "token-of-a-chatwoot-agent",
        "webhook_secret": _SECRET,
        "unsigned": "refused",
        "proved_us": 2,
    }
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(_PASSWORD)
    vault = Vault(SECRET_KEY)
    async with Database(cluster.database_url) as database:
        number = await database.transaction(
            lambda c: integration_rows.add_integration(c, vault, values, now)
        )
        old = {
            "previous_webhook_secret": vault.seal(_OLD_SECRET),
            "previous_secret_until": now - SECOND,
            "lease_until": 2**62,
        }
        await database.transaction(lambda c: integration_rows.update_integration(c, number, old))
        for email in (EMAIL, EMAIL_DURING):
            await database.transaction(
                lambda c, email=email: agent_rows.add_agent(  # type: ignore[misc]
                    c, COMPANY, email, "Ghost", "admin", hashed, now
                )
            )


@dataclass(frozen=True)
class HeldAccess:
    """What somebody has while they have access."""

    number: int
    cookies: Mapping[str, str]
    invitations: tuple[str, ...]


async def sign_in(target: Target, email: str) -> HeldAccess:
    """Sign in, and make links for oneself and for another address."""
    async with target.client(0, 50) as browser:
        signed_in = await browser.post(
            "/api/sessions", json={"email": email, "password": _PASSWORD}
        )
        assert signed_in.status_code == 201, signed_in.text
        origin, links = {"Origin": target.urls[0]}, list[str]()
        for invited in (email, f"second-{email}"):
            body = {"email": invited, "name": "Ghost", "role": "admin"}
            made = await browser.post("/api/invitations", json=body, headers=origin)
            assert made.status_code == 201, f"{made.status_code} {made.text}"
            links.append(made.json()["link"].partition("token=")[2])
        return HeldAccess(signed_in.json()["id"], dict(browser.cookies), tuple(links))


async def withdraw_access(server: Omni, target: Target, held: HeldAccess) -> Leftovers:
    """The end of everything somebody may hold, with a socket that is open."""
    boss = server.token(COMPANY, "boss", role="admin")
    header = "; ".join(f"{name}={value}" for name, value in held.cookies.items())
    socket_url = target.urls[0].replace("http", "ws", 1) + "/ws"
    async with target.client(0, 51, boss) as chief:
        async with AgentSocket(socket_url, cookie=header, origin=target.urls[0]) as socket:

            async def is_done() -> bool:
                answer = await chief.patch(f"/api/people/{held.number}", json={"isActive": False})
                # nginx on a busy machine waits 4 s
                assert answer.status_code in (204, 502, 504), answer.text
                return answer.status_code == 204

            await eventually(is_done, 30)
            await socket.wait_closed(limit=30)
        await eventually(lambda: _is_out(target, dict(held.cookies)), 30)
    token = server.token(COMPANY, f"local:{held.number}", role="admin")
    return Leftovers(token, held.cookies, _PASSWORD, held.invitations, _OLD_SECRET)


async def _is_out(target: Target, cookies: dict[str, str]) -> bool:
    """At each process."""
    statuses = []
    for turn in range(2):
        async with target.client(turn, 52, cookies=cookies) as http:
            statuses.append((await http.get("/api/me")).status_code)
    return statuses == [401, 401]
