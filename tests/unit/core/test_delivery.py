"""How far a message has come only grows, whatever order it is told in, and is never more than Chatwoot said."""

import itertools

import pytest
from msgspec.structs import replace

from server.core.delivery import with_status
from server.core.entities import DeliveryError, Message
from tests.unit.states import at

WRITTEN_THERE = Message(1, 1, "agent", "Yes", at(5), chatwoot_message_id=88)
REPLY = replace(WRITTEN_THERE, client_id="key-1", delivery_state="sent")


@pytest.mark.parametrize("order", list(itertools.permutations(["sent", "delivered", "read"])))
@pytest.mark.parametrize("row", [WRITTEN_THERE, REPLY])
def test_the_furthest_state_stays(row: Message, order: tuple[str, ...]) -> None:
    """Read over delivered over sent, also when an older word comes later and counts as newer."""
    for status in order:
        row = with_status(row, status, None, is_newer=True)
    assert row.delivery_state == "read"


def test_of_silence_nothing_follows() -> None:
    """`sent` is what Chatwoot says of every message from its first moment on."""
    for status in (None, "sent"):
        assert with_status(WRITTEN_THERE, status, None, is_newer=True) is WRITTEN_THERE


@pytest.mark.parametrize(("error", "reason"), [("no such number", "no such number"), (None, "does not say why")])
def test_a_refusal_wins_over_sent(error: str | None, reason: str) -> None:
    """With its reason; sent again, it may arrive after all."""
    failed = with_status(REPLY, "failed", error, is_newer=True)
    assert failed.delivery_state == "failed"
    assert failed.delivery_error
    assert failed.delivery_error.code == "channel"
    assert reason in failed.delivery_error.message
    for status, state in (("sent", "sent"), ("delivered", "delivered"), (None, "sent")):
        after = with_status(failed, status, None, is_newer=True)
        assert (after.delivery_state, after.delivery_error) == (state, None)


def test_what_arrived_was_not_refused() -> None:
    """An error that is told late, or of another attempt, takes nothing back."""
    for state in ("delivered", "read"):
        arrived = replace(REPLY, delivery_state=state)
        assert with_status(arrived, "failed", "no such number", is_newer=True) is arrived


def test_an_older_refusal_is_not_taken() -> None:
    """It may have been put right since."""
    assert with_status(REPLY, "failed", "no such number", is_newer=False) is REPLY


@pytest.mark.parametrize(
    "fields",
    [{"sender_type": "customer"}, {"is_private": True}, {"chatwoot_message_id": None, "client_id": "key-1", "delivery_state": "sending"}],
)
def test_only_what_went_to_a_customer_arrives(fields: dict[str, object]) -> None:
    """No note, no message of the customer's own, no reply that Chatwoot does not have."""
    row = replace(WRITTEN_THERE, **fields)
    assert with_status(row, "read", None, is_newer=True) is row


def test_a_failure_we_found_out_stays() -> None:
    """Chatwoot knows nothing of it."""
    row = replace(REPLY, delivery_state="failed", delivery_error=DeliveryError("gave_up", "x"))
    assert with_status(row, "sent", None, is_newer=True) is row
