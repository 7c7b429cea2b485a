"""What clients see of a row: told apart from what they do not, as cheaply as it is asked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from server.core.state.entities import Attachment, Contact, Conversation, DeliveryError, Message
from server.core.state.marks import Marks, Team
from server.core.state.message_details import MessageDetails
from server.core.state.previews import RowPreview, UnsentReply
from server.core.state.views import (
    conversation_view,
    is_same_conversation_view,
    is_same_message_view,
    message_view,
)

CONVERSATION = Conversation(
    1,
    1,
    "chatwoot",
    "chatwoot_1_2",
    "Ana",
    "Open",
    1_784_365_265_204_111,
    1_784_365_265_204_111,
    None,
)
MESSAGE = Message(1, 1, "customer", "text", 1_784_365_265_204_111)
MOMENTS = st.one_of(
    st.none(),
    st.integers(1_784_365_265_204_000, 1_784_365_265_205_500),
    st.integers(0, 10**5).map(lambda n: n * 10**10),
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "channel": st.sampled_from(
        [None, "Channel::FacebookPage", "Channel::Whatsapp", "Channel::WebWidget"]
    ),
    "can_reply": st.sampled_from([None, True, False]),
    "chatwoot_version": st.integers(0, 2 * 10**15),
    "chatwoot_status": st.sampled_from(["open", "snoozed", "resolved"]),
    "contact": st.sampled_from([None, Contact(1), Contact(1, email="a@b.example")]),
    "preview": st.none()
    | st.builds(
        RowPreview,
        content=st.sampled_from(["a", "b"]),
        sender_type=st.just("agent"),
        at_us=MOMENTS,
        number=st.integers(0, 1),
        rank=st.integers(0, 3),
        unsent=st.none()
        | st.builds(UnsentReply, st.integers(1, 2), MOMENTS, st.sampled_from(["channel", "x"])),
    ),
    "marks": st.builds(
        Marks,
        snoozed_until_us=MOMENTS,
        team=st.sampled_from([None, Team(1, "a"), Team(1, "b")]),
        is_blocked=st.booleans(),
        given_email=st.sampled_from([None, "c@d.example"]),
    ),
}

OF_MESSAGES: dict[str, st.SearchStrategy[Any]] = {
    "content": st.sampled_from(["", "a", "b"]),
    "content_type": st.sampled_from([None, "text", "form", "other"]),
    "attachments": st.sampled_from([(), (Attachment(1, "image"),), (Attachment(1, "location"),)]),
    "details": st.sampled_from(
        [None, MessageDetails(sender_kind="bot"), MessageDetails(previous_content="a")]
    ),
    "delivery_error": st.sampled_from(
        [None, *(DeliveryError("channel", text) for text in ("", "a", "190 - no", "190 - gone"))]
    ),
}


def _pairs(
    kind: type[Conversation] | type[Message],
) -> st.SearchStrategy[tuple[dict[str, Any], dict[str, Any]]]:
    """What two rows have in up to three fields, the same or not."""

    def values(name: str) -> st.SearchStrategy[Any]:
        known = KINDS | OF_MESSAGES
        return known.get(name, MOMENTS if name.endswith("_us") else st.integers(0, 3))

    names = st.lists(
        st.sampled_from([f.name for f in fields(kind)]), min_size=1, max_size=3, unique=True
    )
    return names.flatmap(
        lambda chosen: st.tuples(
            *(st.fixed_dictionaries({name: values(name) for name in chosen}) for _ in range(2))
        )
    )


@given(_pairs(Conversation), st.fixed_dictionaries(KINDS | {"last_inbound_us": MOMENTS}))
def test_conversations_look_alike_exactly_where_their_views_are_equal(
    pair: tuple[dict[str, Any], dict[str, Any]], both: Any
) -> None:
    """Whichever field differs, also where it differs by less than a view shows."""
    a, b = (replace(CONVERSATION, **both | given_fields) for given_fields in pair)
    assert is_same_conversation_view(a, b) == (conversation_view(a) == conversation_view(b))


@given(_pairs(Message))
def test_messages_look_alike_exactly_where_their_views_are_equal(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """As for conversations."""
    a, b = (replace(MESSAGE, **given_fields) for given_fields in pair)
    assert is_same_message_view(a, b) == (message_view(a) == message_view(b))


@pytest.mark.parametrize("microseconds", [1, 888])
def test_less_than_a_millisecond_is_no_difference(microseconds: int) -> None:
    """Times are shown in milliseconds."""
    assert is_same_message_view(
        MESSAGE, replace(MESSAGE, created_us=1_784_365_265_204_111 + microseconds)
    )
    assert not is_same_message_view(
        MESSAGE, replace(MESSAGE, created_us=1_784_365_265_204_111 + 889)
    )
