"""REST as the existing page polls it, exactly: shape, order, pages, conditional requests, problems."""

import datetime as dt
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.db.migrations import upgrade
from tests import crm
from tests.conftest import Stack
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni

FIRST_FIELDS = [
    "id",
    "companyId",
    "platform",
    "externalUserId",
    "externalUserName",
    "status",
    "lastMessageAt",
    "createdAt",
    "updatedAt",
]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
INSERT_CONVERSATION = (
    "INSERT INTO social_conversations (company_id, platform, external_user_id, external_user_name, status, last_message_at, created_at)"
    " VALUES (:company, :platform, :user, :name, :status, :at, '2024-01-01 00:00:00')"
)
ODD_PATHS = ("0", "-1", "abc", "1.5", "9" * 18, "9" * 30, "%00", "١٢", "1%20")


async def _fill(company: Company, places: list[tuple[str | None, str, str]]) -> None:
    """Rows as (last_message_at, status, platform), without webhooks."""
    await company.database.transaction(
        lambda c: c.execute_many(
            INSERT_CONVERSATION,
            [
                {"company": company.id, "platform": platform, "user": f"u{n}", "name": f"Person {n}", "status": status, "at": at}
                for n, (at, status, platform) in enumerate(places)
            ],
        )
    )


def _next_of(answer: httpx.Response) -> str | None:
    link = answer.links.get("next")
    return link["url"] if link else None


async def _walk(company: Company, path: str) -> list[Json]:
    found: list[Json] = []
    following: str | None = path
    while following is not None:
        answer = await company.http.get(following)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page, "an empty page at the end of a walk"
        found += page
        following = _next_of(answer)
    return found


async def test_the_list_is_a_bare_array_of_camel_case_objects(company: Company) -> None:
    """The first nine fields are those the page reads; times have milliseconds and Z."""
    await company.post(company.message(1))
    row = await company.conversation_with(1)
    (listed,) = await company.conversations()
    assert list(listed)[:9] == FIRST_FIELDS
    assert (listed["readCount"], listed["unreadCount"], listed["inboundCount"]) == (0, 1, 1)
    for name in ("lastMessageAt", "createdAt", "updatedAt"):
        assert TIME.fullmatch(listed[name]), name
    message = row["messages"][0]
    assert {"id", "conversationId", "senderType", "content", "createdAt"} <= set(message)
    assert message["createdAt"] == "2026-07-18T09:01:05.001Z"
    assert not [name for name in (*listed, *message) if "_" in name]


async def test_an_empty_company_has_an_empty_array(company: Company) -> None:
    """Not null, not an object."""
    answer = await company.http.get("/api/conversations", params={"status": "Open"})
    assert (answer.status_code, answer.text) == (200, "[]")


async def test_the_newest_message_comes_first(company: Company) -> None:
    """A new message moves its conversation up."""
    for number, conversation in ((10, 1), (20, 2), (30, 3), (40, 1)):
        await company.post(company.message(number, conversation_id=conversation))
    await company.conversation_with(2, display_id=1)
    assert [row["chatwootConversationId"] for row in await company.conversations()] == [1, 3, 2]


async def test_messages_inside_are_oldest_first(company: Company) -> None:
    """Whatever the order of their arrival; `limit` takes the newest, `before` those above."""
    for number in (3, 1, 5, 2, 4):
        await company.post(company.message(number))
    whole = await company.conversation_with(5)
    ids = {message["chatwootMessageId"]: message["id"] for message in whole["messages"]}
    assert list(ids) == [1, 2, 3, 4, 5]
    path = f"/api/conversations/{whole['id']}/messages"
    assert [m["chatwootMessageId"] for m in (await company.get(path, params={"limit": 2}))["messages"]] == [4, 5]
    page = await company.get(path, params={"limit": 2, "before": ids[4]})
    assert [m["chatwootMessageId"] for m in page["messages"]] == [2, 3]
    assert (await company.get(path, params={"before": ids[1]}))["messages"] == []


async def test_filters_narrow_the_list(company: Company) -> None:
    """status, platform and q, alone and together."""
    await _fill(
        company,
        [
            ("2024-01-03 00:00:00.000000", "Open", "chatwoot"),
            ("2024-01-02 00:00:00.000000", "Closed", "chatwoot"),
            ("2024-01-01 00:00:00.000000", "Open", "facebook"),
        ],
    )

    async def names(**query: str) -> list[str]:
        return [row["externalUserName"] for row in await company.conversations(**query)]

    assert await names() == ["Person 0", "Person 1", "Person 2"]
    assert await names(status="Open") == ["Person 0", "Person 2"]
    assert await names(status="Closed") == ["Person 1"]
    assert await names(status="Open", platform="facebook") == ["Person 2"]
    assert await names(status="", platform="chatwoot") == ["Person 0", "Person 1"]
    assert await names(q="person 1") == ["Person 1"]
    assert await names(q="100%") == []
    assert await names(q="_erson") == []


