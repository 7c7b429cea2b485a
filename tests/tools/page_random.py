"""Random minutes in the real page; prints what happened, and every difference: `make
page-random`.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.kit.processes import find_program
from tests.tools.page_walk.day import RandomDay
from tests.web.site import Site, running_site


@contextlib.asynccontextmanager
async def _a_site_of_its_own() -> AsyncIterator[tuple[Site, Browser]]:
    program = find_program("chromium", "chromium-browser", "google-chrome")
    with tempfile.TemporaryDirectory() as directory:
        async with running_site(Path(directory)) as site, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=program, args=["--no-sandbox"]
            )
            yield site, browser
            await browser.close()


async def main(seconds: float, rounds: float, seed: int) -> int:
    async with _a_site_of_its_own() as (site, browser):
        day = RandomDay(site, browser, seed)
        await day.run(seconds=seconds, rounds=rounds)
    for what, count in sorted(day.counts.items()):
        print(f"{what:32} {count:6}")
    print(f"seed {seed}: {len(day.differences)} differences")
    return 1 if day.differences else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.minutes * 60, options.rounds, options.seed)))
