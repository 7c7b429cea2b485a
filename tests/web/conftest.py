"""Fixtures of the pages' tests: one browser and one site for all, windows for each."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.kit.eventually import patient
from tests.web.site import (
    Site,
    Window,
    new_window,
    running_site,
)

OpenWindow = Callable[..., Awaitable[Window]]

expect.set_options(timeout=patient(15.0) * 1000)


@pytest.fixture(scope="session")
async def browser(chromium_path: str, anyio_backend: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        yield chromium
        await chromium.close()


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Site]:
    async with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
async def open_window(site: Site, browser: Browser) -> AsyncIterator[OpenWindow]:
    """Opens windows (see `site.new_window`). In the end none of them may have broken the policy or
    complained.
    """
    windows: list[Window] = []

    async def opened(agent: str | None = "asha", **options: object) -> Window:
        windows.append(await new_window(site, browser, agent, **options))  # type: ignore[arg-type]
        return windows[-1]

    yield opened
    faults = [fault for window in windows for fault in window.faults]
    for window in windows:
        await window.context.close()
    site.sim.switches.reset()
    assert faults == []
