"""Calls that cannot be meant: each is a problem with its code, and never an error of ours."""

import re

import pytest

from tests.integration.rest.answers import is_problem
from tests.integration.rest.rows import fill
from tests.kit.company import Company

ODD_PATHS = ("0", "-1", "abc", "1.5", "9" * 18, "9" * 30, "%00", "١٢", "1%20")


@pytest.mark.parametrize("path", ["/api/conversations/{}", "/api/conversations/{}/messages"])
async def test_what_is_not_there_is_404(company: Company, path: str) -> None:
    """Whatever stands in the path."""
    for odd in ODD_PATHS:
        is_problem(await company.http.get(path.format(odd)), 404, "not_found")


@pytest.mark.parametrize(
    "query",
    [
        "status=open",
        "status=Pending",
        "platform=whatsapp",
        "limit=0",
        "limit=-1",
        "limit=ten",
        "limit=1e3",
        "before=yesterday",
        "before=1_",
        "before=_x",
        "before=999999999999999999_1",
        "before=1_99999999999999999999",
    ],
)
async def test_a_query_that_cannot_be_meant_is_400(company: Company, query: str) -> None:
    """With the name of what is wrong."""
    answer = await company.http.get(f"/api/conversations?{query}")
    is_problem(answer, 400, "bad_request")
    assert query.partition("=")[0] in answer.json()["detail"]


BAD_BODIES: list[tuple[str, str, bytes]] = [
    ("PATCH", "", b"{"),
    ("PATCH", "", b"[]"),
    ("PATCH", "", b'"Closed"'),
    ("PATCH", "", b"{}"),
    ("PATCH", "", b'{"status": "resolved"}'),
    ("PATCH", "", b'{"status": ["Open"]}'),
    ("PATCH", "", b'{"status": {"a": 1}}'),
    ("POST", "/reply", b'{"content": 5}'),
    ("POST", "/reply", b'{"content": "   "}'),
    ("POST", "/reply", b"{}"),
    ("POST", "/reply", b'{"content": "hi", "lastSeenMessageId": "5"}'),
    ("POST", "/reply", b'{"content": "hi", "lastSeenMessageId": -5}'),
    ("POST", "/reply", b'{"content": "hi", "lastSeenMessageId": 99999999999999999999}'),
    ("POST", "/read", b"{}"),
    ("POST", "/read", b'{"messageId": true}'),
    ("POST", "/read", b'{"messageId": 1.5}'),
    ("POST", "/reply", b'{"content": "' + b"x" * 150_001 + b'"}'),
    ("POST", "/reply", b"\xff\xfe"),
    ("POST", "/reply", b'{"a":' * 100_000),
]


@pytest.mark.parametrize(
    ("method", "path", "body"), BAD_BODIES, ids=[f"{m} {p} {b[:40]!r}" for m, p, b in BAD_BODIES]
)
async def test_a_body_that_cannot_be_meant_is_400(
    company: Company, method: str, path: str, body: bytes
) -> None:
    """Never 500, never half carried out."""
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    answer = await company.http.request(
        method, f"/api/conversations/{conversation['id']}{path}", content=body
    )
    is_problem(answer, 400, "bad_request")
    assert await company.conversation_with(1) == conversation


async def test_a_body_over_the_limit_is_413(company: Company) -> None:
    """2 MB where a reply has at most 150,000 characters."""
    answer = await company.http.post(
        "/api/conversations/1/reply", content=b'{"content": "' + b"x" * 2_000_000 + b'"}'
    )
    is_problem(answer, 413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/conversations", {"GET", "HEAD"}),
        ("PUT", "/api/conversations/1", {"GET", "HEAD", "PATCH"}),
        ("GET", "/api/conversations/1/reply", {"POST"}),
        ("GET", "/api/webhooks/chatwoot", {"POST"}),
        ("PUT", "/api/sessions", {"POST", "DELETE"}),
    ],
)
async def test_another_method_is_405(
    company: Company, method: str, path: str, allowed: set[str]
) -> None:
    """As a problem, with methods that may be used."""
    answer = await company.http.request(method, path)
    is_problem(answer, 405, "method_not_allowed")
    assert allowed >= set(re.split(r",\s*", answer.headers["allow"]))


async def test_an_unknown_address_is_404(company: Company) -> None:
    """Below /api as a problem."""
    is_problem(await company.http.get("/api/nothing"), 404, "not_found")


async def test_head_answers_like_get_without_a_body(company: Company) -> None:
    """Monitors and caches ask like this."""
    answer = await company.http.head("/api/conversations")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"]


async def test_a_reply_where_there_is_no_way_is_422(company: Company) -> None:
    """A row without a Chatwoot integration: a sentence that says what to do."""
    await fill(company, [("2024-01-01 00:00:00.000000", "Open", "facebook")])
    (row,) = await company.conversations()
    answer = await company.http.post(
        f"/api/conversations/{row['id']}/reply", json={"content": "hello"}
    )
    is_problem(answer, 422, "no_chatwoot_integration")
    assert "answer where the conversation came from" in answer.json()["message"]
    assert await company.thread(row["id"]) == []


async def test_a_read_mark_on_a_message_of_another_conversation_is_404(company: Company) -> None:
    """Both are ours, but they do not belong together."""
    await company.post(company.message(1, conversation_id=1))
    await company.post(company.message(2, conversation_id=2))
    one, two = (
        await company.conversation_with(1, display_id=1),
        await company.conversation_with(1, display_id=2),
    )
    answer = await company.http.post(
        f"/api/conversations/{one['id']}/read", json={"messageId": two["messages"][0]["id"]}
    )
    is_problem(answer, 404, "not_found")
