"""Chatwoot's JSON: the real payload, the documented simple one and every mixture are understood; all else is refused with a reason."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.changes import Change, MessageState
from server.core.entities import Assignee, Contact
from server.core.payloads import (
    CLIENT_ID_KEY,
    decode_json,
    parse_conversation,
    parse_delivery,
    parse_message,
    read_address,
    strip_credentials,
)
from server.core.projection import Board, Source
from server.core.times import SECOND, parse_time
from server.errors import PayloadError
from tests.kit.webhook import PAYLOADS, encode_body, realistic_payload, simple_payload

RECEIVED_US = 1_784_365_900 * SECOND
MESSAGES = sorted(path.stem for path in PAYLOADS.glob("message_*.json"))
CONVERSATIONS = sorted(path.stem for path in PAYLOADS.glob("conversation_[!t]*.json"))
IGNORED = sorted(path.stem for pattern in ("contact_*", "webwidget*") for path in PAYLOADS.glob(f"{pattern}.json"))


def _parse(payload: Any) -> Change:
    return parse_delivery(encode_body(payload), RECEIVED_US)


def _message(payload: Any) -> MessageState:
    message = _parse(payload).message
    assert message is not None
    return message


# -- the documented simple payload -------------------------------------------------------------------------------------


def _documented(**changes: Any) -> dict[str, Any]:
    payload = simple_payload(conversation_id=67890, contact_id=111, name="John Doe", identifier="john-1", created_at=1_700_000_000)
    return payload | changes


def test_the_simple_payload_makes_the_documented_row() -> None:
    """`chatwoot_111_67890`, Open, named John Doe, with a customer's message of that second."""
    board = Board()
    board.apply(_parse(_documented()), Source(3, 1), RECEIVED_US)
    (entry,) = board.entries.values()
    row, message = entry.row, entry.messages[0].row
    assert (row.external_user_id, row.external_user_name, row.status) == ("chatwoot_111_67890", "John Doe", "Open")
    assert (message.sender_type, message.content, message.created_us) == ("customer", "Hello", 1_700_000_000 * SECOND)
    assert row.last_message_us == message.created_us


def test_the_simple_payload_tells_the_contact() -> None:
    """Its identifier is kept beside the number, which stands in `contact_inbox` as well."""
    assert _parse(_documented()).conversation.contact == Contact(id=111, identifier="john-1")


@pytest.mark.parametrize("name", [None, "", "  "])
def test_without_a_name_the_identifier_stands(name: str | None) -> None:
    """The page must show something."""
    payload = _documented(contact={"id": 111, "name": name, "identifier": "john-1"})
    assert _parse(payload).conversation.contact_name == "john-1"


@pytest.mark.parametrize(
    ("contact", "name"), [({"email": "a@b.c"}, "a@b.c"), ({"phone_number": "+33"}, "+33"), ({"identifier": 55}, "55"), ({}, None)]
)
def test_then_the_address_or_the_number(contact: dict[str, Any], name: str | None) -> None:
    """Whatever is there, in this order; the old documentation shows identifiers as numbers."""
    assert _parse(_documented(contact=contact)).conversation.contact_name == name


@pytest.mark.parametrize(
    ("kind", "sender_type"),
    [
        *((kind, "customer") for kind in (0, "0", "incoming")),
        *((kind, "agent") for kind in (1, "1", "outgoing", 3, "3", "template")),
    ],
)
def test_the_sender_follows_the_message_type(kind: int | str, sender_type: str) -> None:
    """Numbers and words mean the same; templates speak for the company."""
    assert _message(_documented(message_type=kind)).sender_type == sender_type


@pytest.mark.parametrize("kind", [2, "2", "activity"])
def test_activity_lines_are_ignored(kind: int | str) -> None:
    """Nobody said them."""
    with pytest.raises(PayloadError) as refused:
        _parse(_documented(message_type=kind))
    assert refused.value.outcome == "ignored"


@pytest.mark.parametrize("kind", [None, True, False, 4, -1, "", "Incoming", 0.5, [], {}, [0]])
def test_an_unknown_message_type_is_dead(kind: object) -> None:
    """Guessing who spoke would put words into someone's mouth."""
    with pytest.raises(PayloadError, match="unknown message_type") as refused:
        _parse(_documented(message_type=kind))
    assert refused.value.outcome == "dead"


def test_a_missing_time_is_the_time_of_arrival() -> None:
    """A wrong one is refused: it would put the message anywhere."""
    assert _message(_documented(created_at=None)).created_us == RECEIVED_US
    with pytest.raises(PayloadError, match="created_at"):
        _parse(_documented(created_at="yesterday"))


