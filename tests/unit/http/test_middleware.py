"""What stands around every answer."""

import httpx
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from server.errors import BadRequest
from server.http.middleware import RequestMiddleware


async def dies(scope: Scope, receive: Receive, send: Send) -> None:
    """A handler with a bug; `/livez` (which is not compressed, so nothing is held back) has begun
    to answer by then.
    """
    if scope["path"] == "/livez":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError("customer's text")


def client() -> httpx.AsyncClient:
    app = RequestMiddleware(dies, lambda scope: None, {})
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://inbox.example"
    )


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


async def test_who_went_away_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """The client goes while its request is read: nobody is answered, and no traceback is
    written.
    """

    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    for direct in ({}, {("GET", "/livez"): leaves}):
        scope = {"type": "http", "method": "GET", "path": "/livez", "headers": []}
        await RequestMiddleware(leaves, lambda scope: None, direct)(scope, receive, send)
    assert sent == []
    assert "died" not in caplog.text


async def test_a_direct_application_says_what_is_wrong_by_raising() -> None:
    """The answer has what every failed one has: the sentence, what keeps browsers safe, the id to
    ask by.
    """

    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        raise BadRequest("Not like this")

    app = RequestMiddleware(dies, lambda scope: None, {("GET", "/livez"): refuses})
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://inbox.example"
    ) as http:
        answer = await http.get("/livez")
    assert (answer.status_code, answer.json()["message"]) == (400, "Not like this")
    assert answer.headers["x-frame-options"] == "DENY"
    assert len(answer.headers["x-request-id"]) == 12
