"""Nothing moves while the page comes in over a poor line: what is there early stays where it is."""

from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.web.conftest import OpenWindow
from tests.web.site import Site, says

SHIFTS = """globalThis.shifts = [];
const named = (node) => node && (node.nodeType === Node.TEXT_NODE ? named(node.parentNode) : node.id || node.className || node.localName);
const corner = ({ x, y }) => `${Math.round(x)},${Math.round(y)}`;
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries()) {
    const moved = sources.map(({ node, previousRect, currentRect }) => `${named(node)} ${corner(previousRect)} -> ${corner(currentRect)}`);
    if (!hadRecentInput) shifts.push([value, moved]);
  }
}).observe({ type: "layout-shift", buffered: true });"""  # noqa: E501
DRAFT = r"""if (origin !== "null") localStorage.setItem("omni:reply:1.1:%d", "a draft\nof\nmany\nlines\nand\none\nmore");"""  # noqa: E501
POOR_LINE = {
    "offline": False,
    "latency": 100,
    "downloadThroughput": 60_000,
    "uploadThroughput": 60_000,
}
MOST = 0.02


async def shifts_of(page: Page) -> list[Any]:
    """Every shift, once two more frames have been shown."""
    await page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    shifts: list[Any] = await page.evaluate("shifts")
    return shifts


@pytest.mark.parametrize(
    ("width", "height", "lang"), [(1280, 800, "en"), (768, 1024, "bn"), (390, 844, "bn")]
)
async def test_nothing_moves_while_a_thread_loads(
    site: Site, open_window: OpenWindow, width: int, height: int, lang: str
) -> None:
    """Forty unread messages, a long draft, and a colleague who looks at the same conversation."""
    customer = site.new_customer("মোছাঃ সুমাইয়া আক্তার")
    number = await site.writes(
        customer, *[(f"{n}: আমার অর্ডারটা কবে আসবে? It should have come last week.") for n in range(40)]
    )
    await (await open_window("tomas")).open(f"/inbox/c/{number}")
    window = await open_window(lang=lang, viewport={"width": width, "height": height})
    await window.context.add_init_script(SHIFTS)
    await window.context.add_init_script(DRAFT % number)
    page = await window.context.new_page()
    devtools = await window.context.new_cdp_session(page)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    await devtools.send("Network.emulateNetworkConditions", POOR_LINE)
    await page.goto(f"{window.base_url}/inbox/c/{number}")
    await says(page, "live", limit=60)
    await expect(page.locator("[data-f=colleagues]")).to_be_visible()
    shifts = await shifts_of(page)
    assert sum(value for value, _ in shifts) <= MOST, shifts


async def test_a_page_that_is_still_coming_in_is_not_shown(
    site: Site, open_window: OpenWindow
) -> None:
    """Half a thread would be moved by its other half."""
    number = await site.writes(site.new_customer(), "the first half", "the second half")

    async def cut(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(
            response=answer, body=(await answer.text()).partition('class="trouble"')[0]
        )

    window = await open_window(java_script_enabled=False)
    page = await window.open(f"/inbox/c/{number}", until=None)
    await expect(page.locator("#messages")).to_contain_text("the second half")
    await expect(page.locator("#messages")).to_be_visible()
    await page.route("**/inbox/c/*", cut)
    await page.reload()
    await expect(page.locator("#messages")).to_contain_text("the first half")
    await expect(page.locator("#messages")).to_be_hidden()


async def test_the_newest_messages_are_in_sight_without_scripts(
    site: Site, open_window: OpenWindow
) -> None:
    """The end of the conversation is where it goes on."""
    number = await site.writes(site.new_customer(), *[f"line {n}\n\n\n." for n in range(15)])
    page = await (await open_window(java_script_enabled=False)).open(
        f"/inbox/c/{number}", until=None
    )
    await expect(page.locator("#messages > li").last).to_be_in_viewport(ratio=1)
    await expect(page.locator("#messages > li").first).not_to_be_in_viewport()