async def test_the_search_finds_names_and_texts(company: Company) -> None:
    """Also Bengali, and what somebody would take for a pattern."""
    await company.post(company.message(1, "অর্ডারটা কবে পাবো? 50% off_now!", conversation_id=1))
    await company.post(company.message(2, "nothing of the kind", conversation_id=2))
    await company.conversation_with(1, display_id=2)

    async def found(q: str) -> list[int]:
        return [row["chatwootConversationId"] for row in await company.conversations(q=q)]

    assert await found("কবে পাবো") == [1]
    assert await found("50% off_") == [1]
    assert await found("!") == [1]
    assert sorted(await found("moreau")) == [1, 2]


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_a_walk_over_the_pages_finds_every_row_once(company: Company, limit: int) -> None:
    """Rows of the same moment, and rows without one: in the order of the whole list, none left out, none twice."""
    same = "2024-05-05 05:05:05.123456"
    times = [same] * 5 + [None] * 4 + ["2024-05-06 00:00:00.000000", "2024-05-04 00:00:00.999999", same, None, "2024-05-05 05:05:05.123457"]
    await _fill(company, [(at, "Open" if n % 4 else "Closed", "chatwoot") for n, at in enumerate(times)])
    whole = await company.conversations()
    assert len(whole) == len(times)
    assert [row["id"] for row in await _walk(company, f"/api/conversations?limit={limit}")] == [row["id"] for row in whole]
    opened = await company.conversations(status="Open")
    assert [row["id"] for row in await _walk(company, f"/api/conversations?status=Open&limit={limit}")] == [row["id"] for row in opened]
    assert [row["lastMessageAt"] for row in whole[-5:]] == [None] * 5


async def test_more_rows_than_a_page_of_the_server_are_one_array(company: Company) -> None:
    """Without `limit` all of them come, compressed, in order."""
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    at = [(moment + dt.timedelta(seconds=n // 3)).strftime("%Y-%m-%d %H:%M:%S.%f") for n in range(1_203)]
    await _fill(company, [(time, "Open", "chatwoot") for time in at])
    answer = await company.http.get("/api/conversations", headers={"Accept-Encoding": "gzip"})
    rows = answer.json()
    assert answer.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["vary"]
    keys = [(row["lastMessageAt"], row["id"]) for row in rows]
    assert (len(keys), len(set(keys))) == (1_203, 1_203)
    assert keys == sorted(keys, reverse=True)
    assert len(await _walk(company, "/api/conversations?limit=500")) == 1_203


async def test_a_thread_longer_than_a_page_of_the_server_is_whole(company: Company) -> None:
    """All messages, oldest first, also several of one moment."""
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    rows = [{"c": conversation["id"], "at": f"2027-01-01 00:{n // 60 % 60:02d}:{n % 60:02d}.000000", "n": n} for n in range(1_100)]
    await company.database.transaction(
        lambda c: c.execute_many(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) VALUES (:c, 'customer', :n, :at)", rows
        )
    )
    messages = await company.thread(conversation["id"])
    keys = [(message["createdAt"], message["id"]) for message in messages]
    assert len(set(keys)) == 1_101
    assert keys == sorted(keys)


async def test_messages_without_a_time_stand_before_all_others(company: Company) -> None:
    """As old rows of a CRM are: in the whole thread and in a walk over its pages none is left out, none comes twice."""
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    rows = [{"c": conversation["id"], "at": None if n % 2 else "2025-01-01 00:00:00.000000", "n": n} for n in range(1_100)]
    await company.database.transaction(
        lambda c: c.execute_many(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) VALUES (:c, 'customer', :n, :at)", rows
        )
    )
    whole = await company.thread(conversation["id"])
    assert [message["createdAt"] for message in whole[:551]] == [None] * 550 + ["2025-01-01T00:00:00.000Z"]
    assert len({message["id"] for message in whole}) == len(whole) == 1_101
    path = f"/api/conversations/{conversation['id']}/messages"
    walked: list[Json] = []
    while page := (await company.get(path, params={"limit": 300, **({"before": walked[0]["id"]} if walked else {})}))["messages"]:
        walked = page + walked
    assert walked == whole


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


async def test_the_tag_of_one_agent_is_not_another_agents(company: Company) -> None:
    """Read counts are an agent's own: a shared cache must not mix them up."""
    await company.post(company.message(1))
    await company.conversation_with(1)
    tag = (await company.http.get("/api/conversations")).headers["etag"]
    async with company.client(2) as other:
        assert (await other.get("/api/conversations", headers={"If-None-Match": tag})).status_code == 200


async def test_the_tag_changes_with_another_companys_news_never(company: Company, server: Omni) -> None:
    """Each company has its own cursor."""
    tag = (await company.http.get("/api/conversations")).headers["etag"]
    async with Company(server) as other:
        await other.post(other.message(1))
        await other.conversation_with(1)
    assert (await company.http.get("/api/conversations", headers={"If-None-Match": tag})).status_code == 304


async def test_unchanged_polls_make_no_query(company: Company) -> None:
    """400 of them cost no more database calls than the server makes by itself in that time."""
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    paths = ("/api/conversations?status=Open", f"/api/conversations/{conversation['id']}/messages")
    tag = (await company.http.get(paths[0])).headers["etag"]
    before = await _database_calls(company)
    for n in range(400):
        assert (await company.http.get(paths[n % 2], headers={"If-None-Match": tag})).status_code == 304
    assert await _database_calls(company) - before < 100


async def _database_calls(company: Company) -> float:
    text = (await company.http.get("/metrics")).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("omni_inbox_database_calls_total{"))


