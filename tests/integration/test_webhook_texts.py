"""Texts of webhooks are stored and shown as written; a credential in them is not stored at all."""

import json

import pytest

from tests.kit.company import Company
from tests.kit.webhook import encode_body

# the contact's live credential in the samples
# pragma: allowlist nextline secret
TOKEN = "k3ZQv1n8b7Xy5rT2mW9dFh4L"


async def test_the_contacts_credential_is_never_stored(company: Company) -> None:
    """`pubsub_token` is a live key to the contact's Chatwoot socket: not in journal, log or
    tables.
    """
    for number, name in enumerate(
        ("message_created.incoming", "conversation_updated.labels", "message_created.private_note")
    ):
        await company.outcome(await company.post(company.sample(name)))
        spaced = json.dumps(company.sample(name, {"extra": number}), indent=1).encode()
        await company.outcome(await company.post(spaced))
    for table, column in (
        ("omni_webhook_deliveries", "body"),
        ("omni_inbox_events", "body"),
        ("social_messages", "content"),
        ("social_conversations", "omni_contact"),
    ):
        assert not await company.rows(
            f"SELECT 1 FROM {table} WHERE {column} LIKE :token LIMIT 1", token=f"%{TOKEN}%"
        ), table
    assert await company.rows(
        "SELECT 1 FROM omni_webhook_deliveries WHERE body LIKE :key LIMIT 1",
        key='%"pubsub_token":""%',
    )


async def test_150_000_bengali_characters_arrive_whole(company: Company) -> None:
    """Chatwoot's own limit, three bytes each, conjuncts and joiners untouched."""
    text = ("ক্ষুদ্র বাংলা বার্তা র‍্যাব 👩‍👩‍👧‍👦 " * 6000)[:150_000]
    async with company.socket() as agent:
        await company.post(company.message(1, text))
        event = await agent.wait_for(lambda e: e.kind == "message.created")
    assert event.data["message"]["content"] == text
    assert (await company.conversation_with(1))["messages"][0]["content"] == text


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "abc\u202edetrevni\u202c \u2066isolated\u2069 \u200f",
        "before\u0000after",
        "line\r\nbreak\ttab \u2028 \u2029 \x1b[31m",
        "'; DROP TABLE social_messages; -- %s :name {{7*7}}",
    ],
    ids=["script", "bidi", "NUL", "breaks", "quotes"],
)
async def test_text_is_stored_and_shown_as_written(company: Company, text: str) -> None:
    """Harmless because nothing interprets it."""
    async with company.socket() as agent:
        await company.post(company.message(1, text))
        event = await agent.wait_for(lambda e: e.kind == "message.created")
    assert event.data["message"]["content"] == text
    row = await company.conversation_with(1)
    assert (row["messages"][0]["content"], row["preview"]["content"]) == (text, text)


async def test_a_lone_surrogate_is_replaced(company: Company) -> None:
    """Half an emoji, as some senders cut it: U+FFFD stands in its place."""
    body = encode_body(company.message(1, "cut HERE")).replace(b"HERE", b"\\ud83d")
    await company.post(body)
    content = (await company.conversation_with(1))["messages"][0]["content"]
    assert (content.rstrip("\ufffd"), content[4]) == ("cut ", "\ufffd")


async def test_only_attachments_are_a_message(company: Company) -> None:
    """No text at all is an empty one; the list says there is something."""
    await company.post(company.sample("message_created.incoming_attachment"))
    row = await company.conversation_with(1)
    assert (row["messages"][0]["content"], row["preview"]["hasAttachments"]) == ("", True)
