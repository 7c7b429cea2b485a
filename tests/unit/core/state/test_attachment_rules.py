"""Attachments: what is shown, what is only downloaded, and names that try to be more than names."""

import pytest

from server.core.chatwoot.attachment_payloads import parse_attachments
from server.core.state.attachment_rules import (
    address_of,
    checked_range,
    find_part,
    part_of,
    shown_as,
)
from server.core.state.entities import Attachment


@pytest.mark.parametrize(
    "kind", ["image/png", "image/jpeg", "IMAGE/WEBP", "audio/ogg; codecs=opus", "video/mp4"]
)
def test_what_browsers_only_decode_is_shown(kind: str) -> None:
    """Under its own type."""
    headers = shown_as(kind, "a.bin")
    assert headers["Content-Type"] == kind.partition(";")[0].lower()
    assert headers["Content-Disposition"].startswith("inline;")


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/xml",
        "text/javascript",
        "image/heic",
        "",
        "image/png,text/html",
    ],
)
def test_anything_else_is_a_download(kind: str) -> None:
    """Without its type, so that nothing is guessed from it; and in a sandbox should a browser show
    it all the same.
    """
    headers = shown_as(kind, "a.html")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''a.html"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_documents_open_in_the_browser() -> None:
    """A PDF in its viewer, which a sandbox would close, and which runs apart from our pages; a
    text in a sandbox, with the letters of Bengali.
    """
    pdf, text = shown_as("application/pdf", "a.pdf"), shown_as("text/plain", "a.txt")
    assert (pdf["Content-Type"], pdf["Content-Disposition"][:7]) == ("application/pdf", "inline;")
    assert "sandbox" not in pdf["Content-Security-Policy"]
    assert "script-src 'none'" in pdf["Content-Security-Policy"]
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    assert "sandbox" in text["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pdf", "application/pdf"),
        ("a.PNG", "image/png"),
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a.heic", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_what_a_storage_does_not_know_is_known_by_its_name(name: str | None, kind: str) -> None:
    """A name makes nothing shown that its type would not."""
    assert shown_as("application/octet-stream", name)["Content-Type"] == kind


def test_a_name_stays_a_name() -> None:
    """Line breaks, quotes and Bengali are encoded; no name is none."""
    disposition = shown_as("image/png", 'রসিদ".png\r\nSet-Cookie: a=b/../x')["Content-Disposition"]
    assert disposition.isascii()
    assert not set(disposition) & set('\r\n"/')
    assert shown_as("image/png", None)["Content-Disposition"] == "inline"


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=5-9", " bytes=100-200 "])
def test_one_part_is_passed_on(text: str) -> None:
    """As players ask for it."""
    assert checked_range(text) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "bytes=-5",
        "bytes=0-1,3-4",
        "lines=1-2",
        "bytes=0-\r\nX: y",
        "bytes=a-b",
        "bytes=" + "9" * 40 + "-",
    ],
)
def test_other_ranges_get_the_whole(text: str | None) -> None:
    """Several parts, other units, and what would end the header."""
    assert checked_range(text) is None


def test_a_picture_without_a_small_form_is_its_own() -> None:
    """A film without one has none."""
    assert (
        address_of(Attachment(1, "image", "https://x/a", "https://x/t"), is_thumb=True)
        == "https://x/t"
    )
    assert address_of(Attachment(1, "image", "https://x/a"), is_thumb=True) == "https://x/a"
    assert address_of(Attachment(1, "video", "https://x/a"), is_thumb=True) is None
    assert (
        address_of(Attachment(1, "image", "https://x/a", "https://x/t"), is_thumb=False)
        == "https://x/a"
    )


def test_a_file_s_name_cannot_turn_its_letters_around() -> None:
    """In what REST, events and pages show of it: a program must not look like a picture. A name of
    nothing else is none.
    """
    told = [
        {"fallback_title": name} for name in ("\u202egnp.exe\u2069", "صورة.png", "\u202e", "a.png")
    ]
    assert [one.name for one in parse_attachments({"attachments": told})] == [
        "gnp.exe",
        "صورة.png",
        None,
        "a.png",
    ]


def test_an_address_by_id_keeps_its_meaning() -> None:
    """An earlier file that comes later moves the indexes, and not the ids; older addresses
    answer.
    """
    first, second = Attachment(306, "image"), Attachment(308, "file")
    assert [part_of(one.id, 0) for one in (first, second)] == ["id-306", "id-308"]
    assert part_of(None, 1) == "1"
    assert find_part((second,), "id-308") == 0
    assert find_part((first, second), "id-308") == 1
    assert find_part((first, second), "0") == 0
    for unknown in ("2", "-1", "id-1", "id-", "id-0306", "00", "٠", ""):
        assert find_part((first, second), unknown) is None
