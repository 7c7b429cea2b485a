"""Conditional requests and cursors: what has not changed is 304 from memory, and what has can be
read on from there.
"""

import functools
import re

import httpx
import pytest

from server.http.answer_format import answer_format
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni


async def test_an_unchanged_company_is_answered_304(company: Company) -> None:
    """With ETag, Cache-Control and Inbox-Cursor on both; a change makes it 200 with another tag."""
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    paths = (
        "/api/conversations?status=Open",
        f"/api/conversations/{conversation['id']}/messages",
        f"/api/conversations/{conversation['id']}",
    )
    tags = {}
    for path in paths:
        first = await company.http.get(path)
        tags[path] = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        assert {"Authorization", "Cookie"} <= set(re.split(r",\s*", first.headers["vary"]))
        again = await company.http.get(path, headers={"If-None-Match": tags[path]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tags[path])
        assert again.headers["cache-control"] == "private, no-cache"
        assert again.headers["inbox-cursor"] == first.headers["inbox-cursor"]
        stale = await company.http.get(path, headers={"If-None-Match": 'W/"something.else"'})
        assert stale.status_code == 200
    await company.post(company.message(2))
    await company.conversation_with(2)
    for path in paths:  # the rows can be read a moment before the feed has heard of the commit
        changed = await eventually(functools.partial(_if_changed, company, path, tags[path]))
        assert changed.headers["etag"] != tags[path]


async def _if_changed(company: Company, path: str, tag: str) -> httpx.Response | None:
    answer = await company.http.get(path, headers={"If-None-Match": tag})
    return answer if answer.status_code == 200 else None


async def test_a_tag_of_an_earlier_version_is_answered_whole(company: Company) -> None:
    """Same company, same cursor, same agent: but what that version answered may have had other
    fields.
    """
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    cursor = (await company.http.get("/api/conversations")).headers["inbox-cursor"]
    for path in (
        "/api/conversations",
        f"/api/conversations/{conversation['id']}/messages",
        f"/api/events?cursor={cursor}",
    ):
        now = (await company.http.get(path)).headers["etag"]
        form, _, rest = now.removeprefix('W/"').partition(".")
        assert form == answer_format()
        for earlier in (f'W/"{rest}', f'W/"{"0" * len(form)}.{rest}'):
            assert (
                await company.http.get(path, headers={"If-None-Match": earlier})
            ).status_code == 200
        assert (await company.http.get(path, headers={"If-None-Match": now})).status_code == 304


async def test_the_tag_of_one_agent_is_not_another_agents(company: Company) -> None:
    """Read counts are an agent's own: a shared cache must not mix them up."""
    await company.post(company.message(1))
    await company.conversation_with(1)
    tag = (await company.http.get("/api/conversations")).headers["etag"]
    async with company.client(2) as other:
        assert (
            await other.get("/api/conversations", headers={"If-None-Match": tag})
        ).status_code == 200


async def test_the_tag_changes_with_another_companys_news_never(
    company: Company, server: Omni
) -> None:
    """Each company has its own cursor."""
    tag = (await company.http.get("/api/conversations")).headers["etag"]
    async with Company(server) as other:
        await other.post(other.message(1))
        await other.conversation_with(1)
    assert (
        await company.http.get("/api/conversations", headers={"If-None-Match": tag})
    ).status_code == 304


async def test_unchanged_polls_make_no_query(company: Company) -> None:
    """400 of them cost no more database calls than the server makes by itself in that time."""
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    paths = ("/api/conversations?status=Open", f"/api/conversations/{conversation['id']}/messages")
    tag = (await company.http.get(paths[0])).headers["etag"]
    before = await _database_calls(company)
    for n in range(400):
        assert (
            await company.http.get(paths[n % 2], headers={"If-None-Match": tag})
        ).status_code == 304
    assert await _database_calls(company) - before < 100


async def _database_calls(company: Company) -> float:
    text = (await company.http.get("/metrics")).text
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("omni_inbox_database_calls_total{")
    )


async def test_inbox_cursor_begins_the_events_after_the_snapshot(company: Company) -> None:
    """A list, then `GET /api/events` from its cursor: the changes after it, and a cursor to go on
    from.
    """
    await company.post(company.message(1))
    await company.conversation_with(1)
    cursor = (await company.http.get("/api/conversations")).headers["inbox-cursor"]
    assert await company.get("/api/events", params={"cursor": cursor}) == {
        "cursor": cursor,
        "events": [],
    }
    await company.post_all([company.message(n) for n in (2, 3, 4)])
    await company.conversation_with(4)
    seen: list[int] = []
    while len(seen) < 3:
        answer = await company.get("/api/events", params={"cursor": cursor, "limit": 2})
        assert 1 <= len(answer["events"]) <= 2
        assert "reset" not in answer
        seen += [event["data"]["message"]["chatwootMessageId"] for event in answer["events"]]
        cursor = answer["cursor"]
    assert seen == [2, 3, 4]
    assert (await company.get("/api/events", params={"cursor": cursor}))["events"] == []


@pytest.mark.parametrize(
    ("change", "reason"), [("nobody.5", "epoch"), ("+1000", "ahead"), ("", "new")]
)
async def test_events_from_a_cursor_that_does_not_fit_are_a_reset(
    company: Company, change: str, reason: str
) -> None:
    """As on the socket."""
    cursor = (await company.http.get("/api/conversations")).headers["inbox-cursor"]
    if change == "+1000":
        epoch, _, seq = cursor.partition(".")
        change = f"{epoch}.{int(seq) + 1000}"
    answer = await company.get("/api/events", params={"cursor": change})
    assert answer == {"cursor": cursor, "events": [], "reset": reason}
