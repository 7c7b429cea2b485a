"""Webhooks: what Chatwoot posts is kept, understood once, and shown."""

import asyncio

import pytest

from tests.kit.company import Company
from tests.kit.webhook import PAYLOADS

NO_SAMPLES = ("signature_vector", "conversation_typing_on.contact", "conversation_typing_off.agent")
SAMPLES = sorted(path.stem for path in PAYLOADS.glob("*.json") if path.stem not in NO_SAMPLES)
IGNORED = {
    "contact_created": "event not used here: contact_created",
    "contact_updated": "the contact has no conversation here",
    "webwidget_triggered": "event not used here: webwidget_triggered",
}


async def test_the_documented_payload_becomes_a_row_and_an_event(company: Company) -> None:
    """POST -> EVENT_RECEIVED -> a row of the list and an event on a socket that is open."""
    john = {
        "conversation_id": 67890,
        "contact_id": 111,
        "name": "John Doe",
        "identifier": "john@example.com",
    }
    async with company.socket() as agent:
        await company.post(company.simple("Hi there", created_at=1_600_000_000, **john))
        await company.post(
            company.simple("Hello John", message_type=1, created_at=1_600_000_060, **john)
        )
        event = await agent.wait_for(
            lambda e: e.kind == "message.created" and e.data["message"]["senderType"] == "agent"
        )
    (row,) = await company.conversations(status="Open")
    assert row["externalUserId"] == "chatwoot_111_67890"
    assert (row["platform"], row["status"], row["externalUserName"]) == (
        "chatwoot",
        "Open",
        "John Doe",
    )
    assert (row["companyId"], row["lastMessageAt"]) == (company.id, "2020-09-13T12:27:40.000Z")
    told = [
        (m["senderType"], m["content"], m["createdAt"]) for m in await company.thread(row["id"])
    ]
    assert told == [
        ("customer", "Hi there", "2020-09-13T12:26:40.000Z"),
        ("agent", "Hello John", "2020-09-13T12:27:40.000Z"),
    ]
    assert event.data["message"]["content"] == "Hello John"
    assert event.data["conversation"]["externalUserId"] == "chatwoot_111_67890"


async def test_a_contact_without_a_name_is_shown_by_its_identifier(company: Company) -> None:
    """The documented fallback for the name."""
    payload = company.simple(conversation_id=1, contact_id=2, identifier="crm-7")
    payload["contact"]["name"] = None
    await company.post(payload)
    assert (await company.conversation_with(1, display_id=1))["externalUserName"] == "crm-7"


@pytest.mark.parametrize("name", SAMPLES)
async def test_each_sample_is_understood(company: Company, name: str) -> None:
    """Messages and conversations are done; what is not used here is ignored, with the reason."""
    entry = await company.outcome(await company.post(company.sample(name)))
    if name in IGNORED:
        assert (entry.state, entry.reason) == ("ignored", IGNORED[name])
        assert await company.conversations() == []
    else:
        assert (entry.state, entry.reason) == ("done", None)
        (row,) = await company.conversations()
        assert (row["externalUserId"], row["externalUserName"]) == (
            "chatwoot_9071_481",
            "Léa Moreau",
        )


async def test_all_samples_together_show_what_happened(company: Company) -> None:
    """A whole conversation, in the order of its life: messages, picture, note, assignee, labels,
    deletion, status.
    """
    for name in (
        "conversation_created",
        "message_created.incoming",
        "message_created.outgoing_agent",
        "conversation_updated.assignee",
        "conversation_updated.labels",
        "message_created.incoming_attachment",
        "message_created.private_note",
        "message_updated.deleted",
        "conversation_status_changed",
    ):
        await company.outcome(await company.post(company.sample(name)))
    row = await company.conversation_with(4)
    assert (row["status"], row["chatwootStatus"]) == ("Closed", "resolved")
    assert row["labels"] == ["orders"]  # as the newest of them says
    assert row["assignee"] == {"id": 17, "name": "Tomas Berg"}
    assert row["inboundCount"] == 2
    by_number = {message["chatwootMessageId"]: message for message in row["messages"]}
    assert by_number[88121]["deleted"] is True
    assert [a["type"] for a in by_number[88122]["attachments"]] == ["image"]
    assert (by_number[88123]["private"], by_number[88120]["private"]) == (True, False)


async def test_the_same_delivery_twice_is_one_message(company: Company) -> None:
    """As a job that runs again sends it; the second makes no event."""
    delivery = await company.post(company.message(1))
    await company.post(company.message(1), delivery_id=delivery.headers["X-Chatwoot-Delivery"])
    await company.post(company.message(2))
    row = await company.conversation_with(2)
    assert [message["chatwootMessageId"] for message in row["messages"]] == [1, 2]
    assert await company.head() == row["seq"]


async def test_the_same_message_under_two_delivery_ids_is_one_message(company: Company) -> None:
    """As two registered webhooks send it, at the same moment."""
    async with company.socket() as agent:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(company.post(company.message(5)))
        await company.post(company.message(6))
        await agent.wait_for(
            lambda e: e.kind == "message.created" and e.data["message"]["chatwootMessageId"] == 6
        )
    assert len((await company.conversation_with(2))["messages"]) == 2
    assert sum(event.kind == "message.created" for event in agent.events) == 2


async def test_equal_texts_with_different_ids_are_two_messages(company: Company) -> None:
    """Within the same second, too."""
    await company.post_all([company.message(1, "ok"), company.message(2, "ok")])
    assert [m["content"] for m in (await company.conversation_with(2))["messages"]] == ["ok", "ok"]


async def test_equal_texts_without_ids_within_a_second_are_one_message(company: Company) -> None:
    """The documented payload has no message id: conversation, sender and text within a second are
    the message.
    """
    at = 1_700_000_000
    await company.post_all(
        [
            company.simple("ok", created_at=at),
            company.simple("ok", created_at=at + 1),
            company.simple("ok", created_at=at + 9),
        ]
    )
    assert len((await company.conversation_with(2))["messages"]) == 2


@pytest.mark.parametrize("column", ["is_active", "is_webhook_active"])
async def test_an_inactive_integration_is_ignored_with_a_reason(
    company: Company, column: str
) -> None:
    """Switched off means kept in the journal, and nothing else."""
    await company.change_integration(**{column: False})
    entry = await company.outcome(await company.post(company.message(1)))
    assert entry.state == "ignored"
    assert column in str(entry.reason)
    assert await company.conversations() == []


async def test_an_unknown_account_is_ignored_with_a_reason(company: Company) -> None:
    """There is no integration for it, and the journal says which account it was."""
    payload = company.message(1)
    payload["account"]["id"] = 987_654_321
    entry = await company.outcome(await company.post(payload))
    assert entry.state == "ignored"
    assert entry.reason == f"no integration for account 987654321, inbox {company.inbox_id}"


async def test_an_older_state_does_not_overwrite_a_newer_one(company: Company) -> None:
    """Deliveries overtake each other: by version, never by arrival (row 32)."""
    await company.outcome(await company.post(company.sample("conversation_status_changed")))
    await company.outcome(await company.post(company.sample("conversation_updated.assignee")))
    assert (await company.conversations())[0]["status"] == "Closed"


async def test_deleted_before_created_stays_deleted(company: Company) -> None:
    """The update comes first, the message later (row 32)."""
    await company.outcome(await company.post(company.sample("message_updated.deleted")))
    await company.outcome(await company.post(company.sample("message_created.outgoing_agent")))
    (message,) = (await company.conversation_with(1))["messages"]
    assert (message["deleted"], message["content"]) == (True, "This message was deleted")
