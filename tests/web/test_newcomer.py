"""A new user gets from nothing to the first message and its answer, by the page alone and by
commands alone.
"""

from pathlib import Path

from playwright.async_api import Browser

from tests.tools.newcomer.ground import Record, empty_ground
from tests.tools.newcomer.ways import by_commands, by_page


async def test_by_the_page_alone(browser: Browser, tmp_path: Path) -> None:
    """An address in the server's window, two forms, and a customer's message is there and
    answered.
    """
    async with empty_ground(tmp_path) as (omni, chatwoot):
        record = Record()
        await by_page(omni, chatwoot, browser, record)
    assert "Everything works" in record.told("")
    assert chatwoot.token not in record.told("")


async def test_by_commands_alone(tmp_path: Path) -> None:
    """Each command says what it did; the message is in the API's list."""
    async with empty_ground(tmp_path) as (omni, chatwoot):
        record = Record()
        await by_commands(omni, chatwoot, record)
    assert "Webhooks are signed" in record.told("")
    assert chatwoot.token not in record.told("")
