"""What the recorded frames of the agents' socket mean, beside the webhooks that were recorded in
the same minutes.
"""

import json
from typing import Any

import pytest

from server.core.chatwoot.cable_frames import News, news_of, read_frame
from server.core.chatwoot.changes import Change
from server.core.chatwoot.payloads import parse_delivery
from server.core.times import SECOND
from server.errors import PayloadError
from tests.kit.recorded import read_lines

ACCOUNT = 1
Json = dict[str, Any]


def frame(message: object) -> bytes:
    return json.dumps({"identifier": "the token of whoever listens", "message": message}).encode()


def news(message: Json, account_id: int = ACCOUNT) -> News | None:
    kind, read = read_frame(frame(message))
    assert kind == ""
    return news_of(read, account_id)


def recorded() -> list[tuple[str, News]]:
    found = [
        one["frame"]["message"] for one in read_lines("socket/frames") if "message" in one["frame"]
    ]
    return [(message["event"], told) for message in found if (told := news(message)) is not None]


def parsed(body: str) -> Change:
    return parse_delivery(body, 1_795_846_700 * SECOND)


def test_every_recorded_frame_is_understood_or_means_nothing() -> None:
    kinds = [event for event, _ in recorded()]
    assert set(kinds) == {
        *("message.created", "message.updated", "conversation.created", "conversation.updated"),
        *(
            "conversation.status_changed",
            "conversation.contact_changed",
            "conversation.read",
            "assignee.changed",
        ),
        *("team.changed", "conversation.typing_on", "conversation.typing_off"),
        *("contact.updated", "contact.merged", "contact.deleted"),
    }
    for _, told in recorded():
        assert 'pubsub_token":"invented' not in told.body
        assert "the token of whoever listens" not in told.body
        if told.event != "contact_deleted" and not _is_colleagues_typing(told):
            parsed(told.body)


def test_a_message_means_the_same_by_both_sources() -> None:
    """Number, text, sender, moment and privacy; what differs is that the socket tells the message's
    own version.
    """
    by_webhook = {}
    for one in read_lines("socket/deliveries"):
        body = json.loads(one["body"])
        if body["event"] == "message_created":
            by_webhook[body["id"]] = parsed(one["body"])
    heard = {}
    for _, told in recorded():
        if told.event == "message_created":
            change = parsed(told.body)
            assert change.message is not None
            heard[change.message.message_id] = change
    both = heard.keys() & by_webhook.keys()
    assert len(both) >= 7
    for number in both:
        mine, theirs = heard[number], by_webhook[number]
        assert mine.message is not None
        assert theirs.message is not None
        for name in (
            "content",
            "sender_type",
            "sender_name",
            "created_us",
            "is_private",
            "content_type",
            "attachments",
            "client_id",
        ):
            assert getattr(mine.message, name) == getattr(theirs.message, name), name
        assert (mine.account_id, mine.inbox_id) == (theirs.account_id, theirs.inbox_id)
        assert mine.conversation.display_id == theirs.conversation.display_id
        assert mine.conversation.version_us == 0
        assert mine.conversation.is_silent


def test_a_conversation_means_the_same_by_both_sources() -> None:
    by_webhook = {}
    for one in read_lines("socket/deliveries"):
        event = json.loads(one["body"])["event"]
        if event.startswith("conversation_") and "typing" not in event:
            state = parsed(one["body"]).conversation
            by_webhook[state.display_id, state.version_us] = state
    heard = {}
    for event, told in recorded():
        if event in ("conversation.created", "conversation.updated", "conversation.status_changed"):
            state = parsed(told.body).conversation
            heard[state.display_id, state.version_us] = state
    both = heard.keys() & by_webhook.keys()
    assert len(both) >= 8
    for key in both:
        mine, theirs = heard[key], by_webhook[key]
        for name in (
            "contact",
            "contact_name",
            "status",
            "channel",
            "assignee",
            "priority",
            "created_us",
            "can_reply",
        ):
            assert getattr(mine, name) == getattr(theirs, name), name


def test_the_customer_s_look_is_no_agent_s() -> None:
    """`conversation.read`: the customer has seen it, while two of their messages were unread for
    every agent, as they say.
    """
    [read] = [parsed(told.body) for event, told in recorded() if event == "conversation.read"]
    told = read.conversation
    assert (told.display_id, told.contact_seen_us, told.agents_seen_us, told.unread) == (
        30,
        1_795_846_690 * SECOND,
        None,
        2,
    )


def test_an_agent_s_look_is_a_line_with_a_number() -> None:
    """This Chatwoot writes "viewed by" into the conversation: no message, but nothing is unread as
    of its moment.
    """
    [look] = [
        parsed(told.body)
        for event, told in recorded()
        if event == "message.created" and told.event == "conversation_read"
    ]
    assert (look.message, look.conversation.display_id, look.conversation.unread) == (None, 30, 0)
    assert look.conversation.as_of_us == 1_795_846_691_327_000


def test_a_message_tells_how_many_are_unread() -> None:
    numbers = {
        (one.conversation.unread, one.conversation.as_of_us >= one.message.created_us)
        for event, told in recorded()
        if event == "message.created" and (one := parsed(told.body)).message is not None
    }
    assert numbers == {(1, True), (2, True)}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"message": 3}',
        b'{"message": {"event": 3, "data": {}}}',
        b'{"message": {"event": "message.created", "data": []}}',
        b'{"type": "unheard of"}',
        b"[" * 100_000,
        b'{"message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_frame_is_refused(text: bytes) -> None:
    with pytest.raises(PayloadError):
        read_frame(text)


@pytest.mark.parametrize("account_id", [2, None, "1", True, 1.0, 2**70, [1]])
def test_a_frame_of_another_account_is_refused(account_id: object) -> None:
    data = {
        "id": 5,
        "inbox_id": 1,
        "conversation_id": 3,
        "message_type": 0,
        "content": "x",
        "created_at": 5,
        "account_id": account_id,
    }
    with pytest.raises(PayloadError):
        news({"event": "message.created", "data": data})


def test_what_means_nothing_here_is_passed_over() -> None:
    for event in (
        "presence.update",
        "notification.created",
        "account.cache_invalidated",
        "contact.created",
        "unheard.of",
    ):
        assert news({"event": event, "data": {"account_id": ACCOUNT}}) is None
    line = {
        "account_id": ACCOUNT,
        "inbox_id": 1,
        "message_type": 2,
        "content": "Assigned to Bo",
        "conversation_id": 3,
    }
    assert news({"event": "message.created", "data": line}) is None


def _is_colleagues_typing(told: News) -> bool:
    return "typing" in told.event and json.loads(told.body)["user"]["type"] == "user"
