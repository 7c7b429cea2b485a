"""The inbox for everybody: checked by axe in both languages and both appearances, usable by
keyboard alone, Bengali uncut.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import FilePayload, Page, expect

from tests.kit.tcp_proxy import TcpProxy
from tests.web.conftest import OpenWindow
from tests.web.site import Site, press_shortcut, says

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = [(lang, theme) for lang in ("en", "bn") for theme in ("light", "dark")]
VIOLATIONS = """async () => {
  const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await axe.run({ runOnly: { type: "tag", values } });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message}`).join(" | ")}`);
}"""  # noqa: E501
# the letters that reach furthest up and down
CONJUNCTS = "র্ক্ষ্যু ষ্ট্রৃ স্ত্রীঁ ক্ষ্ম্যৈ"
CUT = """() => {
  const seen = [".row a", ".row-name", ".row-text", ".bubble", ".body", "#thread-name", "#toggle", ".views a"];
  return seen.flatMap((selector) => [...document.querySelectorAll(selector)])
    .filter((node) => node.scrollHeight > node.clientHeight + 1 && node.clientHeight > 0)
    .map((node) => `${node.className || node.id} ${node.scrollHeight} > ${node.clientHeight}`);
}"""  # noqa: E501
# ink of the conjuncts against the line they stand in, for the boxes that cut off what leaves them
INK = """(text) => {
  const canvas = document.createElement("canvas").getContext("2d");
  const cutting = [...document.querySelectorAll("body *")].filter((node) => node.textContent.includes(text)
    && ["hidden", "clip"].includes(getComputedStyle(node).overflowY) && !node.childElementCount);
  return cutting.map((node) => {
    const style = getComputedStyle(node);
    canvas.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const ink = canvas.measureText(text);
    const height = parseFloat(style.lineHeight);
    const baseline = (height - ink.fontBoundingBoxAscent - ink.fontBoundingBoxDescent) / 2 + ink.fontBoundingBoxAscent;
    const over = Math.max(ink.actualBoundingBoxAscent - baseline, ink.actualBoundingBoxDescent - (height - baseline));
    return [node.className, over];
  }).filter(([, over]) => over > 1);
}"""  # noqa: E501


async def violations(page: Page) -> Any:
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text(encoding="utf-8"))
    return await page.evaluate(VIOLATIONS)


@pytest.fixture(scope="module", autouse=True)
def _has_axe() -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/node")


@pytest.mark.parametrize(("lang", "theme"), LOOKS)
async def test_axe_finds_nothing(
    site: Site, open_window: OpenWindow, lang: str, theme: str
) -> None:
    """List, open thread with a note and a failed reply, help, menu, and a broken line."""
    customer = site.new_customer("অক্ষর")
    number = await site.writes(customer, "প্রথম", "second")
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    site.sim.private_note(site.sim.conversations_of(contact)[-1], "a note")
    await site.sim.webhooks.flushed()
    async with TcpProxy(site.omni.port) as proxy:
        window = await open_window(
            lang=lang, theme=theme, base_url=f"http://127.0.0.1:{proxy.port}"
        )
        window.expected.append("net::ERR_|WebSocket")
        page = await window.open()
        assert await violations(page) == []
        site.sim.switches.set(fail_next=1, fail_status=422, fail_writes_only=True)
        await page.click(f'#rows > li[data-key="{number}"] a')
        await page.fill("#reply", "refused")
        await page.press("#reply", "Enter")
        await expect(page.locator('#messages > li[data-state="failed"]')).to_have_count(1)
        assert await violations(page) == []
        await page.fill("#reply", "waits behind its tab")
        await page.check("#note")
        assert await violations(page) == []
        await page.click(".menu summary")
        assert await violations(page) == []
        await page.click("#help-open")
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await expect(page.locator(".menu-body")).to_be_hidden()
        proxy.refuse_new()
        proxy.cut_all()
        await says(page, "reconnecting", "offline")
        assert await violations(page) == []
        await window.context.close()


async def test_axe_finds_nothing_before_signing_in(open_window: OpenWindow) -> None:
    """The first page anybody sees, and the one nobody wants to see."""
    window = await open_window(None)
    page = await window.open("/sign-in", until=None)
    assert await violations(page) == []
    window.expected.append("404")
    await page.goto(f"{window.base_url}/inbox/nothing-here")
    assert await violations(page) == []


async def test_the_keyboard_is_enough(site: Site, open_window: OpenWindow) -> None:
    """Open, read, reply, close and leave without a mouse; the focus is always somewhere one can
    see.
    """
    customer = site.new_customer()
    await site.writes(customer, "no mouse here")
    page = await (await open_window()).open()
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip").first).to_be_focused()
    await page.keyboard.press("Enter")
    await press_shortcut(page, "j", "#rows a:focus")
    await expect(page.locator("#rows > li").first.locator("a")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#thread-name")).to_have_text(customer)
    await expect(page.locator("#reply")).to_be_focused()
    await page.keyboard.type("typed")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("in two lines")
    await page.keyboard.press("Enter")
    await expect(page.locator('#messages > li[data-state="sent"] [data-f=body]')).to_have_text(
        "typed\nin two lines"
    )
    await expect(page.locator("#reply")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#reply")).not_to_be_focused()
    await page.keyboard.press("e")
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Closed")
    await page.keyboard.press("Shift+Slash")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await expect(page.locator("#thread-empty")).to_be_visible()
    await expect(page.locator("#list")).to_be_focused()  # the closed conversation has left it
    assert urlsplit(page.url).path == "/inbox"


@pytest.mark.parametrize(("lang", "theme"), LOOKS)
async def test_axe_finds_nothing_in_what_opens(
    site: Site, open_window: OpenWindow, lang: str, theme: str
) -> None:
    """Palette, canned replies, chosen files, the way back after closing, a colleague beside, the
    settings, an empty list.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "one", "two")
    window = await open_window(lang=lang, theme=theme)
    page = await window.open(f"/inbox/c/{number}")
    colleague = await (await open_window("tomas")).open(f"/inbox/c/{number}")
    await colleague.locator("#reply").press_sequentially("me too")
    await expect(page.locator("[data-f=colleagues]")).to_be_visible()
    found = [{"id": 1, "shortcut": "hours", "content": "We are open from 9 to 5."}]
    await page.route("**/api/canned-replies", lambda route: route.fulfill(json=found))
    await page.locator("#reply").press_sequentially("/")
    await expect(page.locator("#canned > li")).to_have_count(1)
    await page.set_input_files(
        "#attach", FilePayload(name="a.txt", mimeType="text/plain", buffer=b"a")
    )
    assert await violations(page) == []
    await press_shortcut(page, "Control+k", "#palette[open]")
    await page.keyboard.type(customer)
    await expect(page.locator("#palette-options > li").first).to_be_visible()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.click("#toggle")
    await expect(page.locator("#toast")).to_be_visible()
    assert await violations(page) == []
    await page.goto(f"{window.base_url}/inbox?q=nothing-is-called-this")
    await says(page, "live")
    assert await violations(page) == []
    await page.goto(f"{window.base_url}/inbox/settings")
    assert await violations(page) == []


@pytest.mark.parametrize("lang", ["en", "bn"])
async def test_bengali_is_not_cut_off(site: Site, open_window: OpenWindow, lang: str) -> None:
    """The tallest conjuncts fit their rows and bubbles, whatever the language of the page."""
    customer = site.new_customer(CONJUNCTS)
    number = await site.writes(customer, CONJUNCTS, f"{CONJUNCTS}\n{CONJUNCTS}")
    page = await (await open_window(lang=lang)).open(f"/inbox/c/{number}")
    await page.evaluate("document.fonts.ready")
    assert await page.evaluate(CUT) == []
    assert await page.evaluate(INK, CONJUNCTS) == []
