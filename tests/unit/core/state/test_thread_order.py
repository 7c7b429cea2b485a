"""Messages of a thread stand as Chatwoot wrote them, however and whenever each of them was told."""

import random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from server.core.state.entities import Message
from server.core.state.thread_order import place_of
from server.core.times import SECOND
from tests.unit.states import at

# what Chatwoot wrote, one after the other: milliseconds since the message before
_gaps = st.lists(st.sampled_from([0, 1, 130, 480, 999, 1_000, 1_700]), min_size=1, max_size=12)


@given(_gaps, st.randoms(use_true_random=False))
def test_the_order_is_that_of_writing(gaps: list[int], chance: random.Random) -> None:
    """Seconds of a list beside milliseconds of webhooks, taken in in any order."""
    moment, written = at(0.204), []
    for number, gap in enumerate(gaps, start=1):
        moment += gap * 1_000
        written.append((number, moment))
    arrived = chance.sample(written, len(written))
    rows = []
    for row_id, (number, created_us) in enumerate(arrived, start=1):
        told_us = created_us - created_us % SECOND if chance.random() < 0.5 else created_us
        rows.append(Message(row_id, 1, "customer", "x", told_us, chatwoot_message_id=number))
    assert [row.chatwoot_message_id for row in sorted(rows, key=place_of)] == [
        number for number, _ in written
    ]


def test_a_reply_on_its_way_stands_last_in_its_second() -> None:
    """Chatwoot will give it a higher number than what it has shown so far; the next second is after
    it all the same.
    """
    known = Message(1, 1, "customer", "x", at(5.9), chatwoot_message_id=88)
    reply = Message(2, 1, "agent", "y", at(5.2), client_id="key")
    later = Message(3, 1, "customer", "z", at(6), chatwoot_message_id=89)
    assert sorted([later, reply, known], key=place_of) == [known, reply, later]
    assert sorted([replace(reply, chatwoot_message_id=87), known], key=place_of)[0].id == reply.id


def test_without_number_and_time_the_first_to_come_is_first() -> None:
    """Rows older than this program, and the simple payload."""
    told = ((4, None), (5, None), (6, at(5.5)), (7, at(5)), (1, at(6)))
    rows = [Message(id_, 1, "customer", "x", created_us) for id_, created_us in told]
    assert sorted(reversed(rows), key=place_of) == rows
