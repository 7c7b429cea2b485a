"""What another program writes into the database is in the open page, without a reload."""

import asyncio
from pathlib import Path

from playwright.async_api import expect

from tests import crm
from tests.web.conftest import OpenWindow
from tests.web.site import COMPANY, Site

_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"


async def _run(site: Site, sql: str) -> list[dict[str, object]]:
    return await asyncio.to_thread(crm.execute, site.omni.env["DATABASE_URL"], sql)


async def test_a_row_of_the_crm_s_own_is_on_top_of_the_list(
    site: Site, open_window: OpenWindow, tmp_path: Path
) -> None:
    """A new conversation of its own with a message: name, preview and unread count; then a second
    message in the thread.
    """
    page = await (await open_window("asha")).open()
    await _run(
        site,
        "INSERT INTO social_conversations (company_id, platform, external_user_id, "
        "external_user_name, last_message_at, created_at) "
        f"VALUES ({COMPANY}, 'facebook', '9998887', 'Page Visitor', {_NOW}, {_NOW})",
    )
    (row,) = await _run(
        site, "SELECT id FROM social_conversations WHERE external_user_id = '9998887'"
    )
    insert = (
        "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) VALUES "
    )
    await _run(site, f"{insert} ({row['id']}, 'customer', 'written by the CRM', {_NOW})")
    shown = page.locator(f'#rows > li[data-key="{row["id"]}"]')
    await expect(shown).to_contain_text("written by the CRM", timeout=30_000)
    await expect(shown).to_contain_text("Page Visitor")
    await expect(shown.locator("[data-f=count]")).to_have_text("1")
    await shown.click()
    await _run(site, f"{insert} ({row['id']}, 'customer', 'and a second one', {_NOW})")
    await expect(page.locator("#messages > li:last-child [data-f=body]")).to_have_text(
        "and a second one", timeout=30_000
    )
    await page.screenshot(path=tmp_path / "crm.png")
