"""`make screenshots`: the inbox in its states, sizes, languages and appearances, from the real
server; for looking at.

All of them go to artefacts/screenshots; the three that the README shows go to docs/img as well.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path

from playwright.async_api import Browser, FilePayload, Page, async_playwright, expect

from server.lab.chatwoot_sim import seed
from tests.kit.eventually import eventually
from tests.kit.processes import find_program
from tests.kit.tcp_proxy import TcpProxy
from tests.web.site import (
    Site,
    Window,
    new_window,
    running_site,
    says,
)

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "artefacts" / "screenshots"
README_PICTURES = ROOT / "docs" / "img"
SIZES = {1280: 800, 768: 1024, 390: 844}
LANGUAGES = ("en", "bn")
THEMES = ("light", "dark")
# of the seed: both languages of the page meet Bengali letters, a note, and replies
OPENED = "সুমাইয়া আক্তার"
FOR_README = {
    "inbox": "thread-1280-en-light",
    "inbox-bn-dark": "thread-1280-bn-dark",
    "inbox-phone": "thread-390-en-light",
}


class Photographer:
    """One window of one size and look, led through the states."""

    def __init__(self, page: Page, proxy: TcpProxy, name: str) -> None:
        self._page = page
        self._proxy = proxy
        self._name = name

    async def take_all(self, opened: int) -> None:
        page = self._page
        await self._take("list")
        await page.click(f'#rows > li[data-key="{opened}"] a')
        await expect(page.locator("#messages > li").first).to_be_visible()
        await expect(page.locator("[data-f=colleagues]")).to_be_visible()
        await self._take("thread")
        await self._compose()
        await self._take("composing")
        await self._fail_a_reply()
        await self._take("failed")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("a")
        await self._take("palette")
        await page.keyboard.press("Escape")
        self._proxy.refuse_new()
        self._proxy.cut_all()
        await says(page, "reconnecting", "offline")
        await self._take("reconnecting")
        self._proxy.accept_new()
        await page.goto(page.url.partition("/inbox")[0] + "/inbox/settings")
        await self._take("settings")

    async def _compose(self) -> None:
        """A canned reply being looked for, a file chosen."""
        found = [
            {"id": 1, "shortcut": "address", "content": "আপনার ঠিকানা ও ফোন নম্বরটি লিখে দিন।"},
            {"id": 2, "shortcut": "hours", "content": "We are open every day from 10:00 to 20:00."},
            {"id": 3, "shortcut": "thanks", "content": "ধন্যবাদ! আর কিছু লাগলে জানাবেন।"},
        ]
        await self._page.route("**/api/canned-replies", lambda route: route.fulfill(json=found))
        await self._page.set_input_files(
            "#attach",
            FilePayload(name="invoice-5512.pdf", mimeType="application/pdf", buffer=b"%PDF"),
        )
        await self._page.locator("#reply").press_sequentially("/")
        await expect(self._page.locator("#canned > li")).to_have_count(len(found))

    async def _fail_a_reply(self) -> None:
        """Shows a refusal, and leaves the server as it was."""
        refusal = (
            '{"code": "chatwoot_422", "message": "Chatwoot refused it: the 24 hour window is '
            'over", "status": 422}'
        )
        await self._page.route(
            "**/reply",
            lambda route: route.fulfill(
                status=422, body=refusal, content_type="application/problem+json"
            ),
        )
        await self._page.click("#chosen button")
        await self._page.fill("#reply", "আপনার অর্ডার পৌঁছে গেছে। Please check.")
        await self._page.click("#composer .primary")
        await expect(self._page.locator('#messages > li[data-state="failed"]')).to_have_count(1)

    async def _take(self, state: str) -> None:
        await self._page.evaluate("document.fonts.ready")
        await self._page.mouse.move(0, 0)
        await self._page.wait_for_timeout(300)  # counts and title follow a moment after the rest
        await self._page.screenshot(
            path=PICTURES / f"{state}-{self._name}.png", animations="disabled", caret="hide"
        )


@asynccontextmanager
async def seeded_site() -> AsyncIterator[tuple[Site, int]]:
    """The site with the sample customers, most of what is older read, and the number of the
    conversation to open.
    """
    with tempfile.TemporaryDirectory() as directory:
        async with running_site(Path(directory)) as site:
            count = len(seed(site.sim))
            await site.sim.webhooks.flushed()

            async def all_there() -> list[dict[str, object]]:
                found: list[dict[str, object]] = (await site.http.get("/api/conversations")).json()
                assert len(found) == count
                return found

            found = await eventually(all_there)
            opened = next(int(str(one["id"])) for one in found if one["externalUserName"] == OPENED)
            for one in found[4:]:
                number = int(str(one["id"]))
                last = (await site.messages(number))[-1]["id"]
                await site.http.post(
                    f"/api/conversations/{number}/read",
                    json={"messageId": last},
                    headers={"Origin": site.omni.base_url},
                )
            yield site, opened


async def photograph(
    site: Site, browser: Browser, opened: int, width: int, lang: str, theme: str
) -> None:
    async with TcpProxy(site.omni.port) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        size = {"width": width, "height": SIZES[width]}
        window: Window = await new_window(
            site,
            browser,
            lang=lang,
            theme=theme,
            base_url=address,
            viewport=size,
            has_touch=width < 500,
            is_mobile=width < 500,
        )
        colleague = await new_window(site, browser, "tomas", base_url=site.omni.base_url)
        await colleague.open(f"/inbox/c/{opened}")
        page = await window.open()
        await Photographer(page, proxy, f"{width}-{lang}-{theme}").take_all(opened)
        await window.context.close()
        await colleague.context.close()


async def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    README_PICTURES.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright, seeded_site() as (site, opened):
        program = find_program("chromium", "chromium-browser", "google-chrome")
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for width, lang, theme in product(SIZES, LANGUAGES, THEMES):
            await photograph(site, browser, opened, width, lang, theme)
        await browser.close()
    for name, taken in FOR_README.items():
        shutil.copyfile(PICTURES / f"{taken}.png", README_PICTURES / f"{name}.png")
    print(f"{len(list(PICTURES.glob('*.png')))} pictures in {PICTURES.relative_to(ROOT)}")


if __name__ == "__main__":
    asyncio.run(main())
