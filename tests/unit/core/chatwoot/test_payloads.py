"""Chatwoot's real payload, and its REST objects: what each means as a change."""

import json
from typing import Any

import pytest

from server.core.chatwoot.changes import MessageState
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.chatwoot.message_payloads import CLIENT_ID_KEY, parse_message
from server.core.state.entities import Assignee, Contact
from server.core.times import SECOND, parse_time, parse_version
from server.errors import PayloadError
from tests.kit.webhook import PAYLOADS, realistic_payload
from tests.unit.core.payloads import (
    CONVERSATIONS,
    MESSAGES,
    documented,
    message_of,
    parse,
)

IGNORED = sorted(
    path.stem
    for pattern in ("contact_created*", "webwidget*")
    for path in PAYLOADS.glob(f"{pattern}.json")
)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_real_message_is_understood(name: str) -> None:
    """Its own top-level fields count, not those of `conversation.messages`."""
    payload = realistic_payload(name)
    change, message = parse(payload), message_of(payload)
    assert (change.account_id, change.inbox_id, change.conversation.display_id) == (3, 12, 481)
    assert (message.message_id, message.content) == (payload["id"], payload["content"] or "")
    assert message.created_us == parse_time(payload["created_at"])
    assert message.is_private is payload["private"]
    assert message.is_update is name.startswith("message_updated")
    told_at = payload["conversation"]["updated_at"]
    assert change.conversation.version_us == parse_version(told_at)
    assert message.version_us == parse_time(told_at)
    assert change.conversation.contact == Contact(
        9071, "lea.moreau@example.org", "+33612345678", "crm-55012"
    )
    assert change.conversation.contact_name == "Léa Moreau"


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_real_conversation_is_understood(name: str) -> None:
    """It stands at the top level, and every event of it carries the whole state."""
    payload = realistic_payload(name)
    change = parse(payload)
    assert (change.account_id, change.inbox_id, change.message) == (3, 12, None)
    state = change.conversation
    assert (state.display_id, state.status, state.channel, state.can_reply) == (
        481,
        payload["status"],
        "Channel::WebWidget",
        True,
    )
    assert state.labels == tuple(payload["labels"])
    assert change.at_us == state.version_us == parse_version(payload["updated_at"])


def test_an_assignee_is_read() -> None:
    """From `meta`, with a number and a name."""
    assignee = realistic_payload("conversation_updated.assignee")["meta"]["assignee"]
    assert parse(
        realistic_payload("conversation_updated.assignee")
    ).conversation.assignee == Assignee(assignee["id"], assignee["name"])


@pytest.mark.parametrize("name", IGNORED)
def test_events_not_used_here_are_ignored(name: str) -> None:
    """Kept in the journal with their name as the reason."""
    with pytest.raises(PayloadError, match="event not used here") as refused:
        parse(realistic_payload(name))
    assert refused.value.outcome == "ignored"


def test_a_customer_s_typing_is_understood() -> None:
    """Where and whether it began; nothing of it is state."""
    change = parse(realistic_payload("conversation_typing_on.contact"))
    assert (
        change.typing,
        change.message,
        change.conversation.display_id,
        change.account_id,
        change.inbox_id,
    ) == (True, None, 481, 3, 12)
    ended = parse(
        realistic_payload("conversation_typing_on.contact", {"event": "conversation_typing_off"})
    )
    assert ended.typing is False


def test_an_agent_s_typing_in_chatwoot_has_a_name() -> None:
    change = parse(realistic_payload("conversation_typing_off.agent"))
    assert (change.typing, change.typist, change.conversation.display_id) == (
        False,
        "Tomas Berg",
        481,
    )
    assert parse(realistic_payload("conversation_typing_on.contact")).typist is None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("conversation_typing_on.contact", {"is_private": True}),
        ("conversation_typing_off.agent", {"user": {"type": "agent_bot"}}),
        ("conversation_typing_off.agent", {"user": {"name": None}}),
        ("conversation_typing_off.agent", {"user": {"name": 7, "type": ["user"]}}),
    ],
)
def test_nobody_s_typing_is_ignored(name: str, changes: dict[str, Any]) -> None:
    """A bot's, one without a name, and what no customer can do."""
    with pytest.raises(PayloadError, match="only typing of people is shown") as refused:
        parse(realistic_payload(name, changes))
    assert refused.value.outcome == "ignored"


