"""Lists and threads over REST as the existing page polls them, exactly: shape, order, filters,
pages.
"""

import datetime as dt
import re

import pytest

from tests.integration.rest.answers import next_of
from tests.integration.rest.rows import fill
from tests.kit.client_model import Json
from tests.kit.company import Company

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


async def _walk(company: Company, path: str) -> list[Json]:
    found: list[Json] = []
    following: str | None = path
    while following is not None:
        answer = await company.http.get(following)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page, "an empty page at the end of a walk"
        found += page
        following = next_of(answer)
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
    assert [
        m["chatwootMessageId"] for m in (await company.get(path, params={"limit": 2}))["messages"]
    ] == [4, 5]
    page = await company.get(path, params={"limit": 2, "before": ids[4]})
    assert [m["chatwootMessageId"] for m in page["messages"]] == [2, 3]
    assert (await company.get(path, params={"before": ids[1]}))["messages"] == []


async def test_filters_narrow_the_list(company: Company) -> None:
    """status, platform and q, alone and together."""
    await fill(
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
    """Rows of the same moment, and rows without one: in the order of the whole list, none left out,
    none twice.
    """
    same = "2024-05-05 05:05:05.123456"
    times = (
        [same] * 5
        + [None] * 4
        + [
            "2024-05-06 00:00:00.000000",
            "2024-05-04 00:00:00.999999",
            same,
            None,
            "2024-05-05 05:05:05.123457",
        ]
    )
    await fill(
        company, [(at, "Open" if n % 4 else "Closed", "chatwoot") for n, at in enumerate(times)]
    )
    whole = await company.conversations()
    assert len(whole) == len(times)
    assert [row["id"] for row in await _walk(company, f"/api/conversations?limit={limit}")] == [
        row["id"] for row in whole
    ]
    opened = await company.conversations(status="Open")
    assert [
        row["id"] for row in await _walk(company, f"/api/conversations?status=Open&limit={limit}")
    ] == [row["id"] for row in opened]
    assert [row["lastMessageAt"] for row in whole[-5:]] == [None] * 5


async def test_more_rows_than_a_page_of_the_server_are_one_array(company: Company) -> None:
    """Without `limit` all of them come, compressed, in order."""
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    at = [
        (moment + dt.timedelta(seconds=n // 3)).strftime("%Y-%m-%d %H:%M:%S.%f")
        for n in range(1_203)
    ]
    await fill(company, [(time, "Open", "chatwoot") for time in at])
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
    rows = [
        {
            "c": conversation["id"],
            "at": f"2027-01-01 00:{n // 60 % 60:02d}:{n % 60:02d}.000000",
            "n": n,
        }
        for n in range(1_100)
    ]
    await company.database.transaction(
        lambda c: c.execute_many(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at, "
            "omni_seq) "
            "VALUES (:c, 'customer', :n, :at, 1)",  # as if they had their event
            rows,
        )
    )
    messages = await company.thread(conversation["id"])
    keys = [(message["createdAt"], message["id"]) for message in messages]
    assert len(set(keys)) == 1_101
    assert keys == sorted(keys)


async def test_messages_without_a_time_stand_before_all_others(company: Company) -> None:
    """As old rows of a CRM are: in the whole thread and in a walk over its pages none is left out,
    none comes twice.
    """
    await company.post(company.message(1))
    conversation = await company.conversation_with(1)
    rows = [
        {"c": conversation["id"], "at": None if n % 2 else "2025-01-01 00:00:00.000000", "n": n}
        for n in range(1_100)
    ]
    await company.database.transaction(
        lambda c: c.execute_many(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at, "
            "omni_seq) "
            "VALUES (:c, 'customer', :n, :at, 1)",  # as if they had their event
            rows,
        )
    )
    whole = await company.thread(conversation["id"])
    assert [message["createdAt"] for message in whole[:551]] == [None] * 550 + [
        "2025-01-01T00:00:00.000Z"
    ]
    assert len({message["id"] for message in whole}) == len(whole) == 1_101
    path = f"/api/conversations/{conversation['id']}/messages"
    walked: list[Json] = []
    while page := (
        await company.get(
            path, params={"limit": 300, **({"before": walked[0]["id"]} if walked else {})}
        )
    )["messages"]:
        walked = page + walked
    assert walked == whole


async def test_reading_the_newest_message_reads_what_arrived_after_it(company: Company) -> None:
    """A message overtaken on its way, or fetched by a later sync, stands above the newest: nothing
    is unread below it.
    """
    for number in (1, 3, 2):
        await company.outcome(await company.post(company.message(number)))
    whole = await company.conversation_with(3)
    newest = whole["messages"][-1]
    assert newest["chatwootMessageId"] == 3
    answer = await company.http.post(
        f"/api/conversations/{whole['id']}/read", json={"messageId": newest["id"]}
    )
    assert (answer.json()["readCount"], answer.json()["unreadCount"]) == (3, 0)


async def test_a_closed_conversation_leaves_the_open_list(company: Company) -> None:
    """PATCH of a row that has no Chatwoot changes it here alone; an event tells of it, a repeated
    one makes none.
    """
    await fill(company, [("2024-01-01 00:00:00.000000", "Open", "facebook")])
    (row,) = await company.conversations()
    async with company.socket() as agent:
        for _ in range(2):
            answer = await company.http.patch(
                f"/api/conversations/{row['id']}", json={"status": "Closed"}
            )
            assert (answer.status_code, answer.json()["status"]) == (200, "Closed")
        await agent.wait_for(
            lambda e: (
                e.kind == "conversation.updated" and e.data["conversation"]["status"] == "Closed"
            )
        )
        assert await company.conversations(status="Open") == []
    assert [event.kind for event in agent.events] == ["conversation.updated"]
