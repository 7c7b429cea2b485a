"""Pages of other sites: what the browser sends for them with the agent's cookie is refused."""

import httpx
import pytest

from tests.integration.access.visitor import PASSWORD, Visitor, refusal
from tests.kit.omni import Omni


def _origins(omni: Omni) -> dict[str, str | None]:
    return {
        "missing": None,
        "null": "null",
        "foreign": "https://evil.example",
        "our address as a prefix": f"{omni.base_url}.evil.example",
        "our address as a user": f"http://127.0.0.1:{omni.port}@evil.example",
        "another port": f"http://127.0.0.1:{omni.port + 1}",
        "another name": f"http://localhost:{omni.port}",
        "not an address": "http://[",
        "a list": f"{omni.base_url} https://evil.example",
    }


ORIGIN_CASES = (
    "missing",
    "null",
    "foreign",
    "our address as a prefix",
    "our address as a user",
    "another port",
    "another name",
    "a list",
    "not an address",
)


@pytest.mark.parametrize("case", ORIGIN_CASES)
async def test_a_write_from_a_foreign_page_is_refused(
    visitor: Visitor, browser: httpx.AsyncClient, case: str
) -> None:
    """The browser sends the cookie with a form of any page: without our Origin it counts for
    nothing.
    """
    company, origin = visitor.company, _origins(visitor.omni)[case]
    await company.post(company.message(1))
    row = await company.conversation_with(1)
    headers = {"Origin": origin} if origin else {}
    for method, path, body in (
        ("PATCH", "", {"status": "Closed"}),
        ("POST", "/reply", {"content": "forged"}),
        ("POST", "/read", {"messageId": row["messages"][0]["id"]}),
    ):
        answer = await browser.request(
            method, f"/api/conversations/{row['id']}{path}", json=body, headers=headers
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    assert (await browser.delete("/api/sessions", headers=headers)).status_code == 403
    assert (await browser.post("/api/chatwoot/sync", headers=headers)).status_code == 403
    assert await company.conversation_with(1) == row


async def test_a_write_from_our_own_page_is_accepted(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """With the Origin the browser adds."""
    company = visitor.company
    await company.post(company.message(1))
    row = await company.conversation_with(1)
    body = {"messageId": row["messages"][0]["id"]}
    answer = await browser.post(
        f"/api/conversations/{row['id']}/read", json=body, headers={"Origin": visitor.omni.base_url}
    )
    assert (answer.status_code, answer.json()["unreadCount"]) == (200, 0)


async def test_a_foreign_page_may_not_read_the_answer(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """No CORS header invites it, neither on the answer nor on a preflight."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
    for answer in (
        await browser.get("/api/conversations", headers=headers),
        await browser.options("/api/conversations/1", headers=headers),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("case", ORIGIN_CASES)
async def test_a_socket_of_a_foreign_page_is_refused(
    visitor: Visitor, browser: httpx.AsyncClient, case: str
) -> None:
    """Browsers send cookies with cross-site sockets as well: 4003, final."""
    socket = visitor.socket(browser.cookies["omni_session"], _origins(visitor.omni)[case])
    assert await refusal(socket) == 4003
    assert (socket.frames[0]["code"], socket.frames[0]["fatal"]) == ("forbidden", True)


async def test_a_socket_of_our_own_page_is_welcome(
    visitor: Visitor, browser: httpx.AsyncClient
) -> None:
    """By the cookie alone; it ends with the session."""
    async with visitor.socket(browser.cookies["omni_session"], visitor.omni.base_url) as agent:
        assert agent.welcome["agent"]["name"] == "Tomas Berg"
        assert agent.welcome["expiresAt"] is not None


@pytest.mark.parametrize("case", ["null", "foreign", "not an address"])
async def test_signing_in_from_a_foreign_page_is_refused(visitor: Visitor, case: str) -> None:
    """Else a page could sign a visitor in as somebody else."""
    async with visitor.browser() as http:
        headers = {"Origin": str(_origins(visitor.omni)[case])}
        answer = await http.post(
            "/api/sessions", json={"email": visitor.email, "password": PASSWORD}, headers=headers
        )
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
