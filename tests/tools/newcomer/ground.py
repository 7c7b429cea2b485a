"""What a new user has: this program, an empty directory, a Chatwoot; and a record of each step,
with its time and its words.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from playwright.async_api import Page

from tests.kit.eventually import eventually
from tests.kit.omni import Omni

ROOT = Path(__file__).parents[3]
_WORDS_MOST = 700


class Chatwoot(msgspec.Struct, frozen=True):
    """What one copies from Chatwoot's pages."""

    address: str
    account: int
    inbox: int
    token: str


@dataclass
class Record:
    """Steps as (seconds since the beginning, what was done, the words on the screen then); with
    pictures where a directory is named.
    """

    pictures: Path | None = None
    steps: list[tuple[float, str, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def note(self, what: str, words: str) -> None:
        shown = "\n".join(
            line for line in (" ".join(line.split()) for line in words.splitlines()) if line
        )
        self.steps.append((time.monotonic() - self.began, what, shown[:_WORDS_MOST]))

    async def look(self, page: Page, what: str, picture: str) -> None:
        self.note(what, await page.locator("main").first.inner_text())
        if self.pictures is not None:
            await page.evaluate("document.fonts.ready")
            # shown whole; of the others the beginning is what counts
            is_form = picture == "setup-connect"
            await page.screenshot(
                path=self.pictures / f"{picture}.png",
                full_page=is_form,
                animations="disabled",
                caret="hide",
            )

    def told(self, title: str) -> str:
        parts = [f"## {title}\n"]
        for seconds, what, words in self.steps:
            quoted = "\n".join(f"    {line}" for line in words.splitlines())
            parts.append(f"**{seconds:5.1f} s  {what}**\n\n{quoted}\n")
        return "\n".join(parts)


@asynccontextmanager
async def empty_ground(directory: Path) -> AsyncIterator[tuple[Omni, Chatwoot]]:
    """A server that has never run, not started yet, and the Chatwoot beside it."""
    omni = Omni(directory, database_url=f"sqlite:///{directory / 'omni-inbox.db'}")
    argv = [sys.executable, "-m", "tests.tools.newcomer.chatwoot"]
    simulated = await asyncio.create_subprocess_exec(
        *argv, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert simulated.stdout is not None
        yield omni, Chatwoot(**json.loads(await simulated.stdout.readline()))
    finally:
        simulated.terminate()
        await simulated.wait()
        omni.kill9()


async def address_shown(omni: Omni) -> str:
    """The set-up address, as it stands in the server's window."""

    def found() -> str | None:
        shown = re.search(r"^ +(http\S+/setup\?key=\S+)$", omni.log, re.MULTILINE)
        return shown[1] if shown else None

    return await eventually(found, limit=20.0)
