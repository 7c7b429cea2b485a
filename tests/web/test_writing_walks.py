"""Random walks through the page: whatever an agent, a browser and a line do, a note's text never
reaches the customer, a reply's text is never kept from them, and every text that was sent is there
once.

A test run makes some short walks; `OMNI_TEST_FULL=1` some minutes of them, `OMNI_TEST_SEED` the
same ones again.
"""

import asyncio
import contextlib
import os
import random
import re
import time
from collections import Counter
from typing import Any

import pytest
from playwright.async_api import CDPSession, Error, Page, expect

from tests.faults.figures import sized, told
from tests.kit.eventually import eventually, scaled
from tests.web.conftest import OpenWindow
from tests.web.site import Site, Window, says
from tests.web.test_inbox_tools import preferences

__all__ = ["preferences"]

SEED = int(os.environ.get("OMNI_TEST_SEED") or random.SystemRandom().randrange(10**6))
WALKS = int(sized(4, 10**6))
SECONDS = sized(0, 240)  # walks begin for so long, however many they are
STEPS = int(sized(24, 40))
TABS_MOST = 3
DRAINED_SECONDS = 60.0
# what the page says the field is for, and what stands in it
READ = """() => {
  const { value, placeholder } = document.querySelector("#reply");
  return [placeholder.startsWith("Note") ? "note" : "reply", value];
}"""
# as one step: in the page's next moment it may be on its way
TAKE_BACK = """() => {
  const button = document.querySelector('#messages > li[data-state="undo"] [data-act=edit]:not([hidden])');
  if (!button) return null;
  const item = button.closest("li");
  const text = item.querySelector("[data-f=body]").textContent;
  button.click();
  const { value, placeholder } = document.querySelector("#reply");
  return [item.dataset.side === "note" ? "note" : "reply", text, placeholder.startsWith("Note") ? "note" : "reply", value];
}"""  # noqa: E501


