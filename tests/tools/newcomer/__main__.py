"""Play both ways on this machine, write down every step with its time and its words, and renew the
README's pictures of the set-up.
"""

import argparse
import asyncio
import shutil
import tempfile
from pathlib import Path

import httpx
from playwright.async_api import Browser, async_playwright, expect

from tests.kit.processes import find_program
from tests.tools.newcomer.ground import (
    ROOT,
    Chatwoot,
    Record,
    empty_ground,
)
from tests.tools.newcomer.ways import PASSWORD, by_commands, by_page

PROTOCOL = ROOT / "artefacts" / "newcomer"
README_PICTURES = ROOT / "docs" / "img"
FOR_README = ("setup-first", "setup-connect", "setup-works", "setup-wrong")


async def main(is_for_readme: bool) -> None:
    PROTOCOL.mkdir(parents=True, exist_ok=True)
    page = Record(PROTOCOL)
    async with async_playwright() as playwright:
        program = find_program("chromium", "chromium-browser", "google-chrome")
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with tempfile.TemporaryDirectory() as directory:
            async with empty_ground(Path(directory)) as (omni, chatwoot):
                await by_page(omni, chatwoot, browser, page)
                await _photograph_trouble(browser, omni.base_url, chatwoot)
        await browser.close()
    with tempfile.TemporaryDirectory() as directory:
        async with empty_ground(Path(directory)) as (omni, chatwoot):
            shell = Record()
            await by_commands(omni, chatwoot, shell)
    (PROTOCOL / "protocol.md").write_text(
        page.told("By the page alone") + "\n" + shell.told("By commands alone"), encoding="utf-8"
    )
    if is_for_readme:
        for name in FOR_README:
            shutil.copyfile(PROTOCOL / f"{name}.png", README_PICTURES / f"{name}.png")
    print((PROTOCOL / "protocol.md").read_text(encoding="utf-8"))


async def _photograph_trouble(browser: Browser, address: str, chatwoot: Chatwoot) -> None:
    """The integration's page when Chatwoot refuses the token."""
    async with httpx.AsyncClient(base_url=chatwoot.address, trust_env=False) as http:
        await http.post("/sim/switches", json={"unauthorized": True})
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{address}/sign-in?next=/admin/integrations/1")
    await page.fill("#email", "rahim@example.com")
    await page.fill("#password", PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Something does not work")).to_be_visible()
    await page.screenshot(path=PROTOCOL / "setup-wrong.png", animations="disabled")
    await context.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", action="store_true", help="copy the pictures into docs/img")
    asyncio.run(main(parser.parse_args().readme))
