"""What a piece of a server's stream holds."""

import json
from typing import Any

import pytest

from server.core.wire.websocket_bytes import text_frame
from server.lab.load.frame_reader import Piece, masked_text
from server.lab.load.message_tag import (
    last_tag,
    number_of,
    parse_tags,
    tag_text,
)


def event(
    seq: int, *, company_id: int = 7, kind: str = "message.created", content: str = ""
) -> bytes:
    """An event as the server encodes it."""
    conversation = {"id": 17, "companyId": company_id, "preview": {"content": content}}
    data: dict[str, Any] = {
        "conversation": conversation,
        "message": {"id": 991, "content": content},
    }
    body = {"type": "event", "seq": seq, "kind": kind, "at": "", "receivedAt": "", "data": data}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def test_events_are_counted_with_companies_and_marks() -> None:
    """One tag for a new message, though its text is in the preview as well."""
    texts = [tag_text(5, "দাম কত?", 1.5), tag_text(6, "x" * 70_000, 2.5)]
    piece = Piece(
        b"".join(text_frame(event(seq, content=text)) for seq, text in enumerate(texts, 3))
    )
    assert (piece.first, piece.last, piece.gap, piece.rest) == (3, 4, None, b"")
    assert piece.companies == {7}
    assert piece.tags == [(3, 5, 1.5), (4, 6, 2.5)]
    assert piece.conversations == [17, 17]


def test_an_update_of_a_marked_message_is_no_new_message() -> None:
    """An edit carries the tag of the text it changes."""
    assert (
        Piece(text_frame(event(3, kind="message.updated", content=tag_text(5, "a", 1.0)))).tags
        == []
    )


@pytest.mark.parametrize(
    ("seqs", "gap"), [((1, 3), (1, 3)), ((1, 2, 2), (2, 2)), ((2, 1), (2, 1)), ((1, 2, 3), None)]
)
def test_a_break_in_the_numbers_is_seen(seqs: tuple[int, ...], gap: tuple[int, int] | None) -> None:
    """Within what was read at once."""
    assert Piece(b"".join(text_frame(event(seq)) for seq in seqs)).gap == gap


def test_the_beginning_of_a_frame_is_left_for_the_next_read() -> None:
    """Wherever the stream is cut, the parts give what the whole gives."""
    whole = text_frame(event(1)) + text_frame(b'{"type":"ping"}') + text_frame(event(2))
    for cut in range(len(whole) + 1):
        first = Piece(whole[:cut])
        second = Piece(first.rest + whole[cut:])
        assert second.rest == b""
        assert sum(piece.last - piece.first + 1 for piece in (first, second) if piece.first) == 2
        assert len(first.others) + len(second.others) == 1


def test_another_company_is_seen() -> None:
    """Both stand in the piece."""
    assert Piece(text_frame(event(1)) + text_frame(event(2, company_id=8))).companies == {7, 8}


def test_a_mark_is_read_back_from_json_and_from_text() -> None:
    """To the microsecond."""
    text = tag_text(12, 'quo"ted\nline', 82_345.000_123)
    assert list(parse_tags(event(1, content=text)))[-1] == (12, 82_345.000_123)
    assert number_of(text) == 12
    assert number_of("#12 is my order") is None
    assert last_tag(event(1, content=text)) == (12, 82_345.000_123)


@pytest.mark.parametrize(
    "content", ["#12 is my order", "#@", "#12@x y", "#12@5", "", "#" + "1" * 50 + "@5 "]
)
def test_what_only_looks_like_a_mark_is_none(content: str) -> None:
    """Customers write what they like."""
    assert last_tag(event(1, content=content)) is None


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_a_client_s_frame_has_the_length_its_payload_has(size: int) -> None:
    """In the short and the two-byte form."""
    frame = masked_text(b"x" * size)
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    assert frame.endswith(b"\0\0\0\0" + b"x" * size)
