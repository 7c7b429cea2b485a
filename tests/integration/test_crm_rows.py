"""What another program writes into the shared tables reaches agents and pollers as if it had come
from Chatwoot.
"""

import asyncio
from typing import Any

import pytest

from tests import crm
from tests.kit.client_model import ClientModel
from tests.kit.company import Company
from tests.kit.eventually import eventually


class Crm:
    """The other program: its own connection for each statement, and nothing of ours in it."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self._url = company.omni.env["DATABASE_URL"]
        self._now = (
            "strftime('%Y-%m-%d %H:%M:%f', 'now')"
            if self._url.startswith("sqlite")
            else "UTC_TIMESTAMP(3)"
        )

    async def run(self, sql: str, **values: object) -> list[dict[str, Any]]:
        """One statement, committed; NOW stands for this moment."""
        return await asyncio.to_thread(
            crm.execute, self._url, sql.replace("NOW", self._now), **values
        )

    async def add_conversation(self, name: str = "Page User", *, platform: str = "facebook") -> int:
        await self.run(
            "INSERT INTO social_conversations (company_id, platform, external_user_id, "
            "external_user_name, last_message_at, created_at, "
            "updated_at) VALUES (:company, :platform, :user, :name, NOW, NOW, NOW)",
            company=self.company.id,
            platform=platform,
            user=f"user of {name}",
            name=name,
        )
        own = (
            "SELECT id FROM social_conversations WHERE company_id = :company AND "
            "external_user_id = :user"
        )
        rows = await self.run(own, company=self.company.id, user=f"user of {name}")
        return int(rows[0]["id"])

    async def add_message(
        self, conversation_id: int, content: str | None, *, sender: str = "customer"
    ) -> None:
        await self.run(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
            "VALUES (:id, :sender, :content, NOW)",
            id=conversation_id,
            sender=sender,
            content=content,
        )
        await self.run(
            "UPDATE social_conversations SET last_message_at = NOW, updated_at = NOW WHERE id = "
            ":id",
            id=conversation_id,
        )


@pytest.fixture
def other(company: Company) -> Crm:
    return Crm(company)


async def _fresh(company: Company, path: str) -> Any:
    answer = await company.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _snapshot(company: Company) -> ClientModel:
    model = ClientModel()
    listed = await _fresh(company, "/api/conversations")
    model.load(
        [await _fresh(company, f"/api/conversations/{row['id']}/messages") for row in listed]
    )
    return model


async def _await_polled(company: Company, path: str, tag: str) -> tuple[Any, str]:
    """What a poller that sends its last tag gets, once it is not told that nothing has changed."""

    async def poll() -> Any:
        answer = await company.http.get(path, headers={"If-None-Match": tag})
        assert answer.status_code == 200, answer.status_code
        return answer

    answer = await eventually(poll)
    return answer.json(), answer.headers["ETag"]


async def test_the_crm_s_own_webhook_is_heard_by_sockets_and_pollers(
    company: Company, other: Crm
) -> None:
    """A message, a new conversation, a closed one: the tags of list and thread move, sockets hear,
    preview and counts are right.
    """
    await company.post(company.message(1))
    known, closed = await other.add_conversation(), await other.add_conversation("To be closed")
    await other.add_message(known, "first")
    await eventually(lambda: _has_preview(company, known, "first"))
    async with company.socket() as agent:
        model = await _snapshot(company)
        listed = await company.http.get("/api/conversations")
        thread = await company.http.get(f"/api/conversations/{known}/messages")
        await other.add_message(known, "new on the page")
        new = await other.add_conversation("New Person")
        await other.add_message(new, "hello")
        await other.run(
            "UPDATE social_conversations SET status = 'Closed' WHERE id = :id", id=closed
        )
        rows, _ = await _await_polled(company, "/api/conversations", listed.headers["ETag"])
        messages, _ = await _await_polled(
            company, f"/api/conversations/{known}/messages", thread.headers["ETag"]
        )
        assert messages["messages"][-1]["content"] == "new on the page"
        await agent.wait_until(
            lambda: any(
                e.kind == "conversation.updated" and e.data["conversation"]["id"] == closed
                for e in agent.events
            )
        )
        await eventually(lambda: _has_preview(company, new, "hello"))
        await agent.wait_for_seq(await company.head())
        for event in agent.events:
            model.apply(event)
        assert model == await _snapshot(company)
        created = [event for event in agent.events if event.kind == "message.created"]
        assert [event.data["message"]["content"] for event in created] == [
            "new on the page",
            "hello",
        ]
        rows = await _fresh(company, "/api/conversations")
    by_id = {row["id"]: row for row in rows}
    assert (
        by_id[new]["inboundCount"],
        by_id[new]["unreadCount"],
        by_id[new]["preview"]["content"],
    ) == (1, 1, "hello")
    assert (by_id[known]["inboundCount"], by_id[closed]["status"]) == (2, "Closed")
    assert [row["id"] for row in rows][:2] == [new, known]


async def _has_preview(company: Company, conversation_id: int, content: str) -> bool:
    row = await _fresh(company, f"/api/conversations/{conversation_id}")
    assert row["preview"], row
    assert row["preview"]["content"] == content
    return True


async def test_deleted_and_moved_rows_make_clients_take_a_snapshot(
    company: Company, other: Crm
) -> None:
    """No event can tell of them: the log begins anew, and counts and preview are those of what is
    left.
    """
    kept, gone = await other.add_conversation("Kept"), await other.add_conversation("Gone")
    await other.add_message(kept, "stays")
    await other.add_message(kept, "goes")
    await eventually(lambda: _has_preview(company, kept, "goes"))
    listed = await company.http.get("/api/conversations")
    async with company.socket() as agent:
        await other.run(
            "DELETE FROM social_messages WHERE content = 'goes' AND conversation_id = :id", id=kept
        )
        await other.run("DELETE FROM social_conversations WHERE id = :id", id=gone)
        await agent.wait_until(lambda: any(frame["type"] == "reset" for frame in agent.frames))
        await _await_polled(company, "/api/conversations", listed.headers["ETag"])
        await eventually(lambda: _has_preview(company, kept, "stays"))
    (row,) = await _fresh(company, "/api/conversations")
    assert (row["id"], row["inboundCount"]) == (kept, 1)


async def test_rows_with_odd_values_hold_up_nothing(company: Company, other: Crm) -> None:
    """Zero dates, an unknown kind, no text, a conversation or a company that is not there: what can
    be shown is shown.
    """
    odd, plain = await other.add_conversation("Odd"), await other.add_conversation("Plain")
    await other.run(
        "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
        "VALUES (:id, 'robot', NULL, '0000-00-00 00:00:00')",
        id=odd,
    )
    await other.run(
        "INSERT INTO social_conversations (company_id, platform, external_user_name, "
        "last_message_at) VALUES (999999, 'telegram', '', NULL)"
    )
    await other.run(
        "UPDATE social_conversations SET last_message_at = '0000-00-00 00:00:00', status = "
        "'Snoozed' WHERE id = :id",
        id=odd,
    )
    await other.add_message(plain, "after them")
    await eventually(lambda: _has_preview(company, plain, "after them"))
    await eventually(lambda: _is_taken(company))
    thread = await _fresh(company, f"/api/conversations/{odd}/messages")
    assert [(one["content"], one["createdAt"]) for one in thread["messages"]] == [("", None)]
    assert thread["seq"] > 0


async def _is_taken(company: Company) -> bool:
    waiting = await company.rows(
        "SELECT subject, act, row_id, conversation_id FROM omni_crm_changes WHERE company_id <> -2"
    )
    assert not list(waiting), waiting
    return True


async def test_a_row_of_chatwoot_s_that_the_crm_closes_is_shown_until_chatwoot_speaks(
    company: Company, other: Crm
) -> None:
    """Chatwoot is not told; its next newer word wins."""
    await company.post(company.message(1))
    row = await company.conversation_with(1)
    await other.run(
        "UPDATE social_conversations SET status = 'Closed' WHERE id = :id", id=row["id"]
    )
    await eventually(lambda: _has_status(company, row["id"], "Closed"))
    await company.post(company.message(2))
    await eventually(lambda: _has_status(company, row["id"], "Open"))


async def _has_status(company: Company, conversation_id: int, status: str) -> bool:
    answer = await company.http.get("/api/events", params={"cursor": await _first_cursor(company)})
    shown = [
        e["data"]["conversation"]["status"]
        for e in answer.json()["events"]
        if e["data"]["conversation"]["id"] == conversation_id
    ]
    assert shown[-1] == status, shown
    return True


async def _first_cursor(company: Company) -> str:
    rows = await company.rows(
        "SELECT epoch FROM omni_inbox_streams WHERE company_id = :company", company=company.id
    )
    return f"{rows[0][0]}.0"


async def test_an_integration_changed_by_hand_is_proved_anew(company: Company, other: Crm) -> None:
    """A switch is known at once; another token, or other numbers, take the proof along."""
    assert (await company.integrations())[-1].is_active
    await other.run(
        "UPDATE integrations SET is_active = 0 WHERE id = :id", id=company.integration_id
    )
    own = await _own_integration(company)
    assert (own.is_active, own.is_proved) == (False, True)
    await other.run(
        "UPDATE integrations SET access_token = 'another-token', is_active = 1 WHERE id = :id",
        id=company.integration_id,
    )
    await eventually(lambda: _is_unproved(company))


async def _own_integration(company: Company) -> Any:
    return next(one for one in await company.integrations() if one.id == company.integration_id)


async def _is_unproved(company: Company) -> bool:
    assert not (await _own_integration(company)).is_proved
    return True
