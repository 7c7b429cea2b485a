"""Files, places, cards and links of messages, as a running Chatwoot sent and listed them."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from server.core.chatwoot.attachment_payloads import (
    in_present_form,
    parse_attachments,
    stored_name,
    with_known,
)
from server.core.state.entities import Attachment, ContactCard
from tests.kit.recorded import read_lines

RECORDED = read_lines("attachments")


def _of(kind: str) -> tuple[Attachment, ...]:
    return tuple(
        one
        for message in RECORDED
        if message["kind"] == kind
        for one in parse_attachments(message["rest"])
    )


def _without_later_parts(found: tuple[Attachment, ...]) -> list[Attachment]:
    """A size and a transcript come after the first webhook."""
    return [replace(one, width=None, height=None, transcript=None) for one in found]


@pytest.mark.parametrize("message", RECORDED, ids=lambda m: f"{m['kind']}-{m['rest']['id']}")
def test_webhooks_and_rest_give_the_same_in_the_same_order(message: dict[str, Any]) -> None:
    """Of every kind; but for what Chatwoot itself fills in later. What was known once, stays."""
    rest = parse_attachments(message["rest"])
    assert rest, "nothing was found"
    assert [one.id for one in rest] == sorted(one.id or 0 for one in rest) or rest[0].id is None
    for webhook in message["webhooks"]:
        found = parse_attachments(webhook)
        assert _without_later_parts(found) == _without_later_parts(rest)
        assert [one.width for one in with_known(found, rest)] == [one.width for one in rest]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("16-wa-document-bengali", [".pdf"]),
        ("103-mail-attachments-bengali", [".pdf", "a photo.png"]),
        ("124-web-attachment-bengali", [".png"]),
        ("141-out-two-files", ["দাম.png", "b c.pdf"]),
        ("161-api-file-bengali", [".txt"]),
    ],
)
def test_names_are_as_they_were_written(kind: str, names: list[str]) -> None:
    """Addresses have them percent-encoded."""
    found = [one.name or "" for one in _of(kind)]
    assert len(found) == len(names)
    for name, end in zip(found, names, strict=True):
        assert name.endswith(end)
        assert "%" not in name


def test_a_place_has_its_name_and_where_it_is() -> None:
    """Its address outside is a link, and no file."""
    place = next(one for one in _of("02-wa-location") if one.title)
    assert (place.title, place.address) == ("Gulshan Circle 1", "Dhaka")
    assert (place.latitude, place.longitude) == (23.7806, 90.4193)
    assert (place.url, place.link) == (None, "https://maps.example.org/g")
    (bare,) = _of("31-tg-location")
    assert (bare.latitude, bare.longitude, bare.title) == (22.3569, 91.7832, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"coordinates_lat": 0.0, "coordinates_long": 0.0},
        {"coordinates_lat": float("nan"), "coordinates_long": 90.0},
        {"coordinates_lat": 10**400, "coordinates_long": 90},
        {"coordinates_lat": True, "coordinates_long": [1]},
        {"coordinates_lat": 23.8},
    ],
)
def test_a_place_without_true_coordinates_has_none(fields: dict[str, Any]) -> None:
    """Never one of the two alone."""
    (place,) = parse_attachments({"attachments": [{"id": 1, "file_type": "location"} | fields]})
    assert (place.latitude, place.longitude) == (None, None)


def test_a_card_has_a_name_and_numbers() -> None:
    """In both spellings of its keys; a sentence is no number."""
    first, second, empty = _of("04-wa-contacts")
    assert first.contact == ContactCard("Karim Mia", ("+880 1711-000099",))
    assert second.contact == ContactCard("Karim Mia", ("+880 1711-000098",))
    assert empty.contact == ContactCard("No Phone")
    assert _of("144-out-contact-card-fork")[0].contact == ContactCard(
        "Karim Mia", ("+8801711000099",)
    )


def test_a_card_is_bounded() -> None:
    """However much is in it."""
    meta = {"phones": [{"phone": f"{n}" * 500} for n in range(100)], "emails": "x", "firstName": {}}
    item = {"file_type": "contact", "meta": meta, "fallback_title": ["1234"]}
    (card,) = parse_attachments({"attachments": [item]})
    assert card.contact is not None
    assert len(card.contact.phones) <= 10
    assert max(map(len, card.contact.phones)) <= 100
    assert (card.contact.name, card.contact.emails) == (None, ())


def test_outside_addresses_are_links() -> None:
    """Posts and news have no file of Chatwoot's; a picture of Instagram's has."""
    (news,) = _of("63-fb-fallback")
    assert (news.url, news.link, news.title) == (None, "https://example.org/news", "A news story")
    (story,) = _of("76-ig-story-mention")
    assert story.url is not None
    assert story.link is None
    forged = {"file_type": "embed", "data_url": "javascript:alert(1)"}
    (nothing,) = parse_attachments({"attachments": [forged]})
    assert (nothing.url, nothing.link) == (None, None)


def test_stickers_are_pictures() -> None:
    """LINE's has its address in the text; the same words without the type are a text."""
    (whatsapp,) = _of("09-wa-sticker")
    assert whatsapp.is_sticker
    (line,) = _of("46-line-sticker")
    assert line.is_sticker
    assert (line.type, (line.url or "")[:30]) == ("image", "https://stickershop.line-scdn.")
    text = "![a](https://example.org/a.png)"
    assert parse_attachments({"content": text, "content_type": "text"}) == ()
    assert parse_attachments({"content": f"see {text}", "content_type": "sticker"}) == ()


