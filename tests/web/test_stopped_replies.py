"""Where Chatwoot refuses an integration, everybody is told with the first reply that does not go
out.
"""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.web.conftest import OpenWindow
from tests.web.site import Site, running_site
from tests.web.test_inbox_access import violations
from tests.web.test_inbox_refused import CATALOGUES


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Site]:
    """One whose Chatwoot takes no token for a while."""
    async with running_site(tmp_path_factory.mktemp("stopped")) as running:
        yield running


@pytest.mark.parametrize(
    ("lang", "theme", "width"),
    [("en", "light", 1440), ("bn", "dark", 390), ("en", "dark", 390), ("bn", "light", 1440)],
)
async def test_the_first_reply_that_is_refused_says_whose_do_not_go_out(
    site: Site, open_window: OpenWindow, lang: str, theme: str, width: int
) -> None:
    """The integration is wrong at once, an administrator's pages say so, and above the field it
    stands for every agent; it goes once replies go out again.
    """
    number = await site.writes(site.new_customer(), "are you there?")
    size = {"width": width, "height": 844}
    window = await open_window(lang=lang, theme=theme, viewport=size)
    page = await window.open(f"/inbox/c/{number}")
    colleague = await (await open_window("tomas", lang=lang)).open(f"/inbox/c/{number}")
    site.sim.switches.set(unauthorized=True)
    await page.fill("#reply", "We are")
    await page.press("#reply", "Enter")
    await expect(page.locator("#messages > li[data-state=failed]")).to_be_visible()
    rows = (await site.http.get("/api/me/own-tokens")).json()
    [stopped] = {(one["sender"]["state"], one["sender"]["name"]) for one in rows}
    assert stopped[0] == "stopped"
    says = CATALOGUES[lang]["composer.sender.stopped"].replace("{name}", stopped[1])
    for shown in (page, colleague):
        await expect(shown.locator("#sender span")).to_have_text(says)
        await expect(shown.locator("#sender")).to_be_visible()
    assert await violations(page) == []
    plain = await open_window(lang=lang, java_script_enabled=False)
    printed = await plain.open(f"/inbox/c/{number}", until=None)
    await expect(printed.locator("#sender span")).to_have_text(says)
    site.sim.switches.reset()
    await page.click("#messages > li[data-state=failed] [data-act=retry]")
    await expect(page.locator("#messages > li[data-state=sent]")).to_be_visible()
    for shown in (page, colleague):
        await expect(shown.locator("#sender span")).not_to_have_text(says)
        await expect(shown.locator("#sender")).to_be_hidden()
