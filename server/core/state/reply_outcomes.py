"""What an attempt to send a reply leaves in its row: functions from the row as it is then to the
row as it should be.

An attempt waits for Chatwoot outside any transaction, so it cannot say what the row becomes, only
how it changes: the webhook may have been quicker, and the lease may have gone to somebody else.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from server.core.chatwoot.attachment_payloads import parse_attachments, with_known
from server.core.chatwoot.normal_form import plain_text
from server.core.state.delivery import (
    Age,
    arrived,
    is_part,
    with_status,
    with_stored_text,
)
from server.core.state.entities import DeliveryError, Message
from server.core.state.refusals import CHANNEL_ERROR
from server.core.times import SECOND, parse_time

RETRYING = DeliveryError("retrying", "Chatwoot does not answer; it is being tried again by itself")

Settle = Callable[[Message], Message]


def sent(stored: Mapping[str, Any]) -> Settle:
    """`stored` is the message as Chatwoot has it: with its time, and with the addresses its files
    have got there.
    """

    def settle(current: Message) -> Message:
        if current.attachments and all(
            attachment.url is None for attachment in current.attachments
        ):
            current = replace(
                current,
                attachments=with_known(parse_attachments(dict(stored)), current.attachments)
                or current.attachments,
            )
        if current.chatwoot_message_id is not None:
            return current  # the webhook was quicker
        content = stored.get("content", current.content)
        is_further = is_part(current, content)
        if not is_further and isinstance(content, str):
            current = with_stored_text(current, plain_text(content))
        return arrived(
            replace(
                current,
                # of a further message made of it; that one has a row of its own
                chatwoot_message_id=None if is_further else stored["id"],
                created_us=parse_time(stored.get("created_at")) or current.created_us,
                next_attempt_us=None,
                is_outcome_unknown=False,
            ),
            is_private=stored.get("private", current.is_private) is True,
            status=stored.get("status"),
        )

    return settle


def sent_again(
    claimed: Message, stored: Mapping[str, Any], now_us: int, began_us: int | None = None
) -> Settle:
    """What became of a message that Chatwoot had already, and was to hand to its channel again.
    `stored`: as it is there at `now_us`. `began_us`: when it was asked to; a refusal that came in
    before that is of an older attempt.
    """

    def settle(current: Message) -> Message:
        attributes = stored.get("content_attributes")
        error = attributes.get("external_error") if isinstance(attributes, dict) else None
        settled = replace(
            current,
            delivery_state="failed",
            delivery_error=DeliveryError(CHANNEL_ERROR, ""),
            next_attempt_us=None,
            is_outcome_unknown=False,
            answered_us=None,
            observed_us=max(current.observed_us, now_us),
        )
        is_text = isinstance(error, str) and bool(error)
        return with_status(settled, stored.get("status"), error if is_text else None, age=Age.NEWER)

    def settle_own(current: Message) -> Message:
        is_stale = (
            current.delivery_state == "failed"
            and began_us is not None
            and current.observed_us < began_us
            and current.delivery_attempts == claimed.delivery_attempts + 1
        )
        return settle(current) if is_stale else _of_attempt(claimed, settle)(current)

    return settle_own


def failed(
    claimed: Message,
    code: str,
    sentence: str,
    next_us: int | None = None,
    *,
    is_unknown: bool = False,
) -> Settle:
    """Given up. `next_us`: a person's wish to send it again waits until then. `is_unknown`: it may
    have reached Chatwoot all the same.
    """
    error = DeliveryError(code, sentence)
    return _of_attempt(
        claimed,
        lambda current: replace(
            current,
            delivery_state="failed",
            delivery_error=error,
            next_attempt_us=next_us,
            is_outcome_unknown=is_unknown,
        ),
    )


def put_off(
    claimed: Message,
    next_us: int,
    *,
    is_unknown: bool,
    answered_us: int | None = None,
    error: DeliveryError | None = None,
) -> Settle:
    """To be tried again; `error`: what people read meanwhile. `is_unknown`: it may have reached
    Chatwoot, so the next attempt looks first; `answered_us`: when Chatwoot first answered since,
    without it.
    """
    return _of_attempt(
        claimed,
        lambda current: replace(
            current,
            next_attempt_us=next_us,
            is_outcome_unknown=is_unknown,
            answered_us=answered_us,
            delivery_error=error,
        ),
    )


def still_unknown(claimed: Message, next_us: int, answered_us: int) -> Settle:
    """Chatwoot answers and does not have it, but may yet: nothing was tried, so the wait counts as
    no attempt.
    """
    return _of_attempt(
        claimed,
        lambda current: replace(
            current,
            delivery_attempts=claimed.delivery_attempts,
            is_outcome_unknown=True,
            next_attempt_us=next_us,
            answered_us=answered_us,
        ),
    )


def not_yet(claimed: Message, now_us: int) -> Settle:
    """Nothing was tried: as if it had not been claimed, and due again in a moment."""
    return _of_attempt(
        claimed,
        lambda current: replace(
            current,
            delivery_attempts=claimed.delivery_attempts,
            is_outcome_unknown=claimed.is_outcome_unknown,
            next_attempt_us=now_us + SECOND,
        ),
    )


def unchanged(current: Message) -> Message:
    """Return the reply as it is: an outcome that teaches nothing new."""
    return current


def _of_attempt(claimed: Message, settle: Settle) -> Settle:
    """Settle only while the reply is still being sent by the attempt that began with `claimed`.
    What an attempt learns that lost its lease says nothing of the one that has it now, which may be
    at Chatwoot this very moment.
    """

    def settle_own(current: Message) -> Message:
        is_own = (
            current.delivery_state == "sending"
            and current.delivery_attempts == claimed.delivery_attempts + 1
        )
        return settle(current) if is_own else current

    return settle_own
