"""What clients see of a row: told apart from what they do not, as cheaply as it is asked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from server.core.entities import (
    Conversation,
    Message,
    conversation_view,
    is_same_conversation_view,
    is_same_message_view,
    message_view,
)

CONVERSATION = Conversation(1, 1, "chatwoot", "chatwoot_1_2", "Ana", "Open", 1_784_365_265_204_111, 1_784_365_265_204_111, None)
MESSAGE = Message(1, 1, "customer", "text", 1_784_365_265_204_111)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.integers(1_784_365_265_204_000, 1_784_365_265_205_500))



@given(st.sampled_from([f.name for f in fields(Conversation)]), VALUES, VALUES)
def test_conversations_look_alike_exactly_where_their_views_are_equal(name: str, one: Any, other: Any) -> None:
    """Whichever field differs, also where it differs by less than a view shows."""
    if name.endswith("_us") and (isinstance(one, bool) or isinstance(other, bool)):
        return
    a, b = replace(CONVERSATION, **{name: one}), replace(CONVERSATION, **{name: other})
    assert is_same_conversation_view(a, b) == (conversation_view(a) == conversation_view(b))


@given(st.sampled_from([f.name for f in fields(Message)]), VALUES, VALUES)
def test_messages_look_alike_exactly_where_their_views_are_equal(name: str, one: Any, other: Any) -> None:
    """As for conversations."""
    if name.endswith("_us") and (isinstance(one, bool) or isinstance(other, bool)):
        return
    a, b = replace(MESSAGE, **{name: one}), replace(MESSAGE, **{name: other})
    assert is_same_message_view(a, b) == (message_view(a) == message_view(b))


@pytest.mark.parametrize("microseconds", [1, 888])
def test_less_than_a_millisecond_is_no_difference(microseconds: int) -> None:
    """Times are shown in milliseconds."""
    assert is_same_message_view(MESSAGE, replace(MESSAGE, created_us=1_784_365_265_204_111 + microseconds))
    assert not is_same_message_view(MESSAGE, replace(MESSAGE, created_us=1_784_365_265_204_111 + 889))
