"""What a polling page is late with: texts written while it looked, and no others."""

import json

from server.lab.load.message_tag import tag_text
from server.lab.load.pollers import Screen

THREAD = "/api/conversations/1/messages"


def body(*written_at: float) -> bytes:
    messages = [{"content": tag_text(number, "Hello", at)} for number, at in enumerate(written_at)]
    return json.dumps({"messages": messages}, separators=(",", ":")).encode()


def test_a_text_waits_from_when_it_was_written_until_the_page_reads_it() -> None:
    screen = Screen()
    # the first look: others may have read it long ago
    assert screen.read(THREAD, body(10.0), 11.0) == []
    assert screen.read(THREAD, body(10.0, 12.0, 14.5), 15.0) == [3.0, 0.5]
    assert screen.read(THREAD, body(10.0, 12.0, 14.5), 20.0) == []


def test_an_empty_thread_is_a_look_as_well() -> None:
    screen = Screen()
    assert screen.read(THREAD, body(), 11.0) == []
    assert screen.read(THREAD, body(12.0), 15.0) == [3.0]


def test_what_was_written_while_the_page_looked_elsewhere_did_not_wait_for_it() -> None:
    screen = Screen()
    screen.read(THREAD, body(10.0), 11.0)
    screen.forget(THREAD)
    assert screen.read(THREAD, body(10.0, 20.0), 600.0) == []
    assert screen.read(THREAD, body(10.0, 20.0, 602.0), 605.0) == [3.0]
