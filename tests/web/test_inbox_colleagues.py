"""Colleagues in the page: who is here, who looks at the same conversation, who writes in it."""

from playwright.async_api import expect

from tests.kit.eventually import scaled
from tests.web.conftest import OpenWindow
from tests.web.site import Site


async def test_colleagues_are_seen_while_they_look_and_write(site: Site, open_window: OpenWindow) -> None:
    """One colleague however many tabs; gone when they go."""
    number = await site.writes(site.new_customer(), "who takes it?")
    mine = await (await open_window("asha")).open(f"/inbox/c/{number}")
    told, here = mine.locator("[data-f=colleagues]"), mine.locator(".menu [data-f=here]")
    window = await open_window("tomas")
    theirs = await window.open()
    await window.open()
    await expect(here).to_have_text("1 colleague here")
    await expect(here).to_have_attribute("title", "Tomas Berg")
    await expect(told).to_be_hidden()
    await theirs.bring_to_front()
    await theirs.click(f'#rows > li[data-key="{number}"] a')
    await expect(told).to_have_text("Tomas Berg is looking at this")
    await theirs.locator("#reply").press_sequentially("I do")
    await expect(told).to_have_text("Tomas Berg is writing …")
    await theirs.fill("#reply", "")
    await expect(told).to_have_text("Tomas Berg is looking at this")
    await window.context.close()
    await expect(told).to_be_hidden(timeout=scaled(30.0) * 1000)
    await expect(here).to_be_hidden(timeout=scaled(30.0) * 1000)


async def test_a_hidden_tab_does_not_hide_what_another_shows(site: Site, open_window: OpenWindow) -> None:
    """An agent with two tabs looks at what the visible one shows, in whatever order the tabs tell."""
    number = await site.writes(site.new_customer(), "who looks?")
    mine = await (await open_window("asha")).open(f"/inbox/c/{number}")
    window = await open_window("tomas")
    await window.open(f"/inbox/c/{number}")
    elsewhere = await window.open()
    await elsewhere.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(mine.locator("[data-f=colleagues]")).to_have_text("Tomas Berg is looking at this")