@pytest.mark.parametrize("created_at", [1_700_000_000, 1_700_000_000.0, "1700000000", "2023-11-14T22:13:20Z", "2023-11-14 22:13:20 UTC"])
def test_every_form_of_time_is_taken(created_at: object) -> None:
    """In the simple payload and in the real one."""
    assert _message(_documented(created_at=created_at)).created_us == 1_700_000_000 * SECOND


# -- the real payload, and mixtures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
def test_a_real_message_is_understood(name: str) -> None:
    """Its own top-level fields count, not those of `conversation.messages`."""
    payload = realistic_payload(name)
    change, message = _parse(payload), _message(payload)
    assert (change.account_id, change.inbox_id, change.conversation.display_id) == (3, 12, 481)
    assert (message.message_id, message.content) == (payload["id"], payload["content"] or "")
    assert message.created_us == parse_time(payload["created_at"])
    assert message.is_private is payload["private"]
    assert message.is_update is name.startswith("message_updated")
    assert message.version_us == change.conversation.version_us == parse_time(payload["conversation"]["updated_at"])
    assert change.conversation.contact == Contact(9071, "lea.moreau@example.org", "+33612345678", "crm-55012")
    assert change.conversation.contact_name == "Léa Moreau"


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_real_conversation_is_understood(name: str) -> None:
    """It stands at the top level, and every event of it carries the whole state."""
    payload = realistic_payload(name)
    change = _parse(payload)
    assert (change.account_id, change.inbox_id, change.message) == (3, 12, None)
    state = change.conversation
    assert (state.display_id, state.status, state.channel, state.can_reply) == (481, payload["status"], "Channel::WebWidget", True)
    assert state.labels == tuple(payload["labels"])
    assert change.at_us == state.version_us == parse_time(payload["updated_at"])


def test_an_assignee_is_read() -> None:
    """From `meta`, with a number and a name."""
    assignee = realistic_payload("conversation_updated.assignee")["meta"]["assignee"]
    assert _parse(realistic_payload("conversation_updated.assignee")).conversation.assignee == Assignee(assignee["id"], assignee["name"])


@pytest.mark.parametrize("name", IGNORED)
def test_events_not_used_here_are_ignored(name: str) -> None:
    """Kept in the journal with their name as the reason."""
    with pytest.raises(PayloadError, match="event not used here") as refused:
        _parse(realistic_payload(name))
    assert refused.value.outcome == "ignored"


def test_a_customer_s_typing_is_understood() -> None:
    """Where and whether it began; nothing of it is state."""
    change = _parse(realistic_payload("conversation_typing_on.contact"))
    assert (change.typing, change.message, change.conversation.display_id, change.account_id, change.inbox_id) == (True, None, 481, 3, 12)
    ended = _parse(realistic_payload("conversation_typing_on.contact", {"event": "conversation_typing_off"}))
    assert ended.typing is False


@pytest.mark.parametrize(
    ("name", "changes"), [("conversation_typing_off.agent", {}), ("conversation_typing_on.contact", {"is_private": True})]
)
def test_an_agent_s_typing_is_ignored(name: str, changes: dict[str, Any]) -> None:
    """In Chatwoot, or ours come back."""
    with pytest.raises(PayloadError, match="only a customer's typing is shown") as refused:
        _parse(realistic_payload(name, changes))
    assert refused.value.outcome == "ignored"


def test_a_deletion_is_seen() -> None:
    """It comes as an update with a mark."""
    assert _message(realistic_payload("message_updated.deleted")).is_deleted


def test_an_attachment_is_seen_whole() -> None:
    """With content null, which becomes an empty text."""
    message = _message(realistic_payload("message_created.incoming_attachment"))
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
    "url", ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//evil", "ftp://x", 5, None, ["https://x"]]
)
def test_an_attachment_links_only_to_the_web(url: object) -> None:
    """Anything else would run in the agent's page."""
    (attachment,) = _message(_documented(attachments=[{"data_url": url, "thumb_url": url}])).attachments
    assert (attachment.url, attachment.thumb_url, attachment.type, attachment.name) == (None, None, "file", None)


@pytest.mark.parametrize("attachments", [None, {}, "x", [], ["x", 5, None]])
def test_attachments_of_a_wrong_kind_are_none(attachments: object) -> None:
    """The message itself is good."""
    assert _message(_documented(attachments=attachments)).attachments == ()


def test_marker_and_channel_error_are_read() -> None:
    """Both stand in `content_attributes`."""
    message = _message(_documented(content_attributes={CLIENT_ID_KEY: "key-1", "external_error": "no such number"}))
    assert (message.client_id, message.error) == ("key-1", "no such number")


