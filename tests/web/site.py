"""The inbox as its agents meet it: a server, a simulated Chatwoot, and browser windows that note
whatever must not happen in them.
"""

import itertools
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, WebError

from server.access.authentication import SESSION_COOKIE
from server.access.passwords import hash_password
from server.core.times import wall_now_us
from server.db.access import agent_rows, integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.model import Webhook
from tests.kit.eventually import eventually, patient
from tests.kit.omni import Omni

PASSWORD = "correct horse battery staple"
AGENTS = {"asha": "Asha Rahman", "tomas": "Tomas Berg"}
ZONE = "Asia/Dhaka"
COMPANY = 1
INBOX_ADDRESS = "help@omni.example"
READ_SECONDS = 2.0  # what came less than this before Enter nobody has read

_names = itertools.count(1)
# everything the policy stopped becomes an error in the console, and so a fault of the window
_TELL_VIOLATIONS = """addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
  console.error(`policy: ${violatedDirective} ${blockedURI} ${sample}`));"""  # noqa: E501


def email_of(agent: str) -> str:
    return f"{agent}@example.org"


class Site:
    """A server and its Chatwoot. Tests share it: each writes as customers of its own."""

    def __init__(
        self, omni: Omni, sim: ChatwootSim, hook: Webhook, sessions: dict[str, str]
    ) -> None:
        self.omni = omni
        self.sim = sim
        self.hook = hook
        self.sessions = sessions
        self.http = omni.client(cookies={SESSION_COOKIE: sessions["asha"]})

    def new_customer(self, name: str = "Customer") -> str:
        """A name that no other test writes under."""
        return f"{name} {next(_names)}"

    async def writes(self, customer: str, *texts: str, **options: Any) -> int:
        """The customer sends these texts in this order; returns our number of the conversation once
        the server has all of them.
        """
        display_id = 0
        for text in texts:
            display_id = self.sim.customer_says(customer, text, **options).conversation.display_id
            # one after the other: those of one millisecond are shown as they come, and webhooks
            # overtake
            await self.sim.webhooks.flushed()

        async def found() -> int | None:
            for one in (await self.http.get("/api/conversations", params={"q": customer})).json():
                if one["chatwootConversationId"] == display_id:
                    held = {message["content"] for message in await self.messages(one["id"])}
                    return int(one["id"]) if held.issuperset(texts) else None
            return None

        return await eventually(found)

    async def messages(self, conversation_id: int) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/api/conversations/{conversation_id}/messages")
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found

    async def sockets_open(self) -> int:
        text = (await self.http.get("/metrics")).text
        counts = re.findall(r"^omni_inbox_sockets_open (\d+)", text, re.MULTILINE)
        return int(counts[0]) if counts else 0

    def replies_to(self, customer: str) -> list[str]:
        """What Chatwoot would have delivered to the customer."""
        contact = self.sim.find_contact(customer, self.sim.account)
        assert contact is not None
        sent = [
            m
            for c in self.sim.conversations_of(contact)
            for m in c.messages
            if m.message_type == 1 and not m.private
        ]
        return [message.content or "" for message in sent]


class Window:
    """One agent's browser: its own cookies, its own workers. Whatever it should not say is kept in
    `faults`.
    """

    def __init__(self, context: BrowserContext, base_url: str) -> None:
        self.context = context
        self.base_url = base_url
        self.expected: list[str] = []  # patterns of errors that the test itself causes
        self._told: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)

    @property
    def faults(self) -> list[str]:
        return [
            text
            for text in self._told
            if not any(re.search(pattern, text) for pattern in self.expected)
        ]

    async def open(self, path: str = "/inbox", *, until: str | None = "live") -> Page:
        """A new tab at that address, once its chip says `until`."""
        page = await self.context.new_page()
        await page.goto(self.base_url + path)
        if until is not None:
            await says(page, until)
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._told.append(message.text)

    def _on_error(self, error: WebError) -> None:
        self._told.append(str(error.error))


async def says(page: Page, *words: str, limit: float = 15.0) -> None:
    """Wait until the chip says one of these words."""
    wanted = ", ".join(f'#chip[data-word="{word}"]' for word in words)
    await page.wait_for_selector(wanted, timeout=patient(limit) * 1000)


