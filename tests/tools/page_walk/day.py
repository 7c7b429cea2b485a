"""The walk: who does what, what breaks, and when everybody rests."""

import asyncio
import contextlib
import math
import random
import time
from typing import Any

from playwright.async_api import Browser, Error, Route

from server.access.authentication import SESSION_COOKIE
from tests.kit.eventually import scaled
from tests.kit.tcp_proxy import TcpProxy
from tests.tools.page_walk.agents import Agent, Tab
from tests.tools.page_walk.comparing import EQUAL, Judge
from tests.web.site import AGENTS, Site, new_window
from tests.web.test_inbox_line import NO_LINE
from tests.web.test_inbox_worker import crash, end_workers, freeze

CUSTOMERS = 12
LONG_THREAD = 120  # messages: pages to scroll in
TABS = 2  # of each agent; they share a worker
LEVEL_SECONDS = 60.0  # until every page is live and equal, once nothing breaks any more
HALF_OPEN_SECONDS = (1, 3, 40)
DELAY_SECONDS = 1.5  # of an answer, at most
DELAYED = 0.6  # of all answers
ROUND_STEPS = 30
QUIET_ROUNDS = 0.4  # in these nothing breaks: no difference is excused
REST_LOOKS = 3  # at each tab while everybody rests

OPEN = "(number) => document.querySelector(`#rows > li[data-key='${number}'] a`)?.click()"
SCROLL_UP = "() => (document.querySelector('#log').scrollTop = 0)"
TRY_AGAIN = "() => document.querySelector('#thread-trouble:not([hidden]) button')?.click()"