def test_a_deletion_is_seen() -> None:
    """It comes as an update with a mark."""
    assert message_of(realistic_payload("message_updated.deleted")).is_deleted


def test_an_attachment_is_seen_whole() -> None:
    """With content null, which becomes an empty text."""
    message = message_of(realistic_payload("message_created.incoming_attachment"))
    (attachment,) = message.attachments
    raw = realistic_payload("message_created.incoming_attachment")["attachments"][0]
    assert message.content == ""
    assert (attachment.id, attachment.type, attachment.url, attachment.size_bytes) == (
        raw["id"],
        raw["file_type"],
        raw["data_url"],
        raw["file_size"],
    )
    assert attachment.name == raw["data_url"].rsplit("/", 1)[-1]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "//evil",
        "ftp://x",
        5,
        None,
        ["https://x"],
    ],
)
def test_an_attachment_links_only_to_the_web(url: object) -> None:
    """Anything else would run in the agent's page."""
    (attachment,) = message_of(
        documented(attachments=[{"data_url": url, "thumb_url": url}])
    ).attachments
    assert (attachment.url, attachment.thumb_url, attachment.type, attachment.name) == (
        None,
        None,
        "file",
        None,
    )


@pytest.mark.parametrize("attachments", [None, {}, "x", [], ["x", 5, None]])
def test_attachments_of_a_wrong_kind_are_none(attachments: object) -> None:
    """The message itself is good."""
    assert message_of(documented(attachments=attachments)).attachments == ()


def test_marker_and_channel_error_are_read() -> None:
    """Both stand in `content_attributes`."""
    message = message_of(
        documented(content_attributes={CLIENT_ID_KEY: "key-1", "external_error": "no such number"})
    )
    assert (message.client_id, message.error) == ("key-1", "no such number")


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, ""), ("", ""), (5, "5"), (["a", {"b": "é"}], '["a", {"b": "é"}]'), (True, "true")],
)
def test_content_is_always_text(content: object, text: str) -> None:
    """Whatever a sender put there."""
    assert message_of(documented(content=content)).content == text


CONTENTS = [
    "نعم ‮hidden‬ \u2066x\u2069",
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈",
    "ক্ষ্ম র‍্য স্ত্রী",
    "a\x00b\x1f\x7f",
    "<script>alert('&amp;')</script>",
    "line\r\nbreak\u2028\u2029",
    "é" * 150_000,
]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_content_is_kept_as_written(content: str) -> None:
    """Directions, joiners, conjuncts, control characters, markup, length: not ours to change."""
    assert (
        message_of(realistic_payload("message_created.incoming", {"content": content})).content
        == content
    )


def test_rest_messages_carry_when_they_were_asked_for() -> None:
    """Numbers for types and times, and the clock of the question."""
    item = {
        "id": 5,
        "message_type": 1,
        "created_at": 1_700_000_000,
        "content": "x",
        "private": False,
    }
    message = parse_message(item, asked_us=7)
    assert message == MessageState("agent", "x", 1_700_000_000 * SECOND, message_id=5, asked_us=7)
    assert parse_message(item | {"message_type": 2}) is None


def test_a_rest_conversation_has_its_channel_in_meta() -> None:
    """The two forms differ in small ways."""
    state = parse_conversation(
        {
            "id": 5,
            "meta": {"channel": "Channel::Api", "sender": {"id": 7, "name": "A"}},
            "labels": "x",
            "can_reply": 1,
            "status": "new",
        }
    )
    assert (state.channel, state.contact, state.labels, state.can_reply, state.status) == (
        "Channel::Api",
        Contact(7),
        None,
        None,
        None,
    )


def test_labels_fit_their_column() -> None:
    """A TEXT holds 65,535 bytes, and one delivery must not stop its whole batch."""
    state = parse_conversation({"id": 5, "labels": ["🙂" * 300] * 1000})
    assert len(json.dumps(state.labels, ensure_ascii=False).encode()) < 65_535
