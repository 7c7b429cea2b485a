"""Each kind of message that a running Chatwoot sent, by webhook and by REST."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from server.core.chatwoot.changes import MessageState
from server.core.chatwoot.message_payloads import parse_message
from server.core.state.entities import Json
from server.core.state.message_changes import merge_message, new_message
from server.core.state.message_details import FormField, MessageDetails, Option, Rating
from server.core.state.message_kinds import FILE_KINDS, KINDS
from server.core.state.search_text import message_form
from server.core.state.views import message_view, preview_of

RECORDED = Path(__file__).parents[3] / "real" / "kinds.jsonl.gz"


def _recorded() -> dict[str, Json]:
    with gzip.open(RECORDED, "rt") as lines:
        kinds = [json.loads(line) for line in lines]
    # two are of a conversation's status alone
    return {one["kind"]: one for one in kinds if "message_type" in one["webhooks"][-1]}


KINDS_OF_CHATWOOT = _recorded()


def _states(kind: str) -> list[tuple[MessageState, MessageState]]:
    """The newest webhook of each message, and the same message by REST."""
    one = KINDS_OF_CHATWOOT[kind]
    updates_last = sorted(one["webhooks"], key=lambda hook: hook["event"] == "message_updated")
    hooks = {hook["id"]: parse_message(hook) for hook in updates_last}
    rest = {message["id"]: parse_message(message) for message in one["rest"]}
    return [(a, b) for key, a in hooks.items() if a and (b := rest.get(key))]


def _view(kind: str, place: int = 0) -> Json:
    return message_view(new_message(1, _states(kind)[place][0], 1, None))


def _same(state: MessageState) -> MessageState:
    """Without what is known to be told later, or more exactly, by one of them."""
    is_survey = state.content_type == "input_csat"
    return replace(
        state,
        content="" if is_survey else state.content,
        created_us=state.created_us // 1_000_000,
        status=None,
        attachments=tuple(replace(one, width=None, height=None) for one in state.attachments),
    )


@pytest.mark.parametrize("kind", [one for one in KINDS_OF_CHATWOOT if one != "154-web-campaign"])
def test_webhook_and_rest_give_one_message(kind: str) -> None:
    for by_webhook, by_rest in _states(kind):
        assert _same(by_webhook) == _same(by_rest)


def test_rest_leaves_a_campaign_what_it_was() -> None:
    by_webhook, by_rest = _states("154-web-campaign")[0]
    row = new_message(1, by_webhook, 1, None)
    assert message_view(row)["senderKind"] == "campaign"
    read = merge_message(row, replace(by_rest, asked_us=10), 10)
    assert message_view(read)["senderKind"] == "campaign"


@pytest.mark.parametrize("kind", KINDS_OF_CHATWOOT)
def test_nothing_is_shown_as_nothing(kind: str) -> None:
    for state, _ in _states(kind):
        row = new_message(1, state, 1, None)
        view, preview = message_view(row), preview_of(row)
        assert view["kind"] in KINDS
        assert view["content"].strip() or view["deleted"] or view["kind"] in FILE_KINDS
        assert preview.content.strip() or preview.has_attachments
        assert row.content == state.content


@pytest.mark.parametrize(
    ("kind", "code", "content"),
    [
        ("02-wa-location", "location", "Location: Gulshan Circle 1, Dhaka"),
        (
            "08-wa-flow-reply",
            "unsupported",
            "Cannot be shown here: open it in the customer's app",
        ),
        (
            "66-fb-template-unsupported",
            "unsupported",
            "Cannot be shown here: open it in the customer's app",
        ),
        (
            "93-tt-sticker-unsupported",
            "unsupported",
            "Cannot be shown here: open it in the customer's app",
        ),
        ("144-out-contact-card-fork", "contact", "Contact: Karim Mia"),
    ],
)
def test_a_message_without_text_says_what_it_is(kind: str, code: str, content: str) -> None:
    view = _view(kind)
    assert (view["kind"], view["content"], view["isSummary"]) == (code, content, True)


@pytest.mark.parametrize(
    ("kind", "sender_kind"),
    [
        ("01-wa-text", "customer"),
        ("136-out-multiline-markdown", "agent"),
        ("170-bot-message", "bot"),
        ("150-automation-message", "automation"),
        ("156-csat-on-resolve", "automatic"),
        ("21-wa-echo", "channelApp"),
        ("95-tt-echo", "channelApp"),
    ],
)
def test_the_kind_of_sender(kind: str, sender_kind: str) -> None:
    assert _view(kind, -1)["senderKind"] == sender_kind


def _details(kind: str) -> MessageDetails:
    details: Any = _view(kind)["details"]
    assert isinstance(details, MessageDetails)
    return details


def test_what_customers_chose_filled_in_and_rated() -> None:
    chosen = _details("130-out-input_select")
    assert [one.title for one in chosen.options] == ["Small", "Medium"]
    assert chosen.chosen == (Option("Medium", "m"),)
    assert _details("132-out-form").form == (
        FormField("E-mail", "email", "email", "noor@customers.example.org"),
        FormField("Address", "addr", "text_area", "House 7, Dhaka"),
    )
    assert _details("156-csat-on-resolve").rating == Rating(4, "Quick and kind")
    assert _details("122-web-email-collected").given_email == "noor@customers.example.org"


def test_quotes_edits_ads_and_mails() -> None:
    edited = _details("20-wa-edited")
    assert edited.quote is not None
    assert edited.quote.chatwoot_message_id == 84005
    assert edited.previous_content == "I mean this one"
    ad, mail = _details("12-wa-ad-referral").ad, _details("102-mail-quoted-thread-cc").email
    assert ad is not None
    assert (ad.headline, ad.url) == ("Winter sale", "https://fb.example.org/ad1")
    assert mail is not None
    assert mail.sender == "lina@customers.example.org"
    assert mail.cc == ("boss@customers.example.org", "helper@customers.example.org")
    assert mail.quoted is not None
    assert mail.quoted.startswith("On Mon, 1 Nov")


def test_calls_cards_and_meetings() -> None:
    call, card = _details("175-voice-call-inbound-as-row").call, _details("134-out-cards").cards[0]
    assert call is not None
    assert (call.direction, call.outcome) == ("inbound", "no-answer")
    assert (card.title, card.actions[0].url) == ("Red shirt", "https://example.org/buy")
    meeting = _details("114-integrations-dyte").meeting
    assert meeting is not None
    assert meeting.provider == "dyte"


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("113-translated", "where is my order"),
        ("132-out-form", "house 7, dhaka"),
        ("100-mail-plain", "where is order 5512"),
        ("156-csat-on-resolve", "quick and kind"),
        ("134-out-cards", "red shirt"),
        ("141-out-two-files", "b c.pdf"),
    ],
)
def test_search_finds_what_is_not_text(kind: str, word: str) -> None:
    assert word in message_form(new_message(1, _states(kind)[0][0], 1, None))


@pytest.mark.parametrize("value", [None, 1, "x", [], [1], {"a": []}, [[{}]], True])
def test_details_of_any_type_are_taken(value: Any) -> None:
    keys = "items submitted_values data email referral translations in_reply_to story_url type"
    for content_type in ("text", "form", "input_select", "cards", "input_csat", "voice_call", 7):
        message = {
            "message_type": 1,
            "content_type": content_type,
            "created_at": 1,
            "content_attributes": dict.fromkeys(keys.split(), value),
            "additional_attributes": value,
        }
        assert parse_message(message) is not None


def _echo(**changes: Any) -> MessageState:
    """A message without a sender and with the channel's number, as Telegram's own app gives it."""
    message = {
        "id": 9,
        "message_type": "outgoing",
        "content": "hi",
        "created_at": 1_900_000_000,
        "source_id": "900",
        "sender": None,
    }
    state = parse_message({**message, **changes})
    assert state is not None
    return state


def test_a_known_message_does_not_become_one_of_the_channels_app() -> None:
    """A bot's message gets the channel's number when it is sent, and an agent who was deleted is
    named no longer: what was known of the sender stays.
    """
    bots = new_message(1, _echo(source_id=None), 1, None)
    assert message_view(bots)["senderKind"] == "agent"
    told = replace(_echo(), is_update=True, version_us=5)
    assert message_view(merge_message(bots, told, 5))["senderKind"] == "agent"
    known = new_message(1, _echo(sender={"name": "Kofi", "type": "user"}), 1, None)
    read = merge_message(known, replace(_echo(), asked_us=9), 9)
    assert (message_view(read)["senderKind"], read.sender_name) == ("agent", "Kofi")
    assert message_view(new_message(1, _echo(), 1, None))["senderKind"] == "channelApp"


@pytest.mark.parametrize(
    "changes",
    [
        {"message_type": "incoming"},
        {"source_id": None},
        {"content_attributes": {"automation_rule_id": 1}},
        {"additional_attributes": {"campaign_id": 1}},
        {"sender": {"name": "Botu", "type": "agent_bot"}},
    ],
)
def test_what_names_its_writer_is_not_the_channels_app(changes: dict[str, Any]) -> None:
    view = message_view(new_message(1, _echo(**changes), 1, None))
    assert view["senderKind"] != "channelApp"