async def press_shortcut(page: Page, key: str, selector: str) -> None:
    """Press it until what it does is there: what hears the keys is loaded beside the line, and may
    come after the chip's word.
    """

    async def is_done() -> bool:
        await page.keyboard.press(key)
        return await page.locator(selector).count() > 0

    await eventually(is_done)


async def shown_ids(page: Page) -> list[int]:
    """The numbers of the messages in the thread, as they stand there."""
    found: list[int] = await page.eval_on_selector_all(
        "#messages > li[id]", "nodes => nodes.map(({ id }) => Number(id.slice(1)))"
    )
    return found


async def new_window(
    site: Site,
    browser: Browser,
    agent: str | None = "asha",
    *,
    base_url: str | None = None,
    lang: str = "en",
    theme: str = "light",
    **options: Any,
) -> Window:
    """A window in which the agent is signed in (None: nobody is). `options` are those of the
    browser's context.
    """
    context = await browser.new_context(
        timezone_id=ZONE, **({"viewport": {"width": 1280, "height": 800}} | options)
    )
    context.set_default_timeout(patient(20.0) * 1000)
    address = base_url or site.omni.base_url
    cookies = {"omni_lang": lang, "omni_theme": theme, "omni_tz": ZONE}
    if agent is not None:
        cookies[SESSION_COOKIE] = site.sessions[agent]
    await context.add_cookies(
        [{"name": name, "value": value, "url": address} for name, value in cookies.items()]
    )
    await context.add_init_script(_TELL_VIOLATIONS)
    return Window(context, address)


@asynccontextmanager
async def running_site(
    directory: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    """Server on SQLite, simulated Chatwoot in this event loop, two agents, nothing written yet.
    `env`: settings besides.
    """
    # windows also come through proxies of the tests, each under an address of its own
    omni = Omni(
        directory,
        database_url=f"sqlite:///{directory / 'omni.db'}",
        env={"PUBLIC_URL": "", **(env or {})},
    )
    sim = ChatwootSim()
    sim.inbox.email = INBOX_ADDRESS
    hook = sim.add_webhook(f"{omni.base_url}/api/webhooks/chatwoot")
    async with serving(sim):
        try:
            await anyio.to_thread.run_sync(omni.prepare)
            await _add_company(omni, sim, hook)
            await anyio.to_thread.run_sync(omni.start)
            sessions = {agent: await _sign_in(omni, agent) for agent in AGENTS}
            site = Site(omni, sim, hook, sessions)
            async with site.http:
                yield site
        finally:
            omni.kill9()


async def connect_inbox(site: Site, inbox_id: int) -> int:
    """Make an integration of another inbox of the company; returns its number."""
    values = _integration(site.sim, site.hook) | {"inbox_id": inbox_id}

    async def write(connection: Connection) -> int:
        vault = Vault(site.omni.env["SECRET_KEY"])
        return await integration_rows.add_integration(connection, vault, values, wall_now_us())

    async with Database(site.omni.env["DATABASE_URL"]) as database:
        return await database.transaction(write)


def _integration(sim: ChatwootSim, hook: Webhook) -> dict[str, Any]:
    return {
        "company_id": COMPANY,
        "account_id": sim.account.id,
        "inbox_id": sim.inbox.id,
        "base_url": sim.base_url,
        "access_token": sim.admin.access_token,
        "webhook_secret": hook.secret,
        "proved_us": 2,
    }


async def _add_company(omni: Omni, sim: ChatwootSim, hook: Webhook) -> None:
    """What `integration add` and `agent add` write, without a process for each."""
    now_us, hashed = wall_now_us(), hash_password(PASSWORD)

    async def write(connection: Connection) -> None:
        await integration_rows.add_integration(
            connection, Vault(omni.env["SECRET_KEY"]), _integration(sim, hook), now_us
        )
        for agent, name in AGENTS.items():
            await agent_rows.add_agent(
                connection, COMPANY, email_of(agent), name, "agent", hashed, now_us
            )

    async with Database(omni.env["DATABASE_URL"]) as database:
        await database.transaction(write)


async def _sign_in(omni: Omni, agent: str) -> str:
    async with omni.client() as client:
        answer = await client.post(
            "/api/sessions", json={"email": email_of(agent), "password": PASSWORD}
        )
        assert answer.status_code == httpx.codes.CREATED, answer.text
        return str(answer.cookies[SESSION_COOKIE])
