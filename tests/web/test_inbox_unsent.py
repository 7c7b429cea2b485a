"""The view "Not delivered": what did not reach a customer, for everyone, with its count."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import OpenWindow
from tests.web.site import Site
from tests.web.test_inbox_access import violations
from tests.web.test_inbox_refused import CATALOGUES

LOOKS = [("en", "light"), ("bn", "dark"), ("en", "dark"), ("bn", "light")]
VIEW = 'a[data-view="unsent"]'
UNSENT = "/inbox?status=all&unsent=true"


async def unsent(site: Site) -> list[int]:
    """The conversations that the server lists there; counted, they are as many."""
    rows = (await site.http.get("/api/conversations", params={"unsent": "true"})).json()
    counts = (await site.http.get("/api/conversations/unread")).json()
    assert counts["unsent"] == len(rows)
    return [row["id"] for row in rows]


async def fails(site: Site, page: Page, number: int, text: str) -> None:
    """Chatwoot refuses a reply that is written in the open conversation."""
    await page.goto(f"{site.omni.base_url}/inbox/c/{number}")
    await expect(page.locator('#chip[data-word="live"]')).to_be_attached()
    site.sim.switches.set(fail_matching="/messages", fail_status=422, fail_writes_only=True)
    await page.fill("#reply", text)
    await page.press("#reply", "Enter")
    await expect(page.locator("#messages > li[data-state=failed]", has_text=text)).to_be_visible()
    site.sim.switches.reset()


async def test_what_was_not_delivered_is_a_view_for_everyone(
    site: Site, open_window: OpenWindow
) -> None:
    """With its count, by events and after a reload, open and closed conversations alike; what is
    sent again leaves it.
    """
    number = await site.writes(site.new_customer(), "one")
    other = await site.writes(site.new_customer(), "two")
    before = await unsent(site)
    window, colleague = await open_window(), await open_window("tomas")
    page, theirs = await window.open(), await colleague.open()
    await fails(site, page, number, "refused")
    for shown in (page, theirs):
        await expect(shown.locator(f"{VIEW} [data-f=count]")).to_have_text(str(len(before) + 1))
    await theirs.click(VIEW)
    await expect(theirs).to_have_url(re.compile(r"/inbox\?status=all&unsent=true$"))
    await expect(theirs.locator(VIEW)).to_have_attribute("aria-current", "page")
    row = theirs.locator(f'#rows > li[data-key="{number}"]')
    await expect(row).to_be_visible()
    await expect(theirs.locator(f'#rows > li[data-key="{other}"]')).to_have_count(0)
    await theirs.reload()
    await expect(row).to_be_visible()
    await expect(theirs.locator("#rows > li")).to_have_count(len(before) + 1)
    await page.click("#toggle")
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Closed")
    await expect(row).to_be_visible()
    await page.click("#messages > li[data-state=failed] [data-act=retry]")
    await expect(row).to_have_count(0)
    assert await unsent(site) == before


async def test_a_reply_that_the_server_never_took_stands_there_too(
    site: Site, open_window: OpenWindow
) -> None:
    """For who wrote it: nobody else has it."""
    number = await site.writes(site.new_customer(), "one")
    before = len(await unsent(site))
    window = await open_window()
    window.expected.append("Failed to load resource")
    page = await window.open(f"/inbox/c/{number}?status=all")
    await page.route(
        "**/reply", lambda route: route.fulfill(status=422, json={"code": "no", "message": "No"})
    )
    await page.fill("#reply", "refused here")
    await page.press("#reply", "Enter")
    await expect(page.locator(f"{VIEW} [data-f=count]")).to_have_text(str(before + 1))
    await page.click(VIEW)
    await expect(page.locator(f'#rows > li[data-key="{number}"]')).to_be_visible()
    await page.click('a[data-view="all"]')
    await page.click(f'#rows > li[data-key="{number}"] a')
    await page.locator("#messages > li[data-state=failed] [data-act=edit]:not([hidden])").click()
    if before == 0:
        await expect(page.locator(VIEW)).to_be_hidden()
    else:
        await expect(page.locator(f"{VIEW} [data-f=count]")).to_have_text(str(before))


@pytest.mark.parametrize(("lang", "theme"), LOOKS)
@pytest.mark.parametrize("width", [1440, 390])
async def test_the_view_is_there_without_a_script(
    site: Site, open_window: OpenWindow, lang: str, theme: str, width: int
) -> None:
    """A link with its count, also where nothing else is; an empty one says so."""
    number = await site.writes(site.new_customer(), "one")
    page = await (await open_window()).open()
    await fails(site, page, number, "refused")
    catalogue = CATALOGUES[lang]
    size = {"width": width, "height": 844}
    window = await open_window(lang=lang, theme=theme, viewport=size, java_script_enabled=False)
    plain = await window.open(until=None)
    await plain.click(VIEW)
    await expect(plain.locator(f'#rows > li[data-key="{number}"]')).to_be_visible()
    await expect(plain.locator(VIEW)).to_contain_text(catalogue["views.unsent"])
    with_script = await open_window(lang=lang, theme=theme, viewport=size)
    found = await with_script.open(UNSENT)
    await expect(found.locator(VIEW)).to_be_in_viewport(ratio=1)
    assert await violations(found) == []
    await page.click("#messages > li[data-state=failed] [data-act=retry]")
    await expect(found.locator(f'#rows > li[data-key="{number}"]')).to_have_count(0)
    if not await unsent(site):
        await expect(found.locator("#list-empty p")).to_have_text(catalogue["list.emptyUnsent"])


@pytest.mark.parametrize(("lang", "theme"), LOOKS)
@pytest.mark.parametrize("width", [1440, 390])
async def test_a_colleague_discards_what_was_not_delivered(
    site: Site, open_window: OpenWindow, lang: str, theme: str, width: int
) -> None:
    """It leaves the view and loses its mark for everyone, and its bubble says who did it; it can be
    sent all the same.
    """
    number = await site.writes(site.new_customer(), "one")
    page = await (await open_window()).open()
    await fails(site, page, number, "refused")
    size = {"width": width, "height": 844}
    colleague = await open_window("tomas", lang=lang, theme=theme, viewport=size)
    theirs = await colleague.open(f"/inbox/c/{number}?status=all&unsent=true")
    bubble = theirs.locator("#messages > li[data-state=failed]")
    await bubble.get_by_role("button", name=CATALOGUES[lang]["message.discard"]).click()
    for shown, words in ((theirs, CATALOGUES[lang]), (page, CATALOGUES["en"])):
        gone = shown.locator("#messages > li[data-state=discarded]")
        await expect(gone.locator("[data-f=state]")).to_have_text(words["message.discarded"])
        reason = words["message.discardedBy"].replace("{name}", "").split(",")[0]
        await expect(gone.locator("[data-f=reason]")).to_contain_text(reason)
        await expect(shown.locator("#thread-head .chips [data-icon=unsent]")).to_have_count(0)
    assert number not in await unsent(site)
    assert await violations(theirs) == []
    await theirs.reload()
    await theirs.locator("#messages > li[data-state=discarded] [data-act=retry]").click()
    await expect(
        page.locator("#messages > li[data-state=sent]", has_text="refused")
    ).to_be_visible()


async def test_what_was_not_delivered_is_written_anew(site: Site, open_window: OpenWindow) -> None:
    """Its text stands in the field again, and the failed one is discarded."""
    number = await site.writes(site.new_customer(), "one")
    page = await (await open_window()).open()
    await fails(site, page, number, "with a mistake")
    bubble = page.locator("#messages > li[data-state=failed]")
    await bubble.locator("[data-act=edit]:visible").click()
    await expect(page.locator("#reply")).to_have_value("with a mistake")
    await expect(page.locator("#messages > li[data-state=discarded]")).to_be_visible()
    assert number not in await unsent(site)