async def test_inbox_cursor_begins_the_events_after_the_snapshot(company: Company) -> None:
    """A list, then `GET /api/events` from its cursor: the changes after it, and a cursor to go on from."""
    await company.post(company.message(1))
    await company.conversation_with(1)
    cursor = (await company.http.get("/api/conversations")).headers["inbox-cursor"]
    assert await company.get("/api/events", params={"cursor": cursor}) == {"cursor": cursor, "events": []}
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


@pytest.mark.parametrize(("change", "reason"), [("nobody.5", "epoch"), ("+1000", "ahead"), ("", "new")])
async def test_events_from_a_cursor_that_does_not_fit_are_a_reset(company: Company, change: str, reason: str) -> None:
    """As on the socket."""
    cursor = (await company.http.get("/api/conversations")).headers["inbox-cursor"]
    if change == "+1000":
        epoch, _, seq = cursor.partition(".")
        change = f"{epoch}.{int(seq) + 1000}"
    answer = await company.get("/api/events", params={"cursor": change})
    assert answer == {"cursor": cursor, "events": [], "reset": reason}


@pytest.mark.parametrize("path", ["/api/conversations/{}", "/api/conversations/{}/messages"])
async def test_what_is_not_there_is_404(company: Company, path: str) -> None:
    """Whatever stands in the path."""
    for odd in ODD_PATHS:
        _is_problem(await company.http.get(path.format(odd)), 404, "not_found")


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
    _is_problem(answer, 400, "bad_request")
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


@pytest.mark.parametrize(("method", "path", "body"), BAD_BODIES, ids=[f"{m} {p} {b[:40]!r}" for m, p, b in BAD_BODIES])
async def test_a_body_that_cannot_be_meant_is_400(company: Company, method: str, path: str, body: bytes) -> None:
    """Never 500, never half carried out."""
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    answer = await company.http.request(method, f"/api/conversations/{conversation['id']}{path}", content=body)
    _is_problem(answer, 400, "bad_request")
    assert await company.conversation_with(1) == conversation


async def test_a_body_over_the_limit_is_413(company: Company) -> None:
    """2 MB where a reply has at most 150,000 characters."""
    answer = await company.http.post("/api/conversations/1/reply", content=b'{"content": "' + b"x" * 2_000_000 + b'"}')
    _is_problem(answer, 413, "too_large")


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
async def test_another_method_is_405(company: Company, method: str, path: str, allowed: set[str]) -> None:
    """As a problem, with methods that may be used."""
    answer = await company.http.request(method, path)
    _is_problem(answer, 405, "method_not_allowed")
    assert allowed >= set(re.split(r",\s*", answer.headers["allow"]))


async def test_an_unknown_address_is_404(company: Company) -> None:
    """Below /api as a problem."""
    _is_problem(await company.http.get("/api/nothing"), 404, "not_found")


async def test_head_answers_like_get_without_a_body(company: Company) -> None:
    """Monitors and caches ask like this."""
    answer = await company.http.head("/api/conversations")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"]


async def test_a_reply_where_there_is_no_way_is_422(company: Company) -> None:
    """A row without a Chatwoot integration: a sentence that says what to do."""
    await _fill(company, [("2024-01-01 00:00:00.000000", "Open", "facebook")])
    (row,) = await company.conversations()
    answer = await company.http.post(f"/api/conversations/{row['id']}/reply", json={"content": "hello"})
    _is_problem(answer, 422, "no_chatwoot_integration")
    assert "answer where the conversation came from" in answer.json()["message"]
    assert await company.thread(row["id"]) == []


