"""An act that is refused is seen and heard by everyone, in the agent's language, with what to do
about it.
"""

import json
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.kit.tcp_proxy import TcpProxy
from tests.web.conftest import OpenWindow
from tests.web.site import Site, says
from tests.web.test_inbox_access import violations

LOCALE = Path(__file__).parents[2] / "web" / "locale"
CATALOGUES = {
    lang: json.loads((LOCALE / f"{lang}.json").read_text(encoding="utf-8")) for lang in ("en", "bn")
}
HAS_MODULE = (
    "() => ['toast', 'acts'].every((name) => performance.getEntriesByType('resource')"
    ".some((one) => one.name.endsWith(`later/${name}.js`)))"
)


@pytest.mark.parametrize(
    ("lang", "theme", "width"),
    [("en", "light", 1280), ("bn", "dark", 390), ("en", "dark", 390), ("bn", "light", 1280)],
)
async def test_a_close_that_chatwoot_refuses_says_so_and_can_be_tried_again(
    site: Site, open_window: OpenWindow, lang: str, theme: str, width: int
) -> None:
    """On the page and to screen readers; the button tries the same again, whatever the status is by
    then.
    """
    number = await site.writes(site.new_customer(), "one")
    window = await open_window(lang=lang, theme=theme, viewport={"width": width, "height": 844})
    window.expected.append("Failed to load resource")
    page = await window.open(f"/inbox/c/{number}")
    site.sim.switches.set(fail_matching="toggle_status", fail_status=422)
    await page.click("#toggle")
    toast, catalogue = page.locator("#toast"), CATALOGUES[lang]
    await expect(toast.locator("[data-f=text]")).to_have_text(catalogue["act.server"])
    await expect(toast).to_be_in_viewport(ratio=1)
    await expect(page.locator("#status")).to_have_text(catalogue["act.server"])
    assert await violations(page) == []
    site.sim.switches.reset()
    await toast.get_by_role("button", name=catalogue["thread.tryAgain"]).click()
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Closed")
    await expect(toast.locator("[data-f=text]")).to_have_text(catalogue["status.nowClosed"])


@pytest.mark.parametrize(
    ("lang", "theme", "width"),
    [("en", "light", 1440), ("bn", "dark", 390), ("en", "dark", 390), ("bn", "light", 1440)],
)
async def test_an_act_without_a_line_is_kept_and_done_when_it_is_back(
    site: Site, open_window: OpenWindow, lang: str, theme: str, width: int
) -> None:
    """The page says that it is kept, and across itself that it is not live; then it is done."""
    number = await site.writes(site.new_customer(), "one")
    size = {"width": width, "height": 844}
    async with TcpProxy(site.omni.port) as proxy:
        base_url = f"http://127.0.0.1:{proxy.port}"
        window = await open_window(base_url=base_url, lang=lang, theme=theme, viewport=size)
        window.expected += ["net::ERR_", "WebSocket"]
        page = await window.open(f"/inbox/c/{number}?transport=page")
        await page.wait_for_function(HAS_MODULE)  # fetched once the page is live
        proxy.refuse_new()
        proxy.cut_all()
        await says(page, "reconnecting", "offline")
        await page.click("#toggle")
        catalogue = CATALOGUES[lang]
        await expect(page.locator("#toast [data-f=text]")).to_have_text(catalogue["act.kept"])
        await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Open")
        banner, begins = page.locator("#banner"), catalogue["banner.offline"].split("{time}")[0]
        await expect(banner).to_contain_text(begins, timeout=60_000)
        await expect(banner).to_be_in_viewport(ratio=1)
        assert await violations(page) == []
        proxy.accept_new()
        head = page.locator("#thread-head")
        await expect(head).to_have_attribute("data-status", "Closed", timeout=60_000)
        await expect(banner).to_be_hidden(timeout=60_000)


async def test_an_act_that_is_taken_back_without_a_line_is_not_done(
    site: Site, open_window: OpenWindow
) -> None:
    """Two presses without a line are none."""
    number = await site.writes(site.new_customer(), "one")
    window = await open_window()
    window.expected += ["Failed to load resource", "WebSocket"]
    page = await window.open(f"/inbox/c/{number}")
    await page.wait_for_function(HAS_MODULE)
    await window.context.set_offline(True)
    text = page.locator("#toast [data-f=text]")
    await page.click("#toggle")
    await expect(text).to_have_text(CATALOGUES["en"]["act.kept"])
    await page.click("#toggle")
    await expect(text).to_have_text(CATALOGUES["en"]["act.unkept"])
    await window.context.set_offline(False)
    kept = await page.evaluate(
        "Object.keys(sessionStorage).filter((key) => /^omni:act:/.test(key))"
    )
    assert kept == []
    assert (await site.http.get(f"/api/conversations/{number}")).json()["status"] == "Open"


async def test_a_search_without_a_line_says_what_it_searched(
    site: Site, open_window: OpenWindow
) -> None:
    """What is loaded, and of that what has the words; with a line everything again."""
    name = site.new_customer("Rokeya")
    number, other = await site.writes(name, "one"), await site.writes(site.new_customer(), "two")
    window = await open_window()
    window.expected += ["Failed to load resource", "WebSocket"]
    page = await window.open()
    await expect(page.locator(f'#rows > li[data-key="{other}"]')).to_be_visible()
    await window.context.set_offline(True)
    await page.fill("#q", name)
    await expect(page.locator("#searched")).to_have_text(CATALOGUES["en"]["list.searchedHere"])
    await expect(page.locator("#rows > li")).to_have_count(1)
    await expect(page.locator(f'#rows > li[data-key="{number}"]')).to_be_visible()
    await page.fill("#q", "nothing has this")
    await expect(page.locator("#list-empty")).to_be_visible()
    await window.context.set_offline(False)
    await expect(page.locator("#searched")).to_be_hidden(timeout=60_000)
