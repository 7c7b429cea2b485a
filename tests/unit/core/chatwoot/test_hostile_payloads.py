"""Payloads that are broken or hostile: a change or a PayloadError, whatever they hold; and what is
found and taken out before that.
"""

import json
import os
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.chatwoot.headings import read_address
from server.core.chatwoot.json_bodies import decode_json, strip_credentials
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Source
from server.errors import PayloadError
from tests.kit.webhook import encode_body, realistic_payload
from tests.unit.core.payloads import (
    CONVERSATIONS,
    MESSAGES,
    RECEIVED_US,
    documented,
)

_EXAMPLES = 14_000 if os.environ.get("OMNI_TEST_FULL") == "1" else 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b"\xff\xfe",
        b'{"event": NaN}',
        b'{"a": Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        "\ud800",
    ],
)
def test_what_is_no_json_is_refused(body: bytes | str) -> None:
    """Depth without end included."""
    with pytest.raises(PayloadError, match="no JSON"):
        parse_delivery(body, RECEIVED_US)


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"x"'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """JSON, but no delivery."""
    with pytest.raises(PayloadError, match="no JSON object"):
        parse_delivery(body, RECEIVED_US)


def test_lone_surrogates_are_replaced() -> None:
    """They have no UTF-8 and would stop every encoder behind us; keys too."""
    assert decode_json(b'{"a\\ud800": ["\\udfff", "x\\ud83d\\ude42"]}') == {
        "a\ufffd\ufffd\ufffd": ["\ufffd\ufffd\ufffd", "x🙂"]
    }
    body = (
        b'{"event": "message_created", "conversation": {"id": 5}, "message_type": 0, '
        b'"created_at": 1, "content": "a\\ud800b"}'
    )
    message = parse_delivery(body, RECEIVED_US).message
    assert message is not None
    message.content.encode()


def test_the_last_of_duplicate_keys_counts() -> None:
    """For what is stored and for whose secret is asked, alike."""
    body = (
        b'{"event": "conversation_created", "id": 5, "account": {"id": 1}, "account": {"id": '
        b'2}, "inbox_id": 1, "inbox_id": 2}'
    )
    change = parse_delivery(body, RECEIVED_US)
    assert read_address(body) == (change.account_id, change.inbox_id) == (2, 2)


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("place", ["content", "message_type", "labels", "event"])
def test_nesting_near_the_limit_is_refused_not_raised(place: str) -> None:
    """What the decoder just took may be too deep for writing it out again."""
    limit = sys.getrecursionlimit()
    payload = documented(event="conversation_created", id=5) if place == "labels" else documented()
    for depth in range(limit - 250, limit + 10, 3):
        body = encode_body(payload | {place: "DEEP"}).replace(b'"DEEP"', _nested(depth))
        try:
            parse_delivery(body, RECEIVED_US)
        except PayloadError:
            continue


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(
        ["open", "incoming", "2026-07-18T09:01:05Z", "https://x/y?z", "\x00", "‮", "-1", "1e400"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "deleted", "sender", "assignee"]) | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


FIELDS = [
    *(
        "event",
        "id",
        "account",
        "inbox",
        "inbox_id",
        "contact",
        "content",
        "content_type",
        "content_attributes",
        "created_at",
        "private",
    ),
    *(
        "message_type",
        "sender",
        "attachments",
        "conversation",
        "meta",
        "labels",
        "status",
        "updated_at",
        "waiting_since",
        "priority",
        "can_reply",
    ),
    *("contact_inbox", "messages", "channel"),
]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A good payload with some fields, at the top and in the conversation, replaced by anything."""
    payload = (
        realistic_payload(draw(st.sampled_from([*MESSAGES, *CONVERSATIONS])))
        if draw(st.booleans())
        else documented()
    )
    changes = draw(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=4))
    inner = draw(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=3))
    if isinstance(payload.get("conversation"), dict):
        payload["conversation"] |= inner
    return payload | changes


@settings(max_examples=_EXAMPLES)
@given(mutated())
def test_wrong_types_anywhere_are_a_change_or_a_payload_error(payload: dict[str, Any]) -> None:
    """Never anything else; and what is taken can be projected, read for its address, and
    written.
    """
    body = json.dumps(payload).encode()
    try:
        change = parse_delivery(body, RECEIVED_US)
    except PayloadError:
        return
    assert read_address(body) == (change.account_id, change.inbox_id)
    WorkingSet().apply(change, Source(3, 1), RECEIVED_US)


@settings(max_examples=_EXAMPLES)
@given(st.binary() | st.text() | JSON_VALUES.map(json.dumps))
def test_any_body_is_a_change_or_a_payload_error(body: bytes | str) -> None:
    """Bytes of any kind."""
    try:
        parse_delivery(body, RECEIVED_US)
    except PayloadError:
        return


@pytest.mark.parametrize("name", [*MESSAGES, *CONVERSATIONS])
def test_the_address_is_that_of_the_change(name: str) -> None:
    """Whose secret is asked and whose data is changed must be the same."""
    body = encode_body(realistic_payload(name))
    change = parse_delivery(body, RECEIVED_US)
    assert read_address(body) == (change.account_id, change.inbox_id)


def test_a_second_conversation_does_not_lead_astray() -> None:
    """A conversation event whose body also holds a `conversation` of another inbox is judged by the
    inbox it will change.
    """
    body = encode_body(
        realistic_payload(
            "conversation_created",
            {"conversation": {"id": 1, "inbox_id": 99, "account": {"id": 9}}},
        )
    )
    change = parse_delivery(body, RECEIVED_US)
    assert read_address(body) == (change.account_id, change.inbox_id)


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (b"[]", (None, None)),
        (b"5", (None, None)),
        (b'{"account": {"id": 1e400}}', (None, None)),
        (b'{"x": "\\ud800"}', (None, None)),
    ],
)
def test_json_without_an_address_has_none(
    body: bytes, address: tuple[int | None, int | None]
) -> None:
    """It is kept all the same."""
    assert read_address(body) == address


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"account": NaN}',
        b'{"account":' + b"[" * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_the_address_of_what_is_no_json_is_refused(body: bytes) -> None:
    """The sender is answered 400."""
    with pytest.raises(ValueError):  # noqa: PT011 - any
        read_address(body)


def test_the_credential_is_taken_out() -> None:
    """The contact's live websocket token is not ours to keep; all else stays to the byte."""
    payload = realistic_payload("message_created.incoming")
    stripped = json.loads(strip_credentials(encode_body(payload)))
    assert payload["conversation"]["contact_inbox"].pop("pubsub_token")
    assert stripped["conversation"]["contact_inbox"].pop("pubsub_token") == ""
    assert stripped == payload
    assert strip_credentials(b'{"a": 1}') == b'{"a": 1}'


@given(st.text(), st.text())
def test_stripping_leaves_valid_json(token: str, content: str) -> None:
    """Whatever stands in the token, or in a message that speaks of it."""
    said = f'"pubsub_token": "{content}"'
    stripped = json.loads(
        strip_credentials(json.dumps({"pubsub_token": token, "content": said}).encode())
    )
    assert stripped == {"pubsub_token": "", "content": said}
