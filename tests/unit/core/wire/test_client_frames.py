"""What clients say: known messages typed, newer ones ignored, broken ones refused with ValueError
and nothing else.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.wire.client_frames import (
    Auth,
    Hello,
    Pong,
    Unknown,
    encode_message,
    encode_ping,
    frame_budget,
    parse_client_message,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"type": "hello"}', Hello()),
        (
            (
                b'{"type": "hello", "token": "t", "cursor": "e.5", "client": "c", "visible": '
                b"false, "
                b'"version": 2, "new": []}'
            ),
            Hello("t", "e.5", "c", False, 2),
        ),
        (b'{"type": "hello", "cursor": null}', Hello()),
        (b'{"cursor": "e.5", "id": 7, "type": "pong"}', Pong(7, "e.5")),
        (b'{"type": "pong"}', Pong()),
        (b'{"type": "auth", "token": "t"}', Auth("t")),
        (b'{"type": "pong", "id": 1, "id": 2}', Pong(2)),
    ],
)
def test_known_messages_are_typed(text: bytes, message: object) -> None:
    """Unknown fields are ignored, missing ones have defaults."""
    assert parse_client_message(text) == message


@pytest.mark.parametrize(
    "text",
    [
        b'{"type": "waving", "conversationId": 1, "on": true}',
        b'{"type": "hello2", "token": 5}',
        b'{"type": ""}',
    ],
)
def test_unknown_types_are_ignored(text: bytes) -> None:
    """A newer client may say more than we know."""
    assert parse_client_message(text) == Unknown()


@pytest.mark.parametrize(
    "text",
    [
        b'{"type": "hello", "cursor": 5}',
        b'{"type": "hello", "visible": "yes"}',
        b'{"type": "auth"}',
        b'{"type": "auth", "token": null}',
        b'{"type": "pong", "id": "1"}',
        b'{"type": "pong", "id": 1e400}',
        b'{"type": 5}',
        b'{"token": "t"}',
        b"[]",
        b"5",
        b"null",
        b"",
        b"{",
        b'{"type": "hello", "token": NaN}',
        b'{"type": "hello", "token": "\\ud800"}',
        b'{"type": "hello", "token": "\xff"}',
        b'{"type": "other", "x": "\xff"}',
        b"[" * 100_000,
        b'{"type": "hello", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type": "other", "x": ' + b'{"a":' * 100_000,
    ],
)
def test_broken_messages_are_refused(text: bytes) -> None:
    """Wrong kinds, no JSON, hostile depth: one kind of error."""
    with pytest.raises(ValueError):  # noqa: PT011 - its text is for the close frame
        parse_client_message(text)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda j: st.lists(j) | st.dictionaries(st.text(), j),
    ).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_a_message_or_a_value_error(text: bytes) -> None:
    """No traceback for whatever a client sends."""
    try:
        parse_client_message(text)
    except ValueError:
        return


def test_server_messages_carry_type_and_fields() -> None:
    """Nulls are written: an absent field and a null one are not the same to a client."""
    assert json.loads(encode_message("error", code="x", retryMs=None)) == {
        "type": "error",
        "code": "x",
        "retryMs": None,
    }
    assert json.loads(encode_ping(3, "e.5", 1_784_365_260_000_000)) == {
        "type": "ping",
        "id": 3,
        "cursor": "e.5",
        "now": "2026-07-18T09:01:00.000Z",
    }


def test_a_flood_is_over_its_budget() -> None:
    """A page's traffic passes, ten thousand frames at once do not."""
    budget = frame_budget(0.0)
    assert sum(budget.try_take(0.0) for _ in range(10_000)) == 60