async def test_a_read_mark_on_a_message_of_another_conversation_is_404(company: Company) -> None:
    """Both are ours, but they do not belong together."""
    await company.post(company.message(1, conversation_id=1))
    await company.post(company.message(2, conversation_id=2))
    one, two = await company.conversation_with(1, display_id=1), await company.conversation_with(1, display_id=2)
    answer = await company.http.post(f"/api/conversations/{one['id']}/read", json={"messageId": two["messages"][0]["id"]})
    _is_problem(answer, 404, "not_found")


async def test_reading_the_newest_message_reads_what_arrived_after_it(company: Company) -> None:
    """A message overtaken on its way, or fetched by a later sync, stands above the newest: nothing is unread below it."""
    for number in (1, 3, 2):
        await company.outcome(await company.post(company.message(number)))
    whole = await company.conversation_with(3)
    newest = whole["messages"][-1]
    assert newest["chatwootMessageId"] == 3
    answer = await company.http.post(f"/api/conversations/{whole['id']}/read", json={"messageId": newest["id"]})
    assert (answer.json()["readCount"], answer.json()["unreadCount"]) == (3, 0)


async def test_a_closed_conversation_leaves_the_open_list(company: Company) -> None:
    """PATCH of a row that has no Chatwoot changes it here alone; an event tells of it, a repeated one makes none."""
    await _fill(company, [("2024-01-01 00:00:00.000000", "Open", "facebook")])
    (row,) = await company.conversations()
    async with company.socket() as agent:
        for _ in range(2):
            answer = await company.http.patch(f"/api/conversations/{row['id']}", json={"status": "Closed"})
            assert (answer.status_code, answer.json()["status"]) == (200, "Closed")
        await agent.wait_for(lambda e: e.kind == "conversation.updated" and e.data["conversation"]["status"] == "Closed")
        assert await company.conversations(status="Open") == []
    assert [event.kind for event in agent.events] == ["conversation.updated"]


@pytest.fixture
def legacy_server(stack: Stack, tmp_path: Path) -> Iterator[Omni]:
    """A server on an upgraded database of the CRM, with the rows of some years."""
    crm.load(stack.database_url)
    upgrade(stack.database_url)
    server = Omni(tmp_path, database_url=stack.database_url, broadcast_url=stack.broadcast_url)
    try:
        server.start()
        yield server
    finally:
        server.kill9()


async def test_rows_of_the_crm_are_listed_and_read(legacy_server: Omni) -> None:
    """Facebook rows, odd ones included, in list and thread; a reply to one says why not."""
    for company_id, count in ((1, 12), (2, 1), (3, 1), (4, 1)):
        async with legacy_server.client(legacy_server.token(company_id)) as http:
            rows = (await http.get("/api/conversations")).json()
            assert len(rows) == count
            walked: list[Any] = []
            following: str | None = "/api/conversations?limit=2"
            while following is not None:
                answer = await http.get(following)
                walked += answer.json()
                following = _next_of(answer)
            assert [row["id"] for row in walked] == [row["id"] for row in rows]
            for row in rows:
                whole = (await http.get(f"/api/conversations/{row['id']}/messages")).json()
                assert {name: whole[name] for name in row} == row
                assert all(isinstance(message["content"], str) for message in whole["messages"])
    async with legacy_server.client(legacy_server.token(1)) as http:
        facebook = next(row for row in (await http.get("/api/conversations", params={"platform": "facebook"})).json() if row["id"] == 5)
        assert facebook["externalUserName"] == "Facebook User"
        thread = (await http.get("/api/conversations/5/messages")).json()["messages"]
        assert [message["content"] for message in thread] == ["via Facebook"]
        assert len((await http.get("/api/conversations/4/messages")).json()["messages"]) == 5
        answer = await http.post("/api/conversations/5/reply", json={"content": "hello"})
        _is_problem(answer, 422, "no_chatwoot_integration")


async def test_a_webhook_goes_on_in_a_conversation_of_the_crm(legacy_server: Omni) -> None:
    """Linked by the upgrade: no second row for it."""
    payload = {
        "event": "message_created",
        "account": {"id": 2},
        "conversation": {"id": 105, "inbox_id": 7, "contact_inbox": {"contact_id": 14}},
        "contact": {"id": 14, "name": "Tie"},
        "content": "still there?",
        "message_type": 0,
    }
    async with legacy_server.client(legacy_server.token(1)) as http:

        async def told() -> bool:
            assert (await http.post("/api/webhooks/chatwoot", json=payload)).status_code == 200
            messages = (await http.get("/api/conversations/12/messages")).json()["messages"]
            return [m["content"] for m in messages] == ["tie", "still there?"]

        await eventually(told)


def _is_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "code", "message"}
    assert (body["status"], body["code"]) == (status, code)