class RandomDay:
    """`run()`, then `counts` and `differences`."""

    def __init__(self, site: Site, browser: Browser, seed: int) -> None:
        self.site = site
        self.browser = browser
        self.rng = random.Random(seed)
        self._delays = random.Random(f"{seed} delays")
        self.judge = Judge()
        self.counts = self.judge.counts
        self.differences = self.judge.differences
        self._customers: dict[int, str] = {}  # by our number of the conversation
        self._agents: list[Agent] = []
        self._gone: list[tuple[Agent, Tab]] = []
        self._people = {
            self._customer_writes: 12, self._customer_edits: 4, self._customer_deletes: 2,
            self._opens: 10, self._scrolls: 6, self._reloads: 2, self._checks_some: 6,
        }  # fmt: skip
        self._breaks = {
            self._cuts: 3, self._half_opens: 1, self._freezes_or_thaws: 3, self._ends_workers: 1,
            self._crashes_tab: 1,
        }  # fmt: skip

    async def run(self, *, seconds: float = math.inf, rounds: float = math.inf) -> None:
        """Rounds until one of both is over; then all must come to rest, live and equal."""
        end = time.monotonic() + seconds
        async with contextlib.AsyncExitStack() as stack:
            await self._prepare(stack)
            while time.monotonic() < end and self.counts["rounds"] < rounds:
                await self._round()
            for agent in self._agents:
                for fault in agent.window.faults:
                    self.judge.note(f"console: {fault}")

    async def _round(self) -> None:
        self.counts["rounds"] += 1
        is_quiet = self.rng.random() < QUIET_ROUNDS
        steps = self._people if is_quiet else self._people | self._breaks
        for _ in range(ROUND_STEPS):
            step = self.rng.choices(list(steps), list(steps.values()))[0]
            self.counts["steps"] += 1
            self.counts["step " + step.__name__.strip("_")] += 1
            await step()
            await self._replace_crashed()
        await self._rest()

    async def _prepare(self, stack: contextlib.AsyncExitStack) -> None:
        for n in range(CUSTOMERS):
            customer = self.site.new_customer("Random")
            for text in range(LONG_THREAD if n == 0 else 3):
                self.site.sim.customer_says(customer, str(text))
            self._customers[await self.site.writes(customer, "the last")] = customer
        for name in AGENTS:
            proxy = await stack.enter_async_context(TcpProxy(self.site.omni.port))
            address = f"http://127.0.0.1:{proxy.port}"
            window = await new_window(self.site, self.browser, name, base_url=address)
            stack.push_async_callback(window.context.close)
            window.expected += [NO_LINE, "Failed to load resource"]
            window.context.set_default_timeout(scaled(60.0) * 1000)
            await window.context.route("**/api/**", self._delay)
            http = self.site.omni.client(cookies={SESSION_COOKIE: self.site.sessions[name]})
            agent = Agent(window, proxy, await stack.enter_async_context(http))
            self._agents.append(agent)
            for _ in range(TABS):
                await self._new_tab(agent)

    async def _delay(self, route: Route) -> None:
        """Most answers are held back for a while after the server has given them."""
        with contextlib.suppress(Error):
            if route.request.method != "GET" or self._delays.random() > DELAYED:
                await route.continue_()
                return
            try:
                answer = await route.fetch()
            except Error:  # the line was cut
                await route.abort("connectionreset")
                return
            self.counts["answers held back"] += 1
            await asyncio.sleep(self._delays.random() * DELAY_SECONDS)
            await route.fulfill(response=answer)

    async def _new_tab(self, agent: Agent) -> None:
        agent.thaw()  # a page that cannot be opened shows nothing
        number = self.rng.choice(list(self._customers))
        tab = Tab(await agent.window.open(f"/inbox/c/{number}", until=None), opened={number})
        tab.page.once("crash", lambda _: self._gone.append((agent, tab)))
        agent.tabs.append(tab)

    async def _replace_crashed(self) -> None:
        """With a tab its worker may die, and other tabs that live in the same process."""
        while self._gone:
            agent, tab = self._gone.pop()
            self.counts["tabs crashed"] += 1
            agent.tabs.remove(tab)
            await tab.page.close()
            for other in agent.tabs:
                other.lose_worker()
            await self._new_tab(agent)

    # -- what people do

    async def _customer_writes(self) -> None:
        customer = self.rng.choice(list(self._customers.values()))
        for _ in range(self.rng.randint(1, 3)):
            self.counts["messages"] += 1
            self.site.sim.customer_says(customer, f"message {self.counts['messages']}")
        await asyncio.sleep(self.rng.random() * 0.2)

    def _some_message(self) -> Any:
        customer, sim = self.rng.choice(list(self._customers.values())), self.site.sim
        contact = sim.find_contact(customer, sim.account)
        assert contact is not None
        return self.rng.choice(
            [m for m in sim.conversations_of(contact)[-1].messages if m.message_type == 0]
        )

    async def _customer_edits(self) -> None:
        message = self._some_message()
        if not message.content_attributes.get("deleted"):
            self.site.sim.edit_message(message, f"edited {self.counts['steps']}")

    async def _customer_deletes(self) -> None:
        self.site.sim.delete_message(self._some_message())

    async def _opens(self) -> None:
        """Rather one that the tab has not had open; while it is fetched its customer writes on."""
        tab = self._some_tab()
        new = [number for number in self._customers if number not in tab.opened]
        number = self.rng.choice(new or list(self._customers))
        await self._open(tab, number)
        await asyncio.sleep(self.rng.random() * 0.3)
        self.site.sim.customer_says(self._customers[number], f"opened {self.counts['steps']}")

    async def _scrolls(self) -> None:
        tab = self._some_tab()
        if not tab.thaw:
            with contextlib.suppress(Error):
                await tab.page.evaluate(SCROLL_UP)

    async def _reloads(self) -> None:
        agent = self.rng.choice(self._agents)
        tab = self.rng.choice(agent.tabs)
        if not tab.thaw and not agent.proxy.is_frozen:
            await tab.page.reload()
            tab.opened.clear()

    async def _checks_some(self) -> None:
        agent = self.rng.choice(self._agents)
        await self.judge.check(agent, self.rng.choice(agent.tabs), "under way", is_patient=False)

    def _some_tab(self) -> Tab:
        tabs = [tab for _, tab in self._tabs()]
        return self.rng.choice([tab for tab in tabs if not tab.thaw] or tabs)

    async def _open(self, tab: Tab, number: int) -> None:
        if not tab.thaw:
            with contextlib.suppress(Error):
                await tab.page.evaluate(OPEN, number)
                tab.opened.add(number)

    # -- what breaks

    async def _cuts(self) -> None:
        self.counts["connections cut"] += self.rng.choice(self._agents).proxy.cut_all()

    async def _half_opens(self) -> None:
        self.rng.choice(self._agents).half_open(self.rng.choice(HALF_OPEN_SECONDS))

    async def _freezes_or_thaws(self) -> None:
        agent = self.rng.choice(self._agents)
        tab = self.rng.choice(agent.tabs)
        if tab.thaw:
            await self._thaw(tab)
        else:
            tab.thaw = await freeze(agent.window, tab.page)

    async def _thaw(self, tab: Tab) -> None:
        if tab.thaw:
            await tab.thaw()
            tab.thaw = None
        if tab.excused_until == math.inf:
            tab.lose_worker()

    async def _ends_workers(self) -> None:
        self.counts["workers ended"] += await end_workers(self.browser)
        for agent in self._agents:
            for tab in agent.tabs:
                tab.lose_worker()

    async def _crashes_tab(self) -> None:
        agent = self.rng.choice(self._agents)
        tab = self.rng.choice(agent.tabs)
        if tab.thaw:
            return
        async with asyncio.timeout(scaled(30.0)):
            await crash(agent.window, tab.page)

    # -- when nobody does anything

    async def _rest(self) -> None:
        """Lines pass, tabs run, all is written; nobody breaks anything before all have looked."""
        await self._unbreak()
        await self.site.sim.webhooks.flushed()
        end = time.monotonic() + scaled(LEVEL_SECONDS)
        for agent, tab in self._tabs():
            await self._becomes_level(agent, tab, end)
            for number in sorted(tab.opened):
                await self._open(tab, number)
                await self.judge.check(agent, tab, "opened again", is_patient=True)
        for agent, tab in self._tabs():
            await self._becomes_level(agent, tab, time.monotonic() + scaled(LEVEL_SECONDS))
        for _ in range(REST_LOOKS):
            for agent, tab in self._tabs():
                await self.judge.look(agent, tab)

    def _tabs(self) -> list[tuple[Agent, Tab]]:
        return [(agent, tab) for agent in self._agents for tab in agent.tabs]

    async def _unbreak(self) -> None:
        await self._replace_crashed()
        for agent in self._agents:
            agent.thaw()
            for tab in agent.tabs:
                await self._thaw(tab)

    async def _becomes_level(self, agent: Agent, tab: Tab, end: float) -> None:
        """Nothing breaks any more: every page becomes live, and equal."""
        if not await self.judge.check(agent, tab, "coming to rest", is_patient=True):
            return  # it is noted
        while (found := await self.judge.compare(agent, tab)) != EQUAL:
            if time.monotonic() > end:
                word = await tab.page.get_attribute("#chip", "data-word")
                self.judge.note(f"in the end {tab.page.url} says {word}: {found}")
                return
            await tab.page.evaluate(TRY_AGAIN)
            await asyncio.sleep(0.2)
