"""Random hours in the real page: two agents, each with a browser and tabs of their own, customers
who write, edit and delete, and whatever can break between them.

A page that says that it is live must show what the database has: the open thread from the oldest
message shown to the newest, in order and by text, and the list in its order. It may take the flight
of an event to get there, and the time in which a death that nobody tells is noticed. The same seed
makes the same choices.

    python -m tests.page_random --minutes 10 --seed 7
"""

import argparse
import asyncio
import contextlib
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Error, Page, Route, async_playwright

from tests.kit.eventually import scaled
from tests.kit.processes import find_program
from tests.kit.tcp_proxy import TcpProxy
from tests.web.site import AGENTS, Site, Window, new_window, running_site
from tests.web.test_inbox_line import NO_LINE
from tests.web.test_inbox_worker import crash, end_workers, freeze

CUSTOMERS = 4
LONG_THREAD = 120  # messages: pages to scroll in
TABS = 2  # of each agent; they share a worker
FLIGHT_SECONDS = 3.0  # of an event, on a busy machine
DEAD_WORKER_SECONDS = 20.0  # until a tab misses its beats
DEAD_LINE_SECONDS = 30.0  # until a half-open line is known as one
LEVEL_SECONDS = 60.0  # until every page is live and equal, once nothing breaks any more
HALF_OPEN_SECONDS = (1, 3, 40)
DELAY_SECONDS = 1.5  # of an answer, at most
DELAYED = 0.6  # of all answers
ROUND_STEPS = 30
QUIET_ROUNDS = 0.4  # in these nothing breaks: no difference is excused
FIRST_PAGE = 50  # rows that a list has at least, where there are so many

SHOWN = """() => {
  const find = (selector) => document.querySelector(selector);
  const isHeld = !find("#moved").hidden; // the order stands still under the pointer, and says so
  return {
    word: find("#chip").dataset.word,
    openId: Number(/^\\/inbox\\/c\\/(\\d+)$/.exec(location.pathname)?.[1] ?? 0),
    isInTrouble: !find("#thread-trouble").hidden,
    hasOlder: !find("#older").hidden,
    messages: [...document.querySelectorAll("#messages > li[id]")].map((node) => {
      const body = node.querySelector("[data-f=body]");
      return [Number(node.id.slice(1)), "deleted" in body.dataset ? null : body.textContent];
    }),
    rows: isHeld ? null : [...document.querySelectorAll("#rows > li")].map((node) => Number(node.dataset.key)),
  };
}"""
OPEN = "(number) => document.querySelector(`#rows > li[data-key='${number}'] a`)?.click()"
SCROLL_UP = "() => (document.querySelector('#log').scrollTop = 0)"
TRY_AGAIN = "() => document.querySelector('#thread-trouble:not([hidden]) button')?.click()"
EQUAL = "equal"


@dataclass
class Tab:
    page: Page
    thaw: Callable[[], Awaitable[None]] | None = None  # while it is frozen
    excused_until: float = -math.inf  # its worker may be dead, and nobody told it

    def lose_worker(self) -> None:
        """From now on it may be deaf; a frozen one notices nothing before it is thawed."""
        self.excused_until = math.inf if self.thaw else time.monotonic() + scaled(DEAD_WORKER_SECONDS)


@dataclass
class Agent:
    """One browser, with a line of its own that can be cut."""

    window: Window
    proxy: TcpProxy
    tabs: list[Tab] = field(default_factory=list)
    half_open_until: float = -math.inf
    excused_until: float = -math.inf  # the line may be half-open

    def half_open(self, seconds: float) -> None:
        now = time.monotonic()
        if self.proxy.is_frozen:
            self.half_open_until = max(self.half_open_until, now + seconds)
        else:
            self.half_open_until = now + seconds
            self.excused_until = now + scaled(DEAD_LINE_SECONDS)
        self.proxy.freeze()
        asyncio.get_running_loop().call_later(seconds, self._thaw_in_time)

    def thaw(self) -> None:
        """What was held back arrives now, and nothing is excused any more."""
        self.proxy.thaw()
        self.half_open_until = -math.inf
        self.excused_until = min(self.excused_until, time.monotonic())

    def _thaw_in_time(self) -> None:
        if self.proxy.is_frozen and time.monotonic() >= self.half_open_until - 0.1:
            self.thaw()


