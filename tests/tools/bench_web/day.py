"""A busy day in short: twenty customers, two agents with two tabs each, a lost line, a frozen one,
a deploy. Every half minute all stops for a moment, and everything the pages say is compared with
what the server says.
"""

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field

import anyio
import httpx
from playwright.async_api import Browser, Page

from server.access.authentication import SESSION_COOKIE
from tests.kit.eventually import eventually
from tests.kit.tcp_proxy import TcpProxy
from tests.tools.bench.results import Result
from tests.web.site import (
    AGENTS,
    Site,
    Window,
    new_window,
    says,
    shown_ids,
)

MINUTES = 10.0
_CUSTOMERS = 20
_CHECK_EVERY_SECONDS = 30.0
_OUTAGE_SECONDS = 8.0
# the line is cut, and the server restarted, on purpose: what a browser says of that is no fault of
# the page; nor is a held reply
_EXPECTED = "net::ERR_|WebSocket connection to|status of (409|502|503)"
_ROWS = """() => [...document.querySelectorAll("#rows > li")].map((row) =>
  [Number(row.dataset.key), Number(row.querySelector("[data-f=count]").textContent || 0)])"""
_COUNTS = """() => Object.fromEntries([...document.querySelectorAll("a[data-view]")].map((link) =>
  [link.dataset.view, Number(link.querySelector("[data-f=count]").textContent || 0)]))"""
_HELD = """() => Object.keys(localStorage).filter((key) => key.startsWith("omni:outbox:"))
  .map((key) => JSON.parse(localStorage[key])).map(({ content }) => content)"""


@dataclass
class Agent:
    """One agent's browser with its tabs, behind a line of its own, and what the server says to
    them.
    """

    window: Window
    proxy: TcpProxy
    http: httpx.AsyncClient
    tabs: list[Page] = field(default_factory=list)

    async def differences(self, site: Site) -> str | None:
        """The first thing on a page that is not what the server has; None when there is none."""
        for tab in self.tabs:
            try:
                await says(tab, "live", limit=60)
                # awaited at once
                await eventually(lambda: self._agrees(tab, site), limit=30)  # noqa: B023
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                return str(error).splitlines()[0]
        return None

    async def _agrees(self, tab: Page, site: Site) -> bool:
        counts = (await self.http.get("/api/conversations/unread")).json()
        total = counts["Open"] + counts["Closed"]
        shown = await tab.evaluate(_COUNTS)
        assert shown == {**counts, "all": total}, f"views say {shown}, the server {counts}"
        title = await tab.title()
        assert int((re.match(r"\((\d+)\)", title) or ["", "0"])[1]) == total, (
            f"the title says {title!r}, the server {counts}"
        )
        wanted = [
            [one["id"], one["unreadCount"]]
            for one in (await self.http.get("/api/conversations?status=Open")).json()
        ]
        rows = await tab.evaluate(_ROWS)
        assert sorted(rows) == sorted(wanted), (
            f"rows say {sorted(rows)}, the server {sorted(wanted)}"
        )
        if found := re.search(r"/inbox/c/(\d+)", tab.url):
            stored = [message["id"] for message in await site.messages(int(found[1]))]
            ids = await shown_ids(tab)
            assert stored[-len(ids) :] == ids, (
                f"the thread shows {len(ids)} messages that are not the last of {len(stored)}"
            )
        return True


async def busy_day(site: Site, browser: Browser) -> Result:
    """Raises nothing for what is wrong: it is counted."""
    result = Result(
        "busy_day",
        f"{MINUTES:.0f} minutes: {_CUSTOMERS} customers, two agents with two tabs each, a lost "
        "line, a frozen one, a deploy",
    )
    rng = random.Random(2026)
    numbers = {
        name: await site.writes(name, "hello")
        for name in [site.new_customer() for _ in range(_CUSTOMERS)]
    }
    agents = [await _come(site, browser, name) for name in AGENTS]
    written: list[str] = []
    wrong: list[str] = []
    checks = messages = 0
    trouble = [_lose_line, _freeze_line, _deploy]
    begun = checked = time.monotonic()
    while (now := time.monotonic()) < begun + MINUTES * 60:
        for _ in range(rng.choice((0, 1, 1, 3))):
            messages += 1
            site.sim.customer_says(rng.choice(list(numbers)), f"question {messages}")
        if rng.random() < 0.3:
            await _answer(
                rng.choice(rng.choice(agents).tabs), rng.choice(list(numbers.values())), written
            )
        if trouble and now > begun + MINUTES * 60 * (4 - len(trouble)) / 4:
            await trouble.pop(0)(site, agents)
        if now > checked + _CHECK_EVERY_SECONDS:
            await site.sim.webhooks.flushed()
            wrong += [found for agent in agents if (found := await agent.differences(site))]
            checks, checked = checks + 1, time.monotonic()
        await asyncio.sleep(0.5)
    held = [text for agent in agents for text in await agent.tabs[0].evaluate(_HELD)]
    sent = Counter(text for name in numbers for text in site.replies_to(name))
    result.add("messages of customers, and replies", messages + len(written), "")
    result.add("times all pages were compared with the server", checks, "", least=MINUTES)
    result.add("differences found", len(wrong), "", most=0)
    result.add(
        "replies that reached Chatwoot twice", sum(count > 1 for count in sent.values()), "", most=0
    )
    result.add(
        "replies neither in Chatwoot nor waiting for the agent",
        len(set(written) - set(sent) - set(held)),
        "",
        most=0,
    )
    result.add(
        "pages that were loaded again",
        sum([await _loads(tab) - 1 for agent in agents for tab in agent.tabs]),
        "",
        most=0,
    )
    result.add(
        "errors in the console", sum(len(agent.window.faults) for agent in agents), "", most=0
    )
    result.notes += [*wrong, *(fault for agent in agents for fault in agent.window.faults)]
    for agent in agents:
        await agent.window.context.close()
        await agent.proxy.__aexit__(None, None, None)
        await agent.http.aclose()
    return result


async def _come(site: Site, browser: Browser, name: str) -> Agent:
    proxy = await TcpProxy(site.omni.port).__aenter__()
    window = await new_window(site, browser, name, base_url=f"http://127.0.0.1:{proxy.port}")
    window.expected.append(_EXPECTED)
    await window.context.add_init_script(
        "if (location.protocol !== 'about:') sessionStorage.loads = Number(sessionStorage.loads "
        "?? 0) + 1"
    )
    agent = Agent(window, proxy, site.omni.client(cookies={SESSION_COOKIE: site.sessions[name]}))
    agent.tabs = [await window.open(), await window.open()]
    return agent


async def _answer(tab: Page, number: int, written: list[str]) -> None:
    row = tab.locator(f'#rows > li[data-key="{number}"] a')
    if not await row.count():
        return
    await row.click()
    written.append(f"answer {len(written)}")
    await tab.fill("#reply", written[-1])
    await tab.press("#reply", "Enter")


async def _lose_line(site: Site, agents: list[Agent]) -> None:
    agents[0].proxy.refuse_new()
    agents[0].proxy.cut_all()
    await asyncio.sleep(_OUTAGE_SECONDS)
    agents[0].proxy.accept_new()


async def _freeze_line(site: Site, agents: list[Agent]) -> None:
    agents[1].proxy.freeze()
    await asyncio.sleep(_OUTAGE_SECONDS)
    agents[1].proxy.thaw()


async def _deploy(site: Site, agents: list[Agent]) -> None:
    await anyio.to_thread.run_sync(site.omni.restart)


async def _loads(tab: Page) -> int:
    return int(await tab.evaluate("Number(sessionStorage.loads)"))
