"""Rows that a CRM had before Omni Inbox, over REST."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.db.migrations import upgrade
from tests import crm
from tests.conftest import Stack
from tests.integration.rest.answers import is_problem, next_of
from tests.kit.eventually import eventually
from tests.kit.omni import Omni


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
                following = next_of(answer)
            assert [row["id"] for row in walked] == [row["id"] for row in rows]
            for row in rows:
                whole = (await http.get(f"/api/conversations/{row['id']}/messages")).json()
                assert {name: whole[name] for name in row} == row
                assert all(isinstance(message["content"], str) for message in whole["messages"])
    async with legacy_server.client(legacy_server.token(1)) as http:
        facebook = next(
            row
            for row in (
                await http.get("/api/conversations", params={"platform": "facebook"})
            ).json()
            if row["id"] == 5
        )
        assert facebook["externalUserName"] == "Facebook User"
        thread = (await http.get("/api/conversations/5/messages")).json()["messages"]
        assert [message["content"] for message in thread] == ["via Facebook"]
        assert len((await http.get("/api/conversations/4/messages")).json()["messages"]) == 5
        answer = await http.post("/api/conversations/5/reply", json={"content": "hello"})
        is_problem(answer, 422, "no_chatwoot_integration")


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