@pytest.mark.parametrize(("content", "text"), [(None, ""), ("", ""), (5, "5"), (["a", {"b": "é"}], '["a", {"b": "é"}]'), (True, "true")])
def test_content_is_always_text(content: object, text: str) -> None:
    """Whatever a sender put there."""
    assert _message(_documented(content=content)).content == text


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
    assert _message(realistic_payload("message_created.incoming", {"content": content})).content == content


def test_a_real_payload_with_the_old_contact_is_one() -> None:
    """`conversation.meta.sender` wins; the top-level contact fills what is missing."""
    real = realistic_payload("message_created.incoming", {"contact": {"id": 5, "name": "Old", "identifier": "old"}})
    assert _parse(real).conversation.contact_name == "Léa Moreau"
    assert _parse(real).conversation.contact == Contact(9071, "lea.moreau@example.org", "+33612345678", "crm-55012")
    real["conversation"]["meta"]["sender"] = {}
    assert _parse(real).conversation.contact == Contact(9071, identifier="old")
    real["conversation"]["contact_inbox"] = None
    assert _parse(real).conversation.contact == Contact(5, identifier="old")


def test_without_any_contact_the_sender_names_the_customer() -> None:
    """But an agent's name is never the customer's."""
    payload = _documented(contact=None, sender={"name": "Ann"})
    assert _parse(payload).conversation.contact_name == "Ann"
    assert _parse(payload | {"message_type": 1}).conversation.contact_name is None
    assert _parse(payload | {"conversation": {"id": 5}}).conversation.contact is None


@pytest.mark.parametrize(
    "changes",
    [
        {"account": None, "conversation": {"account": {"id": 3}}},
        {"account": {}, "conversation": {"messages": [{"account_id": 3}]}},
        {"account": {"id": "3"}},
    ],
)
def test_the_account_is_found_wherever_it_stands(changes: dict[str, Any]) -> None:
    """At the top, in the conversation, in the nested message; as a number or as digits."""
    assert _parse(realistic_payload("message_created.incoming", changes)).account_id == 3


@pytest.mark.parametrize(
    "changes",
    [{"inbox": None}, {"inbox": None, "conversation": {"inbox_id": None}}, {"inbox": {"id": "12"}, "conversation": {"inbox_id": 99}}],
)
def test_the_inbox_is_found_wherever_it_stands(changes: dict[str, Any]) -> None:
    """At the top, in the conversation, in its contact inbox."""
    assert _parse(realistic_payload("message_created.incoming", changes)).inbox_id == 12


@pytest.mark.parametrize(
    "conversation", [None, {}, {"id": 0}, {"id": -1}, {"id": True}, {"id": 1.5}, {"id": 2**63}, {"id": "x"}, {"id": "1" * 20}, []]
)
def test_without_a_conversation_number_it_is_dead(conversation: object) -> None:
    """There is nothing to hang it on."""
    with pytest.raises(PayloadError, match="no conversation id") as refused:
        _parse(_documented(conversation=conversation))
    assert refused.value.outcome == "dead"


@pytest.mark.parametrize("event", [None, "", 5, [], {}])
def test_without_an_event_name_it_is_dead(event: object) -> None:
    """Someone else's webhook, pointed at us."""
    with pytest.raises(PayloadError, match="no event name"):
        _parse(_documented(event=event))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"hello", b"\xff\xfe", b'{"event": NaN}', b'{"a": Infinity}', b"[" * 100_000, b'{"a":' * 100_000, "\ud800"]
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


def test_rest_messages_carry_when_they_were_asked_for() -> None:
    """Numbers for types and times, and the clock of the question."""
    item = {"id": 5, "message_type": 1, "created_at": 1_700_000_000, "content": "x", "private": False}
    message = parse_message(item, asked_us=7)
    assert message == MessageState("agent", "x", 1_700_000_000 * SECOND, message_id=5, asked_us=7)
    assert parse_message(item | {"message_type": 2}) is None


def test_a_rest_conversation_has_its_channel_in_meta() -> None:
    """The two forms differ in small ways."""
    state = parse_conversation(
        {"id": 5, "meta": {"channel": "Channel::Api", "sender": {"id": 7, "name": "A"}}, "labels": "x", "can_reply": 1, "status": "new"}
    )
    assert (state.channel, state.contact, state.labels, state.can_reply, state.status) == ("Channel::Api", Contact(7), None, None, None)


