"""WebSocket frames: each length form at its edges, read back by an independent implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from server.core.wire.websocket_bytes import (
    are_whole_frames,
    close_frame,
    split_text_frames,
    text_frame,
)


def _parsed(data: bytes) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=False, max_size=2**20)
    with pytest.raises(StopIteration) as stopped:
        next(parsing)
    frame: Frame = stopped.value.value
    return frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70_000])
def test_every_length_form_reads_back(size: int) -> None:
    """One byte, two bytes, eight bytes of length, and the sizes where they meet."""
    frame = _parsed(text_frame(b"x" * size))
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, b"x" * size)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_frames_in_one_write_come_apart_again(payloads: list[bytes]) -> None:
    """What went in comes out, in order."""
    assert split_text_frames(b"".join(map(text_frame, payloads))) == payloads


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_large_frames_come_apart_as_well(size: int) -> None:
    """At the edges of the length forms, between two others."""
    payloads = [b"a", b"x" * size, b"b"]
    assert split_text_frames(b"".join(map(text_frame, payloads))) == payloads


@pytest.mark.parametrize(
    "reason", ["", "too fast", "x" * 500, "é" * 80, "a" + "é" * 80, "🙂" * 40], ids=range(6)
)
def test_a_close_frame_is_valid_whatever_the_reason(reason: str) -> None:
    """At most 125 bytes, and never half a character: a peer would answer 1007 to that."""
    frame = _parsed(close_frame(4108, reason))
    close = Close.parse(frame.data)
    assert (frame.opcode, close.code) == (Opcode.CLOSE, 4108)
    assert reason.startswith(close.reason)
    assert len(frame.data) <= 125


def _masked(opcode: int, payload: bytes, *, is_last: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin=is_last).serialize(mask=True)


@pytest.mark.parametrize(
    ("data", "are_whole"),
    [
        (b"", True),
        (_masked(1, b"{}"), True),
        (_masked(1, b"x" * 125) + _masked(9, b"ping") + _masked(8, b""), True),
        (_masked(1, b"x" * 126), True),
        (_masked(1, b"x" * 65535), True),
        (_masked(1, b"x" * 65536), False),
        (_masked(1, b"{", is_last=False), False),
        (_masked(0, b"}"), False),
        (_masked(1, b"{}") + _masked(0, b"}"), False),
        (_masked(1, b"x" * 126)[:3], False),
        (text_frame(b"unmasked"), True),
    ],
    ids=range(11),
)
def test_whole_frames_are_told_from_the_rest(data: bytes, are_whole: bool) -> None:
    """Unfragmented, complete and of a size a client says here: then no parser need remember
    anything.
    """
    assert are_whole_frames(data) is are_whole


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.data())
def test_frames_cut_anywhere_are_not_whole(payloads: list[bytes], data: st.DataObject) -> None:
    """Only where one ends and the next begins."""
    frames = [_masked(1, payload) for payload in payloads]
    joined, ends, end = b"".join(frames), {0}, 0
    for frame in frames:
        end += len(frame)
        ends.add(end)
    cut = data.draw(st.integers(0, len(joined)))
    assert are_whole_frames(joined[:cut]) is (cut in ends)
