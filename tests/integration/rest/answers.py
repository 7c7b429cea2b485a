"""What several of these tests look for in an answer."""

import httpx


def next_of(answer: httpx.Response) -> str | None:
    link = answer.links.get("next")
    return link["url"] if link else None


def is_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "code", "message"}
    assert (body["status"], body["code"]) == (status, code)
