"""Webhooks: what Chatwoot posts is kept, understood once, shown; what nobody can use costs only
itself.
"""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.webhook import (
    PAYLOADS,
    WEBHOOK_PATH,
    Payload,
    delivery_of,
    encode_body,
)

NO_SAMPLES = ("signature_vector", "conversation_typing_on.contact", "conversation_typing_off.agent")
SAMPLES = sorted(path.stem for path in PAYLOADS.glob("*.json") if path.stem not in NO_SAMPLES)
IGNORED = {
    "contact_created": "event not used here: contact_created",
    "contact_updated": "the contact has no conversation here",
    "webwidget_triggered": "event not used here: webwidget_triggered",
}
SECRET = "u7Qm3ZtJ1xYb9Kc2Vw5Rn8Ld"  # pragma: allowlist secret
# the contact's live credential in the samples
# pragma: allowlist nextline secret
TOKEN = "k3ZQv1n8b7Xy5rT2mW9dFh4L"


@pytest.fixture
async def signed(server: Omni) -> AsyncIterator[Company]:
    """A company whose webhook has a secret."""
    async with Company(server, webhook_secret=SECRET) as company:
        yield company


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


def _nulls(value: Any) -> Any:
    return {key: _nulls(item) if isinstance(item, dict) else None for key, item in value.items()}


def _wrong_types(value: Any) -> Any:
    return {
        key: [key] if not isinstance(item, (dict, list)) else {"0": 1}
        for key, item in value.items()
    }


def _odd_payloads(company: Company) -> dict[str, tuple[Payload | bytes, str]]:
    good = company.message(900)
    event = {"event": "message_created", "account": good["account"], "inbox": good["inbox"]}
    return {
        "only nulls, with its event": (_nulls(good) | event, "dead"),
        "wrong types": (_wrong_types(good) | event, "dead"),
        "no conversation id": (company.message(901, conversation={"id": None}), "dead"),
        "text for a message type": (company.message(902, message_type="shouting"), "dead"),
        "an unknown event": (company.message(903, event="agent_was_hired"), "ignored"),
        "an activity line": (company.message(904, message_type="activity"), "ignored"),
        "an event that is no text": (
            company.message(905, event={"name": "message_created"}),
            "dead",
        ),
        "huge numbers": (company.message(906, id=10**40, conversation={"id": 10**40}), "dead"),
    }


async def test_json_that_means_nothing_is_kept_with_its_reason(company: Company) -> None:
    """200, `dead` or `ignored` with a sentence, no row; a good webhook after all of it is shown at
    once.
    """
    for case, (payload, state) in _odd_payloads(company).items():
        entry = await company.outcome(await company.post(payload))
        assert (case, entry.state) == (case, state), entry.reason
        assert entry.reason, case
    await _shows_the_next(company)


UNKEEPABLE: dict[str, tuple[bytes, dict[str, str], int]] = {
    "empty": (b"", {}, 400),
    "no JSON": (b"hello", {}, 400),
    "half a body": (b'{"event": "message_created", "conv', {}, 400),
    "a form": (
        b"event=message_created&id=1",
        {"Content-Type": "application/x-www-form-urlencoded"},
        400,
    ),
    "invalid UTF-8": (b'{"event": "message_\xff\xfe"}', {}, 400),
    "NaN": (b'{"event": "message_created", "id": NaN}', {}, 400),
    "nested too deeply": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}, 400),
    "an array": (b"[1, 2]", {}, 400),
    "null": (b"null", {}, 400),
    "a number": (b"17", {}, 400),
    "an empty object": (b"{}", {}, 400),
    "only nulls": (b'{"event": null, "account": null, "id": null}', {}, 400),
    "no account": (
        b'{"event": "message_created", "conversation": {"id": 1}, "content": "x"}',
        {},
        400,
    ),
    "large and unusual": (
        b'{"event": "x", "account": 5, "s": "\\ud800", "a": [' + b"[]," * 100_000 + b"1]}",
        {},
        400,
    ),
    "very many values": (
        b'{"event": "x", "account": {"id": 5}, "a": [' + b"[]," * 100_000 + b"1]}",
        {},
        400,
    ),
    "gzip": (gzip.compress(b'{"event": "message_created"}'), {"Content-Encoding": "gzip"}, 415),
    "6 MB": (b'{"event": "message_created", "content": "' + b"x" * 6_000_000 + b'"}', {}, 413),
}


@pytest.mark.parametrize("case", UNKEEPABLE)
async def test_what_cannot_be_kept_is_refused(company: Company, case: str) -> None:
    """400, 413 or 415 as a problem; the next good webhook is shown all the same."""
    body, headers, status = UNKEEPABLE[case]
    answer = await company.http.post(
        WEBHOOK_PATH, content=body, headers={"Content-Type": "application/json"} | headers
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]
    await _shows_the_next(company)


