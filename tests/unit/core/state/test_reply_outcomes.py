"""What an attempt leaves: only in the row it still owns, and never against what the webhook has
told.
"""

import pytest
from msgspec.structs import replace

from server.core.state.entities import Attachment, DeliveryError, Message
from server.core.state.reply_outcomes import (
    Settle,
    failed,
    not_yet,
    put_off,
    sent,
    still_unknown,
    unchanged,
)
from server.core.times import SECOND
from tests.unit.states import BASE_US, at

CLAIMED = Message(
    1, 1, "agent", "Yes", at(5), client_id="key-1", delivery_state="sending", next_attempt_us=at(5)
)
# as the claim has left it
UNDER_WAY = replace(CLAIMED, delivery_attempts=1, next_attempt_us=at(25), is_outcome_unknown=True)
TOLD = {
    "id": 88,
    "created_at": BASE_US // SECOND + 7,
    "attachments": [{"id": 3, "file_type": "image", "data_url": "https://a.example/b.png"}],
}


def test_what_chatwoot_has_is_sent_at_its_time() -> None:
    """Nothing is left to be done, and files have addresses."""
    row = sent(TOLD)(replace(UNDER_WAY, attachments=(Attachment(None, "image", name="b.png"),)))
    assert (row.chatwoot_message_id, row.created_us, row.delivery_state) == (88, at(7), "sent")
    assert (row.next_attempt_us, row.is_outcome_unknown, row.attachments[0].url) == (
        None,
        False,
        "https://a.example/b.png",
    )
    assert sent({"id": 88})(UNDER_WAY).created_us == at(5)


def test_a_webhook_that_was_quicker_stands() -> None:
    """It may have told more since: that the customer has read it."""
    row = replace(
        UNDER_WAY,
        chatwoot_message_id=88,
        created_us=at(6),
        delivery_state="read",
        next_attempt_us=None,
    )
    assert sent(TOLD)(row) is row


@pytest.mark.parametrize(
    ("settle", "wanted"),
    [
        (
            failed(CLAIMED, "gave_up", "x", at(90)),
            {
                "delivery_state": "failed",
                "delivery_error": DeliveryError("gave_up", "x"),
                "next_attempt_us": at(90),
                "is_outcome_unknown": False,
            },
        ),
        (
            failed(CLAIMED, "gave_up", "x", at(90), is_unknown=True),
            {
                "delivery_state": "failed",
                "delivery_error": DeliveryError("gave_up", "x"),
                "next_attempt_us": at(90),
            },
        ),
        (
            still_unknown(CLAIMED, at(60), at(40)),
            {"delivery_attempts": 0, "next_attempt_us": at(60), "answered_us": at(40)},
        ),
        (
            put_off(CLAIMED, at(60), is_unknown=True, answered_us=at(40)),
            {"next_attempt_us": at(60), "answered_us": at(40)},
        ),
        (
            put_off(CLAIMED, at(60), is_unknown=False),
            {"next_attempt_us": at(60), "is_outcome_unknown": False},
        ),
        (
            not_yet(CLAIMED, at(10)),
            {"delivery_attempts": 0, "is_outcome_unknown": False, "next_attempt_us": at(11)},
        ),
        (unchanged, {}),
    ],
)
def test_an_attempt_settles_its_own_row(settle: Settle, wanted: dict[str, object]) -> None:
    """And leaves one alone that was settled, or that another attempt has."""
    assert settle(UNDER_WAY) == replace(UNDER_WAY, **wanted)
    for row in (
        replace(UNDER_WAY, delivery_attempts=2),
        replace(UNDER_WAY, delivery_state="sent", chatwoot_message_id=88),
    ):
        assert settle(row) is row
