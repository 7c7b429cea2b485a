"""One random walk of an agent through the page: replies and notes typed, sent and taken back in
some tabs of a browser, and what must be true after each step and in the end.
"""

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from playwright.async_api import CDPSession, Error, FilePayload, Page, expect

from server.lab.chatwoot_sim.model import Message
from tests.kit.eventually import eventually, scaled
from tests.web.site import Site, Window, says

TABS_MOST = 3
DRAINED_SECONDS = 60.0
# What the page shows: its mode, by everything that says it ("mixed" where that does not agree);
# text and files; what rows and the browser's own store have under each kind's name. What is done
# before and after it is read happens in the same moment.
LOOK = """([before, after]) => {
  const find = (selector) => document.querySelector(selector);
  const field = find("#reply");
  const acts = {
    enter: () => field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true })),
    turn: () => find("[name=private]:not(:checked)").click(),
  };
  const look = () => {
    const signs = [find("#note").checked, find("#composer").hasAttribute("data-note"), field.placeholder.startsWith("Note"),
      find("#composer .primary").textContent === "Add note", find("label[for=reply]").textContent === "Private note"];
    const kind = signs.every(Boolean) ? "note" : signs.some(Boolean) ? "mixed" : "reply";
    const files = [...document.querySelectorAll("#chosen:not([hidden]) [data-f=name]")].map((node) => node.textContent);
    const rows = [...document.querySelectorAll("#rows > li")].filter((row) => !row.querySelector("[data-f=draft]").hidden)
      .map((row) => [row.querySelector("[data-f=draft]").textContent === "Note draft" ? "note" : "reply",
        row.querySelector("[data-f=preview]").textContent]);
    const kept = Object.keys(localStorage).map((key) => [/^omni:(note|reply):/.exec(key)?.[1], localStorage.getItem(key)]).filter(([name]) => name);
    return { kind, text: field.value, files, places: [...rows, ...kept] };
  };
  for (const act of before) acts[act]();
  const seen = look();
  for (const act of after) acts[act]();
  return seen;
}"""  # noqa: E501
# as one step: in the page's next moment it may be on its way
TAKE_BACK = """() => {
  const button = document.querySelector('#messages > li[data-state="undo"] [data-act=edit]:not([hidden])');
  if (!button) return null;
  const item = button.closest("li");
  const [kind, text] = [item.dataset.side === "note" ? "note" : "reply", item.textContent];
  const waiting = () => Object.keys(localStorage).filter((key) => key.startsWith("omni:outbox:")).length;
  const before = waiting();
  button.click();
  return [kind, text, waiting() < before];
}"""  # noqa: E501


HAS_HELD = """() => Object.values(localStorage).some((text) => text.includes('"state":"held"'))"""


