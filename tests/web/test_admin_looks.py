"""The administrators' pages for everybody: in both languages and appearances, wide and narrow,
checked by axe, without a word left over.
"""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site
from tests.web.test_inbox_access import AXE, LOOKS, violations

SHOWN = (
    "/account",
    *(
        f"/admin/{name}"
        for name in ("status", "integrations", "integrations/1", "people", "audit", "ledger?q=look")
    ),
)
# what is English in Bengali as well: names, addresses, commands, what Chatwoot calls its own
# things, and words that are typed
KEPT = (
    r"omni-inbox [\w -]+|Nadia Karim|Omni Shop|Omni Inbox|Chief|Asha Rahman|Tomas "
    r"Berg|English|Website|[\w.]+@[\w.]+|https?://\S+"
    r"|[a-z]+(_[a-z]+)+|[a-z]+\.[a-z-]+|[A-Z]+(_[A-Z]+)+|Chatwoot|CRM|UTC|JSON|Redis|Profile "
    r"settings|secret|private|public|redirect"
    r"|sidekiq|web|true|erase|callback|mode local|p50|p95|p99"
)


@pytest.fixture(autouse=True)
def _has_axe() -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/node")


@pytest.fixture
async def places(site: Site) -> AsyncIterator[list[str]]:
    """The pages, with one of a message, one of a delivery and one behind an invitation."""
    number = await site.writes(site.new_customer(), "look at this")
    message = (await site.messages(number))[-1]["id"]
    async with site.omni.client(site.omni.token(1, "chief", role="admin", name="Chief")) as http:

        async def delivery() -> int:
            return int((await http.get("/api/deliveries")).json()[0]["id"])

        answer = await http.post(
            "/api/invitations", json={"email": f"new{number}@example.org", "name": "Rahim"}
        )
        link = httpx.URL(answer.json()["link"])
        entry = await eventually(delivery)
        yield [
            *SHOWN,
            f"/admin/ledger/messages/{message}",
            f"/admin/ledger/deliveries/{entry}",
            link.raw_path.decode(),
        ]


@pytest.mark.parametrize(("lang", "theme"), LOOKS)
async def test_every_page_in_every_look(
    site: Site, open_window: OpenWindow, places: list[str], lang: str, theme: str
) -> None:
    """Nothing that axe finds, nothing wider than the window, and in Bengali nothing left in
    English.
    """
    token = site.omni.token(1, "chief", role="admin", name="Chief")
    window = await open_window(
        None, lang=lang, theme=theme, extra_http_headers={"Authorization": f"Bearer {token}"}
    )
    page = await window.open(places[0], until=None)
    for place in places:
        await page.set_viewport_size({"width": 1280, "height": 800})
        await page.goto(window.base_url + place)
        assert await page.locator("html").get_attribute("lang") == lang
        assert await violations(page) == [], place
        if lang == "bn":
            assert await _english(page) == [], place
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
        assert await violations(page) == [], place


async def _english(page: Page) -> list[str]:
    """Words of two letters and more outside of code and of what people wrote."""
    texts: list[str] = await page.evaluate("""() => {
      const found = [];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        if (!walker.currentNode.parentElement.closest("code, pre, [dir=auto], [lang=en]")) found.push(walker.currentNode.data);
      }
      return found;
    }""")  # noqa: E501
    rest = " ".join(re.sub(KEPT, "", text) for text in texts)
    return sorted(set(re.findall(r"[A-Za-z]{2,}", rest)))


async def test_the_language_is_chosen_before_signing_in(
    site: Site, open_window: OpenWindow, places: list[str]
) -> None:
    """By the browser, or by a link on the page, which keeps the invitation's token."""
    window = await open_window(None, locale="bn-BD", lang="none")
    page = await window.open(places[-1], until=None)
    assert await page.locator("html").get_attribute("lang") == "bn"
    await page.get_by_role("link", name="English").click()
    assert await page.locator("html").get_attribute("lang") == "en"
    assert "Welcome to Omni Inbox" in await page.locator("h1").inner_text()
    assert await page.locator("#password").count() == 1


async def test_a_choice_lasts_for_who_is_signed_in(site: Site, open_window: OpenWindow) -> None:
    """It is a preference: the inbox has it as well."""
    window = await open_window("tomas")
    page = await window.open("/account", until=None)
    await page.get_by_role("link", name="বাংলা").click()
    await page.goto(window.base_url + "/inbox")
    assert await page.locator("html").get_attribute("lang") == "bn"
    await page.goto(window.base_url + "/account?lang=en")
    await page.goto(window.base_url + "/inbox/settings")
    await page.select_option("#language", "auto")
    await page.locator("button.primary").click()


async def test_the_keyboard_is_enough(site: Site, open_window: OpenWindow) -> None:
    """Past the navigation at one key, then field by field; the refusal is told, and the field keeps
    what was typed.
    """
    token = site.omni.token(1, "chief", role="admin", name="Chief")
    window = await open_window(None, extra_http_headers={"Authorization": f"Bearer {token}"})
    window.expected.append("400")
    page = await window.open("/admin/integrations", until=None)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    for _ in range(8):  # the table, which scrolls by keys, and its links come first
        await page.keyboard.press("Tab")
        if await page.locator("#base_url").evaluate("(field) => field === document.activeElement"):
            break
    for text in ("http://169.254.169.254", "a-token"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Look for inboxes")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("leads to a private or local address")
    await expect(page.locator("#base_url")).to_have_value("http://169.254.169.254")
    await expect(page.locator("#access_token")).to_have_value("")
