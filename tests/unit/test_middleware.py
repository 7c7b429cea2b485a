"""What stands around every answer."""

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from server.middleware import Outermost


async def dies(scope: Scope, receive: Receive, send: Send) -> None:
    """A handler with a bug; `/livez` (which is not compressed, so nothing is held back) has begun to answer by then."""
    if scope["path"] == "/livez":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError("customer's text")


def client() -> httpx.AsyncClient:
    app = Outermost(dies, lambda scope: None, {})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://inbox.example")


async def test_a_bug_is_a_sentence_with_the_id_of_its_traceback() -> None:
    """And nothing of what the exception says."""
    async with client() as http:
        answer = await http.get("/api/conversations")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal"
    assert "customer's text" not in answer.text
    assert len(answer.headers["x-request-id"]) == 12


async def test_a_bug_in_the_middle_of_an_answer_ends_the_line() -> None:
    """There is no way back to a sentence."""
    async with client() as http:
        with pytest.raises(ZeroDivisionError):
            await http.get("/livez")