def test_a_voice_has_what_was_said() -> None:
    """Once Chatwoot has written it down."""
    assert [one.transcript for one in _of("17-wa-voice")] == ["please send it on Friday"]
    assert [one.transcript for one in _of("36-tg-voice")] == [None]


def test_rows_of_earlier_versions_are_read_as_today_s() -> None:
    """Names, links and order; and what is in today's form stays, a name with a percent too."""
    base = "https://chat.example/rails/active_storage/blobs/redirect/x"
    old = (
        Attachment(9, "file", f"{base}/a%20b.pdf", name="a%20b.pdf"),
        Attachment(7, "fallback", "https://example.org/news", name="News"),
        Attachment(8, "file", f"{base}/50%2520off.pdf", name="50%20off.pdf"),
    )
    news, percent, spaced = in_present_form(old)
    assert (spaced.name, percent.name) == ("a b.pdf", "50%20off.pdf")
    assert (news.url, news.link, news.title) == (None, "https://example.org/news", "News")
    again = (news, percent, spaced)
    assert in_present_form(again) == again


def test_a_file_sent_from_here_keeps_its_name() -> None:
    """Chatwoot has dashes for some characters; it does not rename what it has under another."""
    ours = (
        Attachment(None, "file", name="12:30 রসিদ?.pdf"),
        Attachment(None, "file", name="b.pdf"),
    )
    stored = (
        Attachment(2, "file", "https://chat.example/2", name=stored_name("12:30 রসিদ?.pdf")),
        Attachment(3, "file", "https://chat.example/3", name="c.pdf"),
    )
    merged = with_known(stored, ours)
    assert [one.name for one in merged] == ["12:30 রসিদ?.pdf", "c.pdf"]
    assert [one.name for one in with_known(stored, merged)] == ["12:30 রসিদ?.pdf", "c.pdf"]


def test_a_row_is_read_back_as_it_was_written() -> None:
    """Through the JSON of its column."""
    for message in RECORDED:
        found = parse_attachments(message["rest"])
        text = msgspec.json.encode(found)
        assert in_present_form(msgspec.json.decode(text, type=tuple[Attachment, ...])) == found


def test_pictures_in_a_mails_text_stand_behind_its_files() -> None:
    """Those that Chatwoot keeps, each once; none from elsewhere, which would tell its sender."""
    stored = "https://chat.example.org/rails/active_storage/blobs/redirect/abc--1/%E0%A6%9B.png"
    source = (
        f'<p>See <img alt="x" src="{stored}"> and <IMG SRC=\'{stored}\'></p>'
        '<img src="https://tracker.example.org/p.gif"><img src="cid:other"><img>'
    )
    mail = {"html_content": {"full": source}, "text_content": {"full": None}}
    message = {
        "content_type": "incoming_email",
        "content_attributes": {"email": mail},
        "attachments": [
            {"id": 8, "file_type": "file", "data_url": stored + ".pdf", "file_size": 3},
            {"id": 7, "file_type": "file", "data_url": stored + ".txt", "file_size": 3},
        ],
    }
    found = parse_attachments(message)
    assert [one.id for one in found] == [7, 8, None]
    assert (found[2].type, found[2].url, found[2].name) == ("image", stored, "ছ.png")
    assert parse_attachments({**message, "content_type": "text"}) == found[:2]


@pytest.mark.parametrize(
    ("told", "kept"),
    [("image/PNG", "image/png"), ("text/html; charset=x", None), ("<b>", None), (7, None)],
)
def test_what_a_file_is(told: object, kept: str | None) -> None:
    one = {"id": 1, "file_type": "ig_post", "data_url": "https://x.example/1", "content_type": told}
    assert parse_attachments({"attachments": [one]})[0].mime_type == kept
