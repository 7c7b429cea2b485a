"""An act that is refused is seen and heard by everyone, in the agent's language, with what to do
about it.
"""

import json
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.web.conftest import OpenWindow
from tests.web.site import Site
from tests.web.test_inbox_access import violations

LOCALE = Path(__file__).parents[2] / "web" / "locale"
CATALOGUES = {
    lang: json.loads((LOCALE / f"{lang}.json").read_text(encoding="utf-8")) for lang in ("en", "bn")
}
HAS_MODULE = (
    "() => performance.getEntriesByType('resource').some(({ name }) => "
    "name.endsWith('later/toast.js'))"
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


async def test_an_act_without_a_line_says_that_nothing_was_changed(
    site: Site, open_window: OpenWindow
) -> None:
    number = await site.writes(site.new_customer(), "one")
    window = await open_window()
    window.expected += ["Failed to load resource", "WebSocket"]
    page = await window.open(f"/inbox/c/{number}")
    await page.wait_for_function(HAS_MODULE)  # fetched once the page is live
    await window.context.set_offline(True)
    await page.click("#toggle")
    await expect(page.locator("#toast [data-f=text]")).to_have_text(CATALOGUES["en"]["act.offline"])
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Open")
