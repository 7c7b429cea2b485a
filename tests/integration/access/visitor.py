"""Somebody with a password, in a browser."""

import asyncio
import hashlib
import secrets

import argon2
import httpx

from server.core.times import SECOND, wall_now_us
from server.db.access import agent_rows, agent_sessions
from tests.kit.company import Company
from tests.kit.socket_client import AgentSocket

PASSWORD = "correct horse battery staple"


# as strong as a test needs: the real ones take a core for a tenth of a second, which is their
# purpose
CHEAP_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


class Visitor:
    """A browser with an account of its own and an address of its own."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.omni = company.omni
        self.email = f"agent{company.id}@example.org"
        self.address = f"127.0.{company.id // 250}.{company.id % 250 + 1}"
        self.number = 0

    async def register(self, email: str) -> int:
        """An account with the password; its number."""
        now = wall_now_us()
        company_id = self.company.id
        return await self.company.database.transaction(
            lambda c: agent_rows.add_agent(
                c, company_id, email, "Tomas Berg", "agent", CHEAP_HASH, now
            )
        )

    def browser(self, address: str | None = None) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(local_address=address or self.address)
        return self.omni.client(transport=transport)

    async def signed_in(self) -> str:
        """The cookie of a new session, made without a sign-in."""
        cookie, now = secrets.token_urlsafe(32), wall_now_us()
        key = hashlib.sha256(cookie.encode()).hexdigest()
        await self.company.database.transaction(
            lambda c: agent_sessions.add_session(c, key, self.number, now, now + 3600 * SECOND)
        )
        return cookie

    async def sign_in(
        self, http: httpx.AsyncClient, password: str = PASSWORD, email: str | None = None
    ) -> httpx.Response:
        return await http.post(
            "/api/sessions", json={"email": email or self.email, "password": password}
        )

    def socket(self, cookie: str, origin: str | None) -> AgentSocket:
        return AgentSocket(
            self.omni.ws_url, cookie=f"theme=dark; omni_session={cookie}", origin=origin
        )


async def refusal(socket: AgentSocket) -> int:
    """The close code of a socket that says hello and is not welcome."""
    async with asyncio.TaskGroup() as group:
        socket._tasks = group
        await socket.open()
        await socket.say_hello()
        return await socket.wait_closed()