@pytest.mark.parametrize(
    ("name", "most"),
    [("X-Chatwoot-Signature", 71), ("X-Chatwoot-Timestamp", 12), ("X-Chatwoot-Delivery", 64)],
)
async def test_a_header_that_is_too_long_is_refused(company: Company, name: str, most: int) -> None:
    """Nothing of it is cut: it is judged later, and names the delivery."""
    body = encode_body(company.simple("with a long header"))
    for length, status in ((most + 1, 431), (50_000, 431)):
        answer = await company.http.post(WEBHOOK_PATH, content=body, headers={name: "1" * length})
        assert (answer.status_code, answer.json()["code"]) == (status, "header_too_large")
    if name == "X-Chatwoot-Delivery":
        assert (
            await company.http.post(WEBHOOK_PATH, content=body, headers={name: "1" * most})
        ).status_code == 200


async def test_a_body_without_end_is_refused_while_it_comes(company: Company) -> None:
    """Chunked, without a length: refused at the limit."""

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"content": "'
        for _ in range(60):
            yield b"x" * 100_000

    answer = await company.http.post(
        WEBHOOK_PATH, content=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    await _shows_the_next(company)


async def test_json_under_another_content_type_is_taken(company: Company) -> None:
    """A proxy that renames the type loses nothing."""
    body = encode_body(company.message(1))
    answer = await company.http.post(
        WEBHOOK_PATH, content=body, headers={"Content-Type": "text/plain"}
    )
    assert (answer.status_code, answer.text) == (200, "EVENT_RECEIVED")
    await company.conversation_with(1)


async def test_a_good_signature_is_accepted(signed: Company) -> None:
    """Signed as Chatwoot signs, over the raw bytes."""
    entry = await signed.outcome(await signed.post(signed.message(1, "Tom & Léa <3")))
    assert entry.state == "done"
    assert (await signed.conversation_with(1))["messages"][0]["content"] == "Tom & Léa <3"


@pytest.mark.parametrize(
    "case",
    [
        "wrong secret",
        "missing",
        "old",
        "from the future",
        "one byte changed",
        "timestamp changed",
        "garbage",
    ],
)
async def test_a_bad_signature_is_refused(signed: Company, case: str) -> None:
    """401, nothing in the journal, nothing shown."""
    payload, now = signed.message(66), int(time.time())
    delivery = delivery_of(payload, secret=SECRET)
    headers, body = dict(delivery.headers), delivery.body
    match case:
        case "wrong secret":
            headers = dict(delivery_of(payload, secret="another").headers)
        case "missing":
            del headers["X-Chatwoot-Signature"], headers["X-Chatwoot-Timestamp"]
        case "old":
            headers = dict(delivery_of(payload, secret=SECRET, timestamp=now - 400).headers)
        case "from the future":
            headers = dict(delivery_of(payload, secret=SECRET, timestamp=now + 400).headers)
        case "one byte changed":
            body = body.replace(b"message 66", b"message 67")
        case "timestamp changed":
            headers["X-Chatwoot-Timestamp"] = str(now - 1)
        case "garbage":
            headers["X-Chatwoot-Signature"] = "sha256=ünsigned"
    raw_headers = {name.encode(): value.encode() for name, value in headers.items()}
    answer = await signed.http.post(WEBHOOK_PATH, content=body, headers=raw_headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    uid = headers["X-Chatwoot-Delivery"]
    assert not await signed.rows(
        "SELECT id FROM omni_webhook_deliveries WHERE headers LIKE :uid", uid=f"%{uid}%"
    )
    assert await signed.conversations() == []


async def test_a_rotated_secret_is_accepted_beside_the_previous_one(signed: Company) -> None:
    """While a rotation is under way both count; afterwards only the new one."""
    await signed.change_integration(webhook_secret="the new one", previous_webhook_secret=SECRET)
    await signed.post(signed.message(1), secret=SECRET)
    await signed.post(signed.message(2), secret="the new one")
    await signed.conversation_with(2)
    await signed.change_integration(previous_webhook_secret=None)
    old = await delivery_of(signed.message(3), secret=SECRET).post(signed.http)
    assert old.status_code == 401
    await signed.post(signed.message(4), secret="the new one")
    await signed.conversation_with(3)


async def test_an_unsigned_delivery_without_an_inbox_does_not_reach_a_signed_integration(
    signed: Company,
) -> None:
    """A forger who leaves out the inbox gets no further."""
    answer = await delivery_of(signed.simple("forged")).post(signed.http)
    assert answer.status_code == 401
    assert await signed.conversations() == []


async def test_a_forgery_for_another_company_is_refused(company: Company, signed: Company) -> None:
    """Signed with our own secret, addressed to another's account (row 35)."""
    forged = delivery_of(signed.message(1), secret="the forger's own")
    assert (await forged.post(company.http)).status_code == 401
    assert await signed.conversations() == []


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


async def _shows_the_next(company: Company) -> Json:
    """A good webhook after the bad ones: it is shown."""
    await company.post(company.message(1_000))

    async def shown() -> Json | None:
        rows = await company.conversations()
        return rows[0] if rows else None

    return await eventually(shown, limit=20)
