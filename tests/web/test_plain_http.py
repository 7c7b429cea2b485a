"""The inbox under a name of the office's network, without TLS: browsers give such pages neither
locks nor random names.
"""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.kit.eventually import eventually
from tests.web.site import Site, new_window

_NAME = "inbox.test"


@pytest.fixture
async def office_browser(chromium_path: str) -> AsyncIterator[Browser]:
    """It finds the server under a name that is not this machine's own, so that it does not trust it
    as it trusts `localhost`.
    """
    rule = f"--host-resolver-rules=MAP {_NAME} 127.0.0.1"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox", rule]
        )
        yield chromium
        await chromium.close()


async def test_the_inbox_works_without_tls(site: Site, office_browser: Browser) -> None:
    """Live, in two tabs over one line; what is written is sent once; nothing is complained of."""
    customer = site.new_customer()
    number = await site.writes(customer, "Is it open today?")
    window = await new_window(site, office_browser, base_url=f"http://{_NAME}:{site.omni.port}")
    # Chromium says so of every page without TLS
    window.expected.append("Cross-Origin-Opener-Policy header has been ignored")
    try:
        page = await window.open(f"/inbox/c/{number}")
        assert await page.evaluate("[isSecureContext, 'locks' in navigator]") == [False, False]
        await window.open(f"/inbox/c/{number}")
        await page.locator("textarea").first.fill("Until six")
        await page.keyboard.press("Control+Enter")
        await eventually(lambda: site.replies_to(customer) == ["Until six"], limit=30)
        await site.writes(customer, "Thanks")
        await page.wait_for_selector("#messages >> text=Thanks")
    finally:
        await window.context.close()
    assert window.faults == []


async def test_the_settings_say_what_does_not_work_without_tls(
    site: Site, office_browser: Browser
) -> None:
    """Browsers show no notifications then; a box that is ticked all the same says it once more, and
    breaks nothing.
    """
    window = await new_window(site, office_browser, base_url=f"http://{_NAME}:{site.omni.port}")
    window.expected.append("Cross-Origin-Opener-Policy header has been ignored")
    try:
        page = await window.open("/inbox/settings", until=None)
        await page.wait_for_selector("#insecure:visible >> text=without https")
        await page.click("#notifications")
        await page.wait_for_selector("#refused:visible")
        assert not await page.is_checked("#notifications")
    finally:
        await window.context.close()
    assert window.faults == []