class RandomDay:
    """`run()`, then `counts` and `differences`."""

    def __init__(self, site: Site, browser: Browser, seed: int) -> None:
        self.site, self.browser = site, browser
        self.rng, self._delays = random.Random(seed), random.Random(f"{seed} delays")
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []
        self._customers: dict[int, str] = {}  # by our number of the conversation
        self._agents: list[Agent] = []
        self._gone: list[tuple[Agent, Tab]] = []
        self._people = {
            self._customer_writes: 12, self._customer_edits: 4, self._customer_deletes: 2,
            self._opens: 6, self._scrolls: 6, self._reloads: 2, self._checks_some: 6,
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
            await self._settle()
            for agent in self._agents:
                for fault in agent.window.faults:
                    self._note(f"console: {fault}")

    def _note(self, difference: str) -> None:
        self.differences.append(difference)
        print(difference, flush=True)

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
        for agent in self._agents:
            for tab in agent.tabs:
                await self._check(agent, tab, is_patient=True)

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
            agent = Agent(window, proxy)
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
        tab = Tab(await agent.window.open(f"/inbox/c/{number}", until=None))
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
        return self.rng.choice([m for m in sim.conversations_of(contact)[-1].messages if m.message_type == 0])

    async def _customer_edits(self) -> None:
        message = self._some_message()
        if not message.content_attributes.get("deleted"):
            self.site.sim.edit_message(message, f"edited {self.counts['steps']}")

    async def _customer_deletes(self) -> None:
        self.site.sim.delete_message(self._some_message())

    async def _opens(self) -> None:
        await self._in_some_tab(OPEN, self.rng.choice(list(self._customers)))

    async def _scrolls(self) -> None:
        await self._in_some_tab(SCROLL_UP)

    async def _reloads(self) -> None:
        agent = self.rng.choice(self._agents)
        tab = self.rng.choice(agent.tabs)
        if not tab.thaw and not agent.proxy.is_frozen:
            await tab.page.reload()

    async def _in_some_tab(self, script: str, *arguments: object) -> None:
        tab = self.rng.choice(self.rng.choice(self._agents).tabs)
        if not tab.thaw:
            with contextlib.suppress(Error):
                await tab.page.evaluate(script, *arguments)

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

    # -- what must be true

    async def _checks_some(self) -> None:
        agent = self.rng.choice(self._agents)
        await self._check(agent, self.rng.choice(agent.tabs), is_patient=False)

    async def _check(self, agent: Agent, tab: Tab, *, is_patient: bool) -> None:
        """Nobody writes meanwhile. `is_patient`: what is excused must be over when its time is."""
        if tab.thaw:
            return
        began = time.monotonic()
        while (found := await self._compare(tab)) not in (EQUAL, None):
            excused_until = max(agent.excused_until, tab.excused_until)
            if not is_patient and time.monotonic() < excused_until:
                self.counts["excused"] += 1
                return
            if time.monotonic() > max(began, excused_until) + scaled(FLIGHT_SECONDS):
                self._note(f"after {self.counts['steps']} steps, {tab.page.url}: {found}")
                return
            await asyncio.sleep(0.1)

    async def _compare(self, tab: Tab) -> str | None:
        """EQUAL, what differs, or None where the page does not say that it is live."""
        try:
            shown = await tab.page.evaluate(SHOWN)
            if shown["word"] != "live":
                self.counts[f"said {shown['word']}"] += 1
                return None
            listed = await self.site.http.get("/api/conversations", params={"status": "Open"})
            stored = await self.site.messages(shown["openId"]) if shown["openId"] else []
            if (await tab.page.evaluate(SHOWN))["word"] != "live":
                return None
        except Error:  # a page that is just coming in
            return None
        self.counts["compared while live"] += 1
        found = _differing_rows(shown, [one["id"] for one in listed.json()])
        if found is None and shown["isInTrouble"]:
            self.counts["thread could not be had"] += 1  # and says so, with a button
            return None
        found = found or _differing_messages(shown, stored)
        self.counts["found equal"] += found is None
        return found or EQUAL

    async def _settle(self) -> None:
        """Nothing breaks any more: in the end every page is live, and equal."""
        await self._replace_crashed()
        for agent in self._agents:
            agent.thaw()
            for tab in agent.tabs:
                await self._thaw(tab)
        end = time.monotonic() + scaled(LEVEL_SECONDS)
        for agent in self._agents:
            for tab in agent.tabs:
                await self._check(agent, tab, is_patient=True)
                while (found := await self._compare(tab)) != EQUAL:
                    if time.monotonic() > end:
                        word = await tab.page.get_attribute("#chip", "data-word")
                        self._note(f"in the end {tab.page.url} says {word}: {found}")
                        break
                    await tab.page.evaluate(TRY_AGAIN)
                    await asyncio.sleep(0.2)


def _differing_rows(shown: dict[str, Any], listed: list[int]) -> str | None:
    rows = shown["rows"]
    if rows is None or (rows == listed[: len(rows)] and len(rows) >= min(FIRST_PAGE, len(listed))):
        return None
    return f"rows {rows} instead of {listed}"


def _differing_messages(shown: dict[str, Any], stored: list[dict[str, Any]]) -> str | None:
    messages = shown["messages"]
    wanted = [[m["id"], None if m["deleted"] else m["content"]] for m in stored]
    if not messages:
        return f"no message of {len(wanted)}" if wanted else None
    oldest = next((at for at, one in enumerate(wanted) if one[0] == messages[0][0]), 0)
    if wanted[oldest:] == messages:
        return "older ones cannot be had" if oldest and not shown["hasOlder"] else None
    missing = [one for one in wanted[oldest:] if one not in messages]
    surplus = [one for one in messages if one not in wanted[oldest:]]
    return f"{len(messages)} messages instead of {len(wanted) - oldest}: lacks {missing[:5]}, has {surplus[:5]}"


@contextlib.asynccontextmanager
async def _a_site_of_its_own() -> AsyncIterator[tuple[Site, Browser]]:
    program = find_program("chromium", "chromium-browser", "google-chrome")
    with tempfile.TemporaryDirectory() as directory:
        async with running_site(Path(directory)) as site, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            yield site, browser
            await browser.close()


async def main(minutes: float, seed: int) -> int:
    async with _a_site_of_its_own() as (site, browser):
        day = RandomDay(site, browser, seed)
        await day.run(seconds=minutes * 60)
    for what, count in sorted(day.counts.items()):
        print(f"{what:28} {count:6}")
    print(f"seed {seed}: {len(day.differences)} differences")
    return 1 if day.differences else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.minutes, options.seed)))
