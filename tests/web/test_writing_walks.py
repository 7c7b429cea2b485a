"""Random walks through the page: whatever an agent, a browser and a line do, a note's text or file
never reaches the customer, a reply's is never kept from them, and all that was sent is there once.

A test run makes some short walks; `make writing-walks` a thousand, `OMNI_TEST_WALKS` as many as
wanted, `OMNI_TEST_FULL=1` some minutes of them, `OMNI_TEST_SEED` the same ones again.
"""

import asyncio
import os
import random
import time
from typing import Any

import pytest

from tests.faults.figures import sized, told
from tests.kit.eventually import scaled
from tests.web.conftest import OpenWindow
from tests.web.reply_extras import Channel, channel
from tests.web.site import Site
from tests.web.test_inbox_tools import preferences
from tests.web.writing_walk import Walk

__all__ = ["channel", "preferences"]

SEED = int(os.environ.get("OMNI_TEST_SEED") or random.SystemRandom().randrange(10**6))
WANTED = int(os.environ.get("OMNI_TEST_WALKS", "0"))
WALKS = WANTED or int(sized(4, 10**6))
SECONDS = 0 if WANTED else sized(0, 240)  # walks begin for so long, however many they are
STEPS = int(sized(24, 40))


@pytest.mark.timeout(0 if WANTED or SECONDS else 300)
async def test_no_walk_shows_a_note_to_the_customer(
    site: Site, open_window: OpenWindow, preferences: Any, channel: Channel
) -> None:
    """Nor loses or repeats a text or file that was sent."""
    channel("Channel::Telegram")  # where messages can be quoted
    await preferences(undoSeconds=3)
    began, walks, sent = time.monotonic(), 0, 0
    while walks < WALKS and (not SECONDS or time.monotonic() - began < SECONDS):
        windows = [await open_window() for _ in range(2)]
        for window in windows:
            window.expected.append("net::ERR_|WebSocket|Failed to load")
            window.context.set_default_timeout(scaled(60.0) * 1000)
        now = [Walk(site, window, SEED, walks + n) for n, window in enumerate(windows)]
        async with asyncio.TaskGroup() as group:
            for walk in now:
                group.create_task(walk.run(STEPS))
        walks += len(now)
        sent += sum(len(walk.sent) for walk in now)
        for window in windows:
            for page in window.context.pages:
                await page.close()
        if WANTED and walks % 20 == 0:
            told("70", walks=walks, texts=sent, seed=SEED, seconds=time.monotonic() - began)
    assert sent > 0
    told("70", walks=walks, texts=sent, seed=SEED, seconds=time.monotonic() - began)