class Walk:
    """One agent's browser with some tabs, two customers, and what the agent believes to have
    done.
    """

    def __init__(self, site: Site, window: Window, number: int) -> None:
        self.site = site
        self.window = window
        self.rng = random.Random(f"{SEED} {number}")
        self.name = f"w{SEED}x{number}"
        self.places: list[tuple[str, int]] = []
        self.tabs: list[Page] = []
        # tokens; each begins with the kind that the page said when it was typed
        self.sent: set[str] = set()
        self.is_online = True
        self.steps: list[str] = []
        self._count = 0

    async def run(self) -> None:
        """Raises AssertionError with the steps."""
        for _ in range(2):
            customer = self.site.new_customer()
            self.places.append((customer, await self.site.writes(customer, "hello")))
        acts = (
            [self._switch] * 4
            + [self._tick] * 4
            + [self._type] * 8
            + [self._send] * 5
            + [self._take_back] * 2
        )
        acts += [
            self._reload,
            self._reload,
            self._open,
            self._close,
            self._crash,
            self._line,
            self._back,
        ]
        try:
            await self._open()
            for _ in range(STEPS):
                await self.rng.choice(acts)()
            await self._judge()
        except (AssertionError, Error) as error:
            raise AssertionError(
                f"seed {SEED}, {self.name}: {', '.join(self.steps)}\n{error}"
            ) from error

    @property
    def _tab(self) -> Page:
        return self.rng.choice(self.tabs)

    def _step(self, name: str, tab: Page | None = None) -> None:
        self.steps.append(f"{name}{'' if tab is None else ' ' + str(self.tabs.index(tab))}")

    async def _open(self) -> None:
        if not self.is_online or len(self.tabs) >= TABS_MOST:
            return
        self._step("open")
        place = self.rng.choice(self.places)[1]
        page = await self.window.open(f"/inbox/c/{place}", until=None)
        self.tabs.append(page)
        await _is_ready(page)

    async def _close(self) -> None:
        if len(self.tabs) > 1:
            tab = self._tab
            self._step("close", tab)
            self.tabs.remove(tab)
            await tab.close()

    async def _crash(self) -> None:
        """The tab is gone without a word; with the last one the browser opens a new one."""
        if not self.is_online:
            return
        tab = self._tab
        self._step("crash", tab)
        self.tabs.remove(tab)
        session = await self.window.context.new_cdp_session(tab)
        gone = asyncio.Event()
        tab.on("crash", lambda _: gone.set())
        async with asyncio.TaskGroup() as group:
            crash = group.create_task(_crashed(session))
            async with asyncio.timeout(scaled(30.0)):
                await gone.wait()
            crash.cancel()
        await tab.close()
        if not self.tabs:
            await self._open()

    async def _reload(self) -> None:
        if self.is_online:
            tab = self._tab
            self._step("reload", tab)
            await tab.reload()
            await _is_ready(tab)

    async def _back(self) -> None:
        """To another page of ours and back, as the browser keeps pages and fields."""
        if self.is_online:
            tab = self._tab
            self._step("away and back", tab)
            await tab.goto(f"{self.site.omni.base_url}/account")
            await tab.go_back()
            await _is_ready(tab)

    async def _line(self) -> None:
        self.is_online = not self.is_online
        self._step("online" if self.is_online else "offline")
        await self.window.context.set_offline(not self.is_online)

    async def _switch(self) -> None:
        tab = self._tab
        self._step("switch", tab)
        place = self.rng.choice(self.places)[1]
        await tab.eval_on_selector(f'#rows > li[data-key="{place}"] a', "(link) => link.click()")
        await expect(tab).to_have_url(re.compile(rf"/inbox/c/{place}\b"))

    async def _tick(self) -> None:
        tab = self._tab
        self._step("tick", tab)
        await tab.eval_on_selector("#note", "(box) => box.click()")

    async def _type(self, tab: Page | None = None) -> None:
        tab = tab or self._tab
        kind, _ = await tab.evaluate(READ)
        self._count += 1
        token = f"{kind}-{self.name}-{self._count}"
        self._step(f"type {token}", tab)
        await tab.evaluate(
            "(text) => { const field = document.querySelector('#reply'); field.value += text; "
            "field.dispatchEvent(new Event('input')); }",
            f" {token} ",
        )
        if self.rng.random() < 0.7:  # else what comes next comes before it is kept
            await self._agree()

    async def _send(self) -> None:
        tab = self._tab
        if not _tokens((await tab.evaluate(READ))[1]):
            await self._type(tab)
        _, text = await tab.evaluate(READ)
        self._step("send", tab)
        await tab.press("#reply", "Enter")
        self.sent |= set(_tokens(text))
        await self._agree()

    async def _take_back(self) -> None:
        tab = self._tab
        taken = await tab.evaluate(TAKE_BACK)
        if taken is None:
            return
        kind, text, kind_now, value = taken
        self._step("take back", tab)
        if set(_tokens(text)) <= set(_tokens(value)):
            assert kind == kind_now, "it came back as the other kind"
            self.sent -= set(_tokens(text))
        await self._agree()

    async def _agree(self) -> None:
        """Tabs that show the same draft show the same text: an agent sees one of them, and would
        send it from both.
        """

        async def same() -> bool:
            seen: dict[tuple[str, str], set[str]] = {}
            for tab in self.tabs:
                kind, text = await tab.evaluate(READ)
                seen.setdefault((tab.url.partition("?")[0], kind), set()).add(
                    " ".join(text.split())
                )
            return all(len(texts) == 1 for texts in seen.values())

        await eventually(same, 30.0)

    async def _judge(self) -> None:
        if not self.is_online:
            await self._line()
        if not self.tabs:
            await self._open()
        await says(self.tabs[0], "live", limit=60.0)

        async def all_there() -> bool:
            found = self._found()
            wanted = Counter({token: 1 for token in self.sent})
            assert {token: count for token, count in found.items() if count > 1} == {}
            assert Counter(found.keys()) == wanted, (wanted - found, found - wanted)
            return True

        await eventually(all_there, DRAINED_SECONDS)
        for tab in self.tabs:
            # nothing is on its way from this browser
            await expect(tab.locator("#messages > li:not([id])")).to_have_count(0)
        await all_there()
        for m in self._messages():
            kinds = {token.partition("-")[0] for token in _tokens(m.content)}
            assert kinds <= {"note" if m.private else "reply"}, m.content

    def _messages(self) -> list[Any]:
        contacts = [
            self.site.sim.find_contact(customer, self.site.sim.account)
            for customer, _ in self.places
        ]
        return [
            m
            for c in contacts
            if c
            for talk in self.site.sim.conversations_of(c)
            for m in talk.messages
            if m.message_type == 1
        ]

    def _found(self) -> Counter[str]:
        return Counter(token for m in self._messages() for token in _tokens(m.content))


async def _crashed(session: CDPSession) -> None:
    with contextlib.suppress(Error):  # nobody answers any more
        await session.send("Page.crash")


def _tokens(text: str | None) -> list[str]:
    return re.findall(r"(?:note|reply)-w\d+x\d+-\d+", text or "")


async def _is_ready(page: Page) -> None:
    await page.wait_for_selector("html[data-js] .composer .primary")
    await page.wait_for_function("() => document.querySelector('#reply').required === false")


@pytest.mark.timeout(0 if SECONDS else 120)
async def test_no_walk_shows_a_note_to_the_customer(
    site: Site, open_window: OpenWindow, preferences: Any
) -> None:
    """Nor loses or repeats a text that was sent."""
    await preferences(undoSeconds=3)
    began, walks, sent = time.monotonic(), 0, 0
    while walks < WALKS and (not SECONDS or time.monotonic() - began < SECONDS):
        windows = [await open_window() for _ in range(2)]
        for window in windows:
            window.expected.append("net::ERR_|WebSocket|Failed to load")
            window.context.set_default_timeout(scaled(60.0) * 1000)
        now = [Walk(site, window, walks + n) for n, window in enumerate(windows)]
        async with asyncio.TaskGroup() as group:
            for walk in now:
                group.create_task(walk.run())
        walks += len(now)
        sent += sum(len(walk.sent) for walk in now)
        for window in windows:
            for page in window.context.pages:
                await page.close()
    assert sent > 0
    told("70", walks=walks, texts=sent, seed=SEED, seconds=time.monotonic() - began)