class Walk:
    """One agent's browser with some tabs, two customers, and what the agent believes to have
    done.
    """

    def __init__(self, site: Site, window: Window, seed: int, number: int) -> None:
        self.site = site
        self.window = window
        self.rng = random.Random(f"{seed} {number}")
        self.name = f"w{seed}x{number}"
        self.places: list[tuple[str, int]] = []
        self.tabs: list[Page] = []
        # tokens; each begins with the kind that the page said when it was typed
        self.sent: set[str] = set()
        # texts and files that went together: what is taken back is taken back with its files
        self.bundles: list[set[str]] = []
        self.is_online = True
        self.steps: list[str] = []
        self._count = 0

    async def run(self, steps: int) -> None:
        """Raises AssertionError with the steps."""
        for _ in range(2):
            customer = self.site.new_customer()
            self.places.append((customer, await self.site.writes(customer, "hello")))
        acts = (
            [self._switch] * 4
            + [self._turn] * 5
            + [self._type] * 8
            + [self._send] * 4
            + [self._attach] * 2
            + [self._take_back] * 2
        )
        acts += [
            self._quote,
            self._send_while_turning,
            self._send_while_turning,
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
            for _ in range(steps):
                await self.rng.choice(acts)()
                for tab in self.tabs:
                    await self._look(tab)
            await self._judge()
        except (AssertionError, Error) as error:
            raise AssertionError(f"{self.name}: {', '.join(self.steps)}\n{error}") from error

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
        await self._begins_with_a_reply(page)

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
            await self._begins_with_a_reply(tab)

    async def _back(self) -> None:
        """To another page of ours and back, as the browser keeps pages and fields."""
        if self.is_online:
            tab = self._tab
            self._step("away and back", tab)
            await tab.goto(f"{self.site.omni.base_url}/account")
            await tab.go_back()
            await _is_ready(tab)
            await self._begins_with_a_reply(tab)

    async def _line(self) -> None:
        self.is_online = not self.is_online
        self._step("online" if self.is_online else "offline")
        await self.window.context.set_offline(not self.is_online)

    async def _look(
        self, tab: Page, *, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> dict[str, Any]:
        """What the tab shows, checked: one kind, and nothing of the other anywhere in its name."""
        seen: dict[str, Any] = await tab.evaluate(LOOK, [list(before), list(after)])
        kind = seen["kind"]
        for where, text in [(kind, seen["text"]), (kind, " ".join(seen["files"])), *seen["places"]]:
            assert {_kind(token) for token in _tokens(text)} <= {where}, seen
        return seen

    async def _begins_with_a_reply(self, tab: Page) -> None:
        assert (await self._look(tab))["kind"] == "reply"

    async def _switch(self) -> None:
        tab = self._tab
        self._step("switch", tab)
        place = self.rng.choice(self.places)[1]
        is_open = re.search(rf"/inbox/c/{place}\b", tab.url) is not None
        await tab.eval_on_selector(f'#rows > li[data-key="{place}"] a', "(link) => link.click()")
        await expect(tab).to_have_url(re.compile(rf"/inbox/c/{place}\b"))
        if not is_open:
            await self._begins_with_a_reply(tab)

    async def _turn(self) -> None:
        """To the other tab, by hand, by its key, or by the arrow keys."""
        tab = self._tab
        kind = (await self._look(tab))["kind"]
        how = self.rng.choice(["click", "key", "arrow"])
        self._step(f"turn by {how}", tab)
        if how == "click":
            await tab.click("#answer" if kind == "note" else "#note")
        elif how == "key":
            await tab.focus("#log")
            await tab.keyboard.press("r" if kind == "note" else "n")
        else:
            await tab.focus("#note" if kind == "note" else "#answer")
            await tab.keyboard.press("ArrowRight")
        assert (await self._look(tab))["kind"] != kind

    def _token(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self.name}-{self._count}"

    async def _type(self, tab: Page | None = None) -> None:
        tab = tab or self._tab
        token = self._token((await self._look(tab))["kind"])
        self._step(f"type {token}", tab)
        await tab.evaluate(
            "(text) => { const field = document.querySelector('#reply'); field.value += text; "
            "field.dispatchEvent(new Event('input')); }",
            f" {token} ",
        )
        if self.rng.random() < 0.7:  # else what comes next comes before it is kept
            await self._agree()

    async def _attach(self) -> None:
        tab = self._tab
        token = self._token((await self._look(tab))["kind"])
        self._step(f"attach {token}", tab)
        file: FilePayload = {
            "name": f"{token}.txt",
            "mimeType": "text/plain",
            "buffer": token.encode(),
        }
        await tab.set_input_files("#attach", [file])
        await expect(tab.locator("#chosen [data-f=name]", has_text=file["name"])).to_be_visible()
        await self._agree()

    async def _quote(self) -> None:
        """The customer's message, from whichever tab of the composer: it is a reply's."""
        tab = self._tab
        if await tab.locator("#messages .reply-to").count():
            self._step("quote", tab)
            await tab.eval_on_selector("#messages .reply-to", "(button) => button.click()")
            await self._begins_with_a_reply(tab)

    async def _send(self) -> None:
        tab = self._tab
        if not _tokens((await self._look(tab))["text"]):
            await self._type(tab)
        self._step("send", tab)
        self._went(await self._look(tab, after=["enter"]))
        await self._agree()

    async def _send_while_turning(self) -> None:
        """Enter and the other tab in one moment: what is in sight when Enter comes is sent."""
        tab = self._tab
        if self.rng.random() < 0.5:
            self._step("turn and send", tab)
            seen = await self._look(tab, before=["turn"], after=["enter"])
        else:
            self._step("send and turn", tab)
            seen = await self._look(tab, after=["enter", "turn"])
        self._went(seen)
        await self._agree()

    def _went(self, seen: dict[str, Any]) -> None:
        bundle = {*_tokens(seen["text"]), *_tokens(" ".join(seen["files"]))}
        if bundle:
            self.bundles.append(bundle)
            self.sent |= bundle

    async def _take_back(self) -> None:
        tab = self._tab
        taken = await tab.evaluate(TAKE_BACK)
        if taken is None:
            return
        kind, text, is_taken = taken
        self._step("take back", tab)
        if is_taken:
            assert (await self._look(tab))["kind"] == kind, "it came back as the other kind"
            back = set(_tokens(text))
            self.sent -= next(bundle for bundle in reversed(self.bundles) if back <= bundle)
        await self._agree()

    async def _agree(self) -> None:
        """Tabs that show the same draft show the same text and files: an agent sees one of them,
        and would send it from both.
        """

        async def same() -> bool:
            seen: dict[tuple[str, str], set[str]] = {}
            for tab in self.tabs:
                now = await self._look(tab)
                shown = " ".join([*now["text"].split(), *now["files"]])
                seen.setdefault((tab.url.partition("?")[0], now["kind"]), set()).add(shown)
            return all(len(shown) == 1 for shown in seen.values())

        await eventually(same, 30.0)

    async def _judge(self) -> None:
        if not self.is_online:
            await self._line()
        if not self.tabs:
            await self._open()
        await says(self.tabs[0], "live", limit=60.0)

        async def all_there() -> bool:
            await self._send_held(self.tabs[0])
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
            kinds = {_kind(token) for token in _tokens(_all_of(m))}
            assert kinds <= {"note" if m.private else "reply"}, _all_of(m)
            assert not (m.private and m.content_attributes.get("in_reply_to")), m.content

    async def _send_held(self, tab: Page) -> None:
        """What was written before its thread was in sight waits for whoever has read it."""
        if not await tab.evaluate(HAS_HELD):
            return
        for _, place in self.places:
            await tab.eval_on_selector(
                f'#rows > li[data-key="{place}"] a', "(link) => link.click()"
            )
            await expect(tab.locator("#messages > li[id]").first).to_be_visible()
            for button in await tab.locator("#messages [data-act=anyway]:visible").all():
                await button.evaluate("(button) => button.click()")

    def _messages(self) -> list[Message]:
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
        return Counter(token for m in self._messages() for token in _tokens(_all_of(m)))


async def _crashed(session: CDPSession) -> None:
    with contextlib.suppress(Error):  # nobody answers any more
        await session.send("Page.crash")


def _all_of(message: Message) -> str:
    return " ".join([message.content or "", *(file.name for file in message.attachments)])


def _kind(token: str) -> str:
    return token.partition("-")[0]


def _tokens(text: str | None) -> list[str]:
    return re.findall(r"(?:note|reply)-w\d+x\d+-\d+", text or "")


async def _is_ready(page: Page) -> None:
    await page.wait_for_selector("html[data-js] .composer .primary")
    await page.wait_for_function("() => document.querySelector('#reply').required === false")
    # else Enter waits for it, and what is sent is what is there then
    await page.wait_for_selector(".quoting", state="attached")
