"""How far a message has come only grows, whatever order it is told in, and is never more than
Chatwoot said.
"""

import itertools

import pytest
from msgspec.structs import replace

from server.core.state.delivery import Age, age_within_version, with_status
from server.core.state.entities import DeliveryError, Message
from server.core.state.views import shown_state
from tests.unit.states import at

WRITTEN_THERE = Message(1, 1, "agent", "Yes", at(5), chatwoot_message_id=88)
REPLY = replace(WRITTEN_THERE, client_id="key-1", delivery_state="sent")


@pytest.mark.parametrize("order", list(itertools.permutations(["sent", "delivered", "read"])))
@pytest.mark.parametrize("row", [WRITTEN_THERE, REPLY])
def test_the_furthest_state_stays(row: Message, order: tuple[str, ...]) -> None:
    """Read over delivered over sent, also when an older word comes later and counts as newer."""
    for status in order:
        row = with_status(row, status, None, age=Age.NEWER)
    assert row.delivery_state == "read"


def test_of_silence_nothing_follows() -> None:
    """`sent` is what Chatwoot says of every message from its first moment on."""
    for status in (None, "sent"):
        assert with_status(WRITTEN_THERE, status, None, age=Age.NEWER) is WRITTEN_THERE


@pytest.mark.parametrize(
    ("error", "reason"), [("no such number", "no such number"), (None, "does not say why")]
)
def test_a_refusal_wins_over_sent(error: str | None, reason: str) -> None:
    """With its reason; sent again, it may arrive after all."""
    failed = with_status(REPLY, "failed", error, age=Age.NEWER)
    assert failed.delivery_state == "failed"
    assert failed.delivery_error
    assert failed.delivery_error.code == "channel"
    assert reason in failed.delivery_error.message
    for status, state in (("sent", "sent"), ("delivered", "delivered"), (None, "sent")):
        after = with_status(failed, status, None, age=Age.NEWER)
        assert (after.delivery_state, after.delivery_error) == (state, None)


@pytest.mark.parametrize("before", ["sent", "delivered", "read"])
@pytest.mark.parametrize("age", [Age.UNKNOWN, Age.NEWER])
def test_a_failure_takes_the_place_of_all_that_came_before_it(before: str, age: Age) -> None:
    """Channels refuse what they had said was delivered: the customer has not got it."""
    row = with_status(
        replace(REPLY, delivery_state=before), "failed", "131047: Re-engagement message", age=age
    )
    assert (row.delivery_state, row.delivery_error) == (
        "failed",
        DeliveryError("channel", "131047: Re-engagement message"),
    )


@pytest.mark.parametrize("status", [None, "progress", "sent", "delivered", "read"])
@pytest.mark.parametrize("age", [Age.OLDER, Age.UNKNOWN])
def test_a_late_state_takes_no_failure_back(status: str | None, age: Age) -> None:
    """It may have been built before the failure; asking Chatwoot settles it."""
    failed = with_status(REPLY, "failed", "no such number", age=Age.NEWER)
    assert with_status(failed, status, None, age=age) is failed


@pytest.mark.parametrize("row", [WRITTEN_THERE, REPLY])
def test_every_order_of_arrival_ends_in_the_failure(row: Message) -> None:
    """All of one version, as webhooks that tell states are; from whatever source."""
    for order in itertools.permutations(["progress", "sent", "delivered", "failed"]):
        told = row
        for status in order:
            told = with_status(told, status, None, age=Age.UNKNOWN)
        assert told.delivery_state == "failed", order


def test_what_was_sent_again_is_on_its_way_again() -> None:
    """An agent pressed "retry" in Chatwoot."""
    failed = with_status(REPLY, "failed", "no such number", age=Age.NEWER)
    again = with_status(failed, "progress", None, age=Age.NEWER)
    assert (again.delivery_state, again.delivery_error) == ("progress", None)
    assert with_status(again, "delivered", None, age=Age.UNKNOWN).delivery_state == "delivered"


def test_progress_is_over_when_it_is_sent() -> None:
    """And does not come back by a late word."""
    under_way = with_status(REPLY, "progress", None, age=Age.NEWER)
    assert (under_way.delivery_state, shown_state(under_way.delivery_state)) == (
        "progress",
        "sending",
    )
    sent = with_status(under_way, "sent", None, age=Age.OLDER)
    assert sent.delivery_state == "sent"
    assert with_status(sent, "progress", None, age=Age.UNKNOWN) is sent


def test_what_comes_long_after_is_newer() -> None:
    """A payload waits some minutes in Chatwoot's queue, not a quarter of an hour."""
    assert age_within_version(at(100), at(99)) is Age.OLDER
    assert age_within_version(at(100), at(101)) is Age.UNKNOWN
    assert age_within_version(at(100), at(1000)) is Age.NEWER


def test_an_older_refusal_is_not_taken() -> None:
    """It may have been put right since."""
    assert with_status(REPLY, "failed", "no such number", age=Age.OLDER) is REPLY


@pytest.mark.parametrize(
    "fields",
    [
        {"sender_type": "customer"},
        {"is_private": True},
        {"chatwoot_message_id": None, "client_id": "key-1", "delivery_state": "sending"},
    ],
)
def test_only_what_went_to_a_customer_arrives(fields: dict[str, object]) -> None:
    """No note, no message of the customer's own, no reply that Chatwoot does not have."""
    row = replace(WRITTEN_THERE, **fields)
    assert with_status(row, "read", None, age=Age.NEWER) is row


def test_a_failure_we_found_out_stays() -> None:
    """Chatwoot knows nothing of it."""
    row = replace(REPLY, delivery_state="failed", delivery_error=DeliveryError("gave_up", "x"))
    assert with_status(row, "sent", None, age=Age.NEWER) is row
