"""A polling React page, made push-fed by one line: with two majors of React and of React Query, all
real, and the real server.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, WebSocketRoute, expect

from server.access.authentication import SESSION_COOKIE
from tests.kit.eventually import eventually
from tests.web.site import Site

_PACKAGES = Path(__file__).parents[1] / "node" / "node_modules"
_PAGE = Path(__file__).parent / "polling_page"
_TYPES = {".js": "text/javascript", ".html": "text/html"}
# React Query's major, and React's; the older one of the first knows no React 19
MAJORS = pytest.mark.parametrize("majors", [("5", "19"), ("5", "18"), ("4", "18")], ids="-on-".join)


_SETTLED = """() => {
  const now = performance.now();
  if (window.fetches !== window.counted || window.underWay) [window.counted, window.since] = [window.fetches, now];
  return now - window.since > 1_500;
}"""  # noqa: E501


class PollingPage:
    """The page in a tab, and the sockets it has opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sockets: list[WebSocketRoute] = []
        self.faults: list[str] = []
        self.is_refused = False

    async def open(self, site: Site, conversation_id: int, majors: tuple[str, str]) -> None:
        await self.page.route("**/crm/**", _serve)
        await self.page.route_web_socket(re.compile(r"/ws$"), self._pass_on)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.faults.append(message.text) if message.type == "error" else None,
        )
        text = (
            await site.http.get(
                "/inbox", headers={"Cookie": f"{SESSION_COOKIE}={site.sessions['asha']}"}
            )
        ).text
        found = re.search(r"/static/[^/\"]+", text)
        assert found is not None
        query = f"major={majors[0]}&react={majors[1]}&token={site.omni.token(agent_id='poller')}&conversation={conversation_id}"  # noqa: E501
        await self.page.goto(
            f"{site.omni.base_url}/crm/page/index.html?{query}&push={found[0]}/js/react-query/inbox-push.js"
        )
        assert (await self.page.evaluate("React.version")).startswith(majors[1])

    async def fetches(self) -> int:
        count: int = await self.page.evaluate("window.fetches")
        return count

    async def is_live(self) -> None:
        await expect(self.page.locator("#status")).to_have_text("live")
        # the first connection's reset fetches anew, after what was under way: nothing has been
        # asked for longer than that may be put off
        await self.page.wait_for_function(_SETTLED)

    async def _pass_on(self, socket: WebSocketRoute) -> None:
        if self.is_refused:
            await socket.close(code=4113, reason="full")
            return
        socket.connect_to_server()
        self.sockets.append(socket)


async def _serve(route: Route) -> None:
    path = route.request.url.split("/crm/", 1)[1].partition("?")[0]
    file = _PAGE / path.removeprefix("page/") if path.startswith("page/") else _PACKAGES / path
    await route.fulfill(body=file.read_bytes(), content_type=_TYPES[file.suffix])


@pytest.fixture
async def polling(browser: Browser) -> AsyncIterator[PollingPage]:
    """A tab of another application; it may not have complained in the end."""
    if not (_PACKAGES / "react-19").exists():
        pytest.skip("the packages of tests/node are not installed; `make test` does it")
    # the page itself comes from files, so its server on this machine is another network to the
    # browser
    context = await browser.new_context(permissions=["local-network-access"])
    page = PollingPage(await context.new_page())
    yield page
    await context.close()
    assert page.faults == []


@MAJORS
async def test_messages_arrive_without_a_poll(
    site: Site, polling: PollingPage, majors: tuple[str, str]
) -> None:
    """In the thread and in the list, once and in order, while not one fetch is made."""
    customer = site.new_customer("Rahima")
    conversation_id = await site.writes(customer, "Is it there?")
    await polling.open(site, conversation_id, majors)
    await polling.is_live()
    lines = polling.page.locator("#thread li")
    await expect(lines).to_have_text(["Is it there?"])
    before = await polling.fetches()
    await site.writes(customer, "Two of them?", "In green?")
    await expect(lines).to_have_text(["Is it there?", "Two of them?", "In green?"])
    await expect(polling.page.locator("#list li").first).to_have_text(f"{customer}: In green? (3)")
    assert await polling.fetches() == before


@MAJORS
async def test_a_new_conversation_comes_by_one_fetch(
    site: Site, polling: PollingPage, majors: tuple[str, str]
) -> None:
    """The page's filter is the server's to judge, so the list is asked for once."""
    conversation_id = await site.writes(site.new_customer(), "first")
    await polling.open(site, conversation_id, majors)
    await polling.is_live()
    newcomer = site.new_customer("Karim")
    await site.writes(newcomer, "Good morning")
    await expect(polling.page.locator("#list li").first).to_have_text(
        f"{newcomer}: Good morning (1)"
    )


@MAJORS
async def test_a_line_that_breaks_loses_and_doubles_nothing(
    site: Site, polling: PollingPage, majors: tuple[str, str]
) -> None:
    """Closed and resumed three times while the customer writes."""
    customer = site.new_customer("Rahima")
    conversation_id = await site.writes(customer, "0")
    await polling.open(site, conversation_id, majors)
    await polling.is_live()
    for n in range(1, 4):
        known = len(polling.sockets)
        await polling.sockets[-1].close(code=4208, reason="slow")
        await site.writes(customer, str(n))
        await eventually(lambda known=known: len(polling.sockets) > known, 20)  # type: ignore[misc]
        await expect(polling.page.locator("#status")).to_have_text("live")
        await site.writes(customer, f"{n}b")
    await expect(polling.page.locator("#thread li")).to_have_text(
        ["0", "1", "1b", "2", "2b", "3", "3b"]
    )


@MAJORS
async def test_without_a_socket_the_page_polls_as_it_did(
    site: Site, polling: PollingPage, majors: tuple[str, str]
) -> None:
    """Every attempt is refused; the thread follows at its old pace."""
    customer = site.new_customer("Rahima")
    conversation_id = await site.writes(customer, "one")
    polling.is_refused = True
    await polling.open(site, conversation_id, majors)
    await expect(polling.page.locator("#status")).to_have_text("polling")
    await site.writes(customer, "two")
    await expect(polling.page.locator("#thread li")).to_have_text(["one", "two"])