def test_labels_fit_their_column() -> None:
    """A TEXT holds 65,535 bytes, and one delivery must not stop its whole batch."""
    state = parse_conversation({"id": 5, "labels": ["🙂" * 300] * 1000})
    assert len(json.dumps(state.labels, ensure_ascii=False).encode()) < 65_535


# -- hostile JSON ------------------------------------------------------------------------------------------------------


def test_lone_surrogates_are_replaced() -> None:
    """They have no UTF-8 and would stop every encoder behind us; keys too."""
    assert decode_json(b'{"a\\ud800": ["\\udfff", "x\\ud83d\\ude42"]}') == {"a\ufffd\ufffd\ufffd": ["\ufffd\ufffd\ufffd", "x🙂"]}
    body = b'{"event": "message_created", "conversation": {"id": 5}, "message_type": 0, "created_at": 1, "content": "a\\ud800b"}'
    message = parse_delivery(body, RECEIVED_US).message
    assert message is not None
    message.content.encode()


def test_the_last_of_duplicate_keys_counts() -> None:
    """For what is stored and for whose secret is asked, alike."""
    body = b'{"event": "conversation_created", "id": 5, "account": {"id": 1}, "account": {"id": 2}, "inbox_id": 1, "inbox_id": 2}'
    change = parse_delivery(body, RECEIVED_US)
    assert read_address(body) == (change.account_id, change.inbox_id) == (2, 2)


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("place", ["content", "message_type", "labels", "event"])
def test_nesting_near_the_limit_is_refused_not_raised(place: str) -> None:
    """What the decoder just took may be too deep for writing it out again."""
    limit = sys.getrecursionlimit()
    payload = _documented(event="conversation_created", id=5) if place == "labels" else _documented()
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
    | st.sampled_from(["open", "incoming", "2026-07-18T09:01:05Z", "https://x/y?z", "\x00", "‮", "-1", "1e400"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "deleted", "sender", "assignee"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    *("event", "id", "account", "inbox", "inbox_id", "contact", "content", "content_type", "content_attributes", "created_at", "private"),
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
    payload = realistic_payload(draw(st.sampled_from([*MESSAGES, *CONVERSATIONS]))) if draw(st.booleans()) else _documented()
    changes = draw(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=4))
    inner = draw(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=3))
    if isinstance(payload.get("conversation"), dict):
        payload["conversation"] |= inner
    return payload | changes


@settings(max_examples=400)
@given(mutated())
def test_wrong_types_anywhere_are_a_change_or_a_payload_error(payload: dict[str, Any]) -> None:
    """Never anything else; and what is taken can be projected, read for its address, and written."""
    body = json.dumps(payload).encode()
    try:
        change = parse_delivery(body, RECEIVED_US)
    except PayloadError:
        return
    assert read_address(body) == (change.account_id, change.inbox_id)
    Board().apply(change, Source(3, 1), RECEIVED_US)


@given(st.binary() | st.text() | JSON_VALUES.map(json.dumps))
def test_any_body_is_a_change_or_a_payload_error(body: bytes | str) -> None:
    """Bytes of any kind."""
    try:
        parse_delivery(body, RECEIVED_US)
    except PayloadError:
        return


# -- the address and the credential ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MESSAGES, *CONVERSATIONS])
def test_the_address_is_that_of_the_change(name: str) -> None:
    """Whose secret is asked and whose data is changed must be the same."""
    body = encode_body(realistic_payload(name))
    change = parse_delivery(body, RECEIVED_US)
    assert read_address(body) == (change.account_id, change.inbox_id)


def test_a_second_conversation_does_not_lead_astray() -> None:
    """A conversation event whose body also holds a `conversation` of another inbox is judged by the inbox it will change."""
    body = encode_body(realistic_payload("conversation_created", {"conversation": {"id": 1, "inbox_id": 99, "account": {"id": 9}}}))
    change = parse_delivery(body, RECEIVED_US)
    assert read_address(body) == (change.account_id, change.inbox_id)


@pytest.mark.parametrize(
    ("body", "address"),
    [(b"[]", (None, None)), (b"5", (None, None)), (b'{"account": {"id": 1e400}}', (None, None)), (b'{"x": "\\ud800"}', (None, None))],
)
def test_json_without_an_address_has_none(body: bytes, address: tuple[int | None, int | None]) -> None:
    """It is kept all the same."""
    assert read_address(body) == address


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"account": NaN}', b'{"account":' + b"[" * 100_000, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
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
    stripped = json.loads(strip_credentials(json.dumps({"pubsub_token": token, "content": said}).encode()))
    assert stripped == {"pubsub_token": "", "content": said}
