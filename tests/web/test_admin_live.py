"""The administrators' pages in a real browser: nothing breaks the policy, and the status follows
what happens.
"""

from playwright.async_api import expect

from tests.web.conftest import OpenWindow
from tests.web.site import Site


async def test_the_status_follows_what_happens(site: Site, open_window: OpenWindow) -> None:
    """A customer writes; the page shows it without being loaded again."""
    token = site.omni.token(1, "chief", role="admin", name="Chief")
    window = await open_window(None, extra_http_headers={"Authorization": f"Bearer {token}"})
    page = await window.open("/admin/status", until=None)
    await expect(page.locator("#freshness")).to_contain_text("live")
    before = await page.locator('[data-line="webhooks"]').get_attribute("d")
    await site.writes(site.new_customer(), "one", "two", "three")
    await expect(page.locator('[data-line="webhooks"]')).not_to_have_attribute("d", before or "")
    await expect(page.locator("#integrations [data-state]").first).to_have_text("Works")


async def test_an_administrator_finds_everything_from_the_inbox(
    site: Site, open_window: OpenWindow
) -> None:
    """Each page of the navigation opens, in a narrow window too, without a complaint of the
    browser's.
    """
    token = site.omni.token(1, "chief", role="admin", name="Chief")
    window = await open_window(
        None,
        extra_http_headers={"Authorization": f"Bearer {token}"},
        viewport={"width": 360, "height": 700},
    )
    page = await window.open("/admin/status", until=None)
    for name in ("Integrations", "Ledger", "People", "Audit", "Status"):
        await page.get_by_role("navigation").get_by_role("link", name=name).click()
        await expect(page.locator('nav [aria-current="page"]')).to_have_text(name)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
