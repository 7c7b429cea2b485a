"""Two random rounds in the real page; `make page-random` plays ten minutes of such."""

import pytest
from playwright.async_api import Browser

from tests.tools.page_walk.day import RandomDay
from tests.web.site import Site

ROUNDS = 2
SEED = 2234


@pytest.mark.timeout(300)
async def test_a_page_that_says_live_shows_what_the_database_has(
    site: Site, browser: Browser
) -> None:
    """Late answers, cuts, half-open lines, crashes, ended workers and frozen tabs; two agents, and
    customers who write, edit and delete: no page that is live is wrong, and in the end all are
    live.
    """
    day = RandomDay(site, browser, SEED)
    await day.run(rounds=ROUNDS)
    assert day.differences == []
    happened = (
        "at rest: equal at once",
        "workers ended",
        "tabs crashed",
        "connections cut",
        "step half_opens",
    )
    assert all(day.counts[what] for what in happened), day.counts
