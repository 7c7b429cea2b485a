"""Until when a channel lets a company answer a customer. Pure, and without a clock.

What is told here changes only with what is stored, so that a snapshot and the events after it say
the same: a window that is `open` has passed once `until` has, and whoever has a clock sees that.
Hours as in Chatwoot's message_window_service.rb.
"""

from collections.abc import Mapping

import msgspec

from server.core.times import CLOCK_SKEW_US, SECOND

_HOUR_US = 3_600 * SECOND
# The shorter one counts unless Chatwoot says otherwise: Meta's is 7 days where Chatwoot may use the
# tag for human agents
_HOURS: Mapping[str, tuple[int, ...]] = {
    "Channel::FacebookPage": (24, 7 * 24),
    "Channel::Instagram": (24, 7 * 24),
    "Channel::Whatsapp": (24,),
    "Channel::Tiktok": (48,),
}


class ReplyWindow(msgspec.Struct, frozen=True):
    """`state`: `open` (until then), `closed`, or None where the channel has no window. `reason`,
    when closed: `expired`, `no_message` (the customer has yet to write), `channel` (Chatwoot says
    so, for a reason of the channel's own), `gone` (Chatwoot no longer has the conversation).
    """

    until_us: int | None = None
    state: str | None = None
    reason: str | None = None


_NONE = ReplyWindow()


def reply_window(
    channel: str | None, last_inbound_us: int | None, can_reply: bool | None, observed_us: int
) -> ReplyWindow:
    """`can_reply` is what Chatwoot said at `observed_us`; what it said before the customer's last
    message counts no more.
    """
    said = _still_said(can_reply, last_inbound_us, observed_us)
    hours = _HOURS.get(channel or "")
    if hours is None:
        return ReplyWindow(None, "closed", "channel") if said is False else _NONE
    if last_inbound_us is None:
        return _NONE if said else ReplyWindow(None, "closed", "no_message")
    ends = [last_inbound_us + n * _HOUR_US for n in hours]
    if said is False:
        return ReplyWindow(ends[0], "closed", "expired")
    # open after the shorter window's end: the longer one is in force, or (WhatsApp without Meta's
    # rules) none
    until_us = next((end for end in ends if not said or observed_us < end), None)
    return _NONE if until_us is None else ReplyWindow(until_us, "open")


def has_window(channel: str | None) -> bool:
    """Whether the channel usually has a window."""
    return channel in _HOURS


def may_be_longer(channel: str | None) -> bool:
    """Whether the channel has a longer window where Chatwoot is set up for it."""
    return len(_HOURS.get(channel or "", ())) > 1


def certain_closing(
    channel: str | None,
    last_inbound_us: int | None,
    can_reply: bool | None,
    observed_us: int,
    now_us: int,
) -> str | None:
    """Why a reply cannot reach the customer now, as `ReplyWindow.reason`; None where it may.

    Chatwoot's no counts if it was said after the customer's last message that is known. Without it
    the longest window that the channel may have is over, by `now_us`, and Chatwoot has not said
    since its end that a reply is possible.
    """
    if _still_said(can_reply, last_inbound_us, observed_us) is False:
        return reply_window(channel, last_inbound_us, can_reply, observed_us).reason
    hours = _HOURS.get(channel or "")
    if hours is None or last_inbound_us is None:
        return None
    end_us = last_inbound_us + max(hours) * _HOUR_US
    is_open = can_reply is True and observed_us >= end_us
    return None if is_open or now_us < end_us + CLOCK_SKEW_US else "expired"


def _still_said(
    can_reply: bool | None, last_inbound_us: int | None, observed_us: int
) -> bool | None:
    """What Chatwoot said, or None where the customer may have written since. Their message's time
    is told to the second: a no of the same second may be the older one, and no window is so short.
    """
    if last_inbound_us is None:
        return can_reply
    since_us = last_inbound_us + SECOND if can_reply is False else last_inbound_us
    return can_reply if observed_us >= since_us else None
