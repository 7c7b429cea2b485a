"""The worker that holds the line for all tabs dies, or a tab stands still: who is left says so, and
is live again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from playwright._impl._api_structures import SetCookieParam
from playwright.async_api import Browser, Error, Page, expect

from server.access.authentication import SESSION_COOKIE
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import (
    Site,
    Window,
    says,
    shown_ids,
)
from tests.web.test_inbox_line import all_shown

AGAIN_SECONDS = 30
NO_CHECKS = "globalThis.setInterval = () => 0;"  # no tab looks whether it still hears a beat
NO_LOCK = """const { locks } = navigator; // none in the blank page before
const request = locks?.request;
if (locks) locks.request = (name, ...more) => (name.startsWith("omni:life:") ? new Promise(() => {}) : request.call(locks, name, ...more));
"""  # noqa: E501
NOTE_WORDS = """() => {
  globalThis.words = [];
  const chip = document.querySelector("#chip");
  new MutationObserver(() => words.push(chip.dataset.word)).observe(chip, { attributeFilter: ["data-word"] });
}"""  # noqa: E501


async def crash(window: Window, tab: Page) -> None:
    """The tab's process ends, and with it the worker that lives there. Its answer never comes."""
    devtools = await window.context.new_cdp_session(tab)
    has_crashed = asyncio.Event()
    tab.once("crash", lambda _: has_crashed.set())

    async def ask() -> None:
        with contextlib.suppress(Error):
            await devtools.send("Page.crash")

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask())
        await has_crashed.wait()
        asking.cancel()


async def end_workers(browser: Browser) -> int:
    """Every SharedWorker ends, and no tab; how many there were."""
    devtools = await browser.new_browser_cdp_session()
    targets = (await devtools.send("Target.getTargets"))["targetInfos"]
    workers = [target["targetId"] for target in targets if target["type"] == "shared_worker"]
    for worker in workers:
        await devtools.send("Target.closeTarget", {"targetId": worker})
    await devtools.detach()
    return len(workers)


async def freeze(window: Window, tab: Page) -> Callable[[], Awaitable[None]]:
    """The browser stops the tab as it does with those long in the background; returns what thaws
    it.
    """
    devtools = await window.context.new_cdp_session(tab)
    await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})

    async def thaw() -> None:
        await devtools.send("Page.setWebLifecycleState", {"state": "active"})

    return thaw


@pytest.mark.parametrize("without", [NO_CHECKS, NO_LOCK], ids=["by-the-lock", "by-the-beat"])
@pytest.mark.parametrize("what", ["crash", "worker"])
async def test_the_worker_dies_and_the_other_tab_is_live_again(
    site: Site, open_window: OpenWindow, browser: Browser, what: str, without: str
) -> None:
    """With the tab that made it, or alone. The tab gets the worker's lock, or misses its beat: it
    makes the worker anew and has what was missed.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    window = await open_window()
    await window.context.add_init_script(without)
    first = await window.open("/inbox")
    second = await window.open(f"/inbox/c/{number}")
    await second.evaluate(NOTE_WORDS)
    if what == "crash":
        await crash(window, first)
    else:
        assert await end_workers(browser)
    await site.writes(customer, "meanwhile")
    await expect(second.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
        "meanwhile", timeout=AGAIN_SECONDS * 1000
    )
    await says(second, "live")
    assert "reconnecting" in await second.evaluate("words")
    await site.writes(customer, "after")
    await expect(second.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
        "after"
    )
    assert await all_shown(second, site, number)


async def test_a_worker_may_die_again_and_again(
    site: Site, open_window: OpenWindow, browser: Browser
) -> None:
    """Each one that is made anew is watched as the first was."""
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    window = await open_window()
    await window.context.add_init_script(NO_CHECKS)
    tabs = [await window.open(f"/inbox/c/{number}") for _ in range(2)]
    for n in range(3):
        assert await end_workers(browser)
        await site.writes(customer, f"death {n}")
        for tab in tabs:
            await expect(tab.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
                f"death {n}"
            )


async def test_a_tab_that_was_frozen_has_everything_when_it_is_thawed(
    site: Site, open_window: OpenWindow
) -> None:
    """What happened meanwhile is shown in order, and the next message as well."""
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    window = await open_window()
    tab = await window.open(f"/inbox/c/{number}")
    other = await window.open("/inbox")
    thaw = await freeze(window, tab)
    await site.writes(customer, *[f"frozen {n}" for n in range(5)])
    await expect(other.locator(f'#rows > li[data-key="{number}"] [data-f=preview]')).to_have_text(
        "frozen 4"
    )
    await thaw()
    await eventually(lambda: all_shown(tab, site, number), limit=AGAIN_SECONDS)
    await says(tab, "live", limit=AGAIN_SECONDS)
    await site.writes(customer, "after")
    await expect(tab.locator("#messages > li").last.locator("[data-f=body]")).to_have_text("after")
    assert len(await shown_ids(tab)) == 7


async def test_a_page_notices_that_somebody_else_has_signed_in(
    site: Site, open_window: OpenWindow
) -> None:
    """In another tab of the same browser: the page says so, and what it holds goes nowhere under
    the other's name.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    window = await open_window("asha")
    page = await window.open(f"/inbox/c/{number}")
    cookie = SetCookieParam(name=SESSION_COOKIE, value=site.sessions["tomas"], url=window.base_url)
    await window.context.add_cookies([cookie])
    await window.open("/inbox")
    await expect(page.locator("#chip [data-f=word]")).to_have_text("Somebody else is signed in")
    window.expected.append("409")
    await page.fill("#reply", "in whose name?")
    await page.press("#reply", "Enter")
    await expect(page.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
        "in whose name?"
    )
    await site.writes(customer, "anybody there?")
    assert site.replies_to(customer) == []
