"""Reply windows: which channels have one, how long, and what Chatwoot's own word changes."""

import pytest

from server.core.state.reply_window import ReplyWindow, certain_closing, reply_window
from server.core.times import CLOCK_SKEW_US, SECOND

HOUR = 3_600 * SECOND
WROTE = 1_784_365_260 * SECOND


@pytest.mark.parametrize(
    ("channel", "hours"),
    [
        ("Channel::FacebookPage", 24),
        ("Channel::Instagram", 24),
        ("Channel::Whatsapp", 24),
        ("Channel::Tiktok", 48),
    ],
)
@pytest.mark.parametrize("can_reply", [True, None])
def test_a_window_is_open_for_its_hours(channel: str, hours: int, can_reply: bool | None) -> None:
    """From the customer's last message on."""
    assert reply_window(channel, WROTE, can_reply, WROTE) == ReplyWindow(
        WROTE + hours * HOUR, "open"
    )


@pytest.mark.parametrize(
    "channel", [None, "Channel::WebWidget", "Channel::Email", "Channel::Api", "Channel::TwilioSms"]
)
def test_other_channels_have_none(channel: str | None) -> None:
    """Unless Chatwoot says that no reply is possible."""
    assert (
        reply_window(channel, WROTE, True, WROTE)
        == reply_window(channel, None, None, 0)
        == ReplyWindow()
    )
    assert reply_window(channel, WROTE, False, WROTE + SECOND) == ReplyWindow(
        None, "closed", "channel"
    )


@pytest.mark.parametrize("channel", ["Channel::FacebookPage", "Channel::Instagram"])
def test_meta_s_window_is_seven_days_where_chatwoot_may_use_the_tag(channel: str) -> None:
    """It says that a reply is possible after a day: then the longer window is in force."""
    assert reply_window(channel, WROTE, True, WROTE + 25 * HOUR) == ReplyWindow(
        WROTE + 7 * 24 * HOUR, "open"
    )
    assert reply_window(channel, WROTE, True, WROTE + 8 * 24 * HOUR) == ReplyWindow()


def test_whatsapp_that_is_open_after_a_day_has_no_window() -> None:
    """Chatwoot's light form of it has none."""
    assert reply_window("Channel::Whatsapp", WROTE, True, WROTE + 24 * HOUR) == ReplyWindow()


def test_chatwoot_s_no_closes_it() -> None:
    """Whatever the hours say."""
    assert reply_window("Channel::FacebookPage", WROTE, False, WROTE + 30 * HOUR) == ReplyWindow(
        WROTE + 24 * HOUR, "closed", "expired"
    )


def test_a_no_from_before_the_customer_s_last_message_counts_no_more() -> None:
    """The customer has written again, and the payload did not say whether a reply is possible."""
    assert reply_window("Channel::Whatsapp", WROTE, False, WROTE - 1) == ReplyWindow(
        WROTE + 24 * HOUR, "open"
    )
    assert reply_window("Channel::WebWidget", WROTE, False, WROTE - 1) == ReplyWindow()


def test_a_no_of_the_second_in_which_the_customer_wrote_may_be_the_older_one() -> None:
    """Times of messages are told to the second, those of conversations in parts of it."""
    for said_us in (WROTE, WROTE + SECOND - 1):
        assert reply_window("Channel::Whatsapp", WROTE, False, said_us) == ReplyWindow(
            WROTE + 24 * HOUR, "open"
        )
        for channel in ("Channel::Whatsapp", "Channel::Api"):
            assert certain_closing(channel, WROTE, False, said_us, WROTE + HOUR) is None
    assert certain_closing("Channel::Api", WROTE, False, WROTE + SECOND, WROTE + HOUR) == "channel"


def test_before_the_customer_has_written_it_is_closed() -> None:
    """Unless Chatwoot says that a reply is possible: it may know of messages that we do not."""
    assert reply_window("Channel::Whatsapp", None, None, 0) == ReplyWindow(
        None, "closed", "no_message"
    )
    assert reply_window("Channel::Whatsapp", None, False, WROTE) == ReplyWindow(
        None, "closed", "no_message"
    )
    assert reply_window("Channel::Whatsapp", None, True, WROTE) == ReplyWindow()


WINDOW_CHANNELS = {
    "Channel::FacebookPage": 7 * 24,
    "Channel::Instagram": 7 * 24,
    "Channel::Whatsapp": 24,
    "Channel::Tiktok": 48,
}
OTHER_CHANNELS = (
    None,
    "Channel::WebWidget",
    "Channel::Email",
    "Channel::Api",
    "Channel::TwilioSms",
)


@pytest.mark.parametrize("channel", [*WINDOW_CHANNELS, *OTHER_CHANNELS])
@pytest.mark.parametrize("can_reply", [True, False, None])
@pytest.mark.parametrize("said_hours", [-1, 1, 30, 200])
@pytest.mark.parametrize("age_hours", [1, 25, 49, 167, 169])
def test_a_reply_is_refused_only_where_it_is_certain(
    channel: str | None, can_reply: bool | None, said_hours: int, age_hours: int
) -> None:
    """Chatwoot said no after the customer's last message; or the longest window of the channel is
    over, and Chatwoot has not said after its end that a reply is possible.
    """
    said_at_us, longest = WROTE + said_hours * HOUR, WINDOW_CHANNELS.get(channel or "")
    found = certain_closing(channel, WROTE, can_reply, said_at_us, WROTE + age_hours * HOUR)
    if can_reply is False and said_hours > 0:
        assert found == ("channel" if longest is None else "expired")
    elif longest is None or age_hours < longest or (can_reply and said_hours >= longest):
        assert found is None
    else:
        assert found == "expired"


@pytest.mark.parametrize(("channel", "hours"), WINDOW_CHANNELS.items())
def test_clocks_may_differ_by_a_little(channel: str, hours: int) -> None:
    """The customer's message is told by Chatwoot's clock, and now is the database's."""
    end_us = WROTE + hours * HOUR
    for now_us, closing in (
        (end_us, None),
        (end_us + CLOCK_SKEW_US - 1, None),
        (end_us + CLOCK_SKEW_US, "expired"),
        (WROTE - 5 * HOUR, None),  # the database's clock is behind
    ):
        assert certain_closing(channel, WROTE, True, WROTE, now_us) == closing


@pytest.mark.parametrize("channel", [*WINDOW_CHANNELS, *OTHER_CHANNELS])
def test_without_a_message_of_the_customer_chatwoot_s_no_alone_closes(channel: str | None) -> None:
    """It may know of messages that we do not."""
    for can_reply in (True, None):
        assert certain_closing(channel, None, can_reply, WROTE, WROTE + 999 * HOUR) is None
    assert certain_closing(channel, None, False, WROTE, WROTE) == (
        "no_message" if channel in WINDOW_CHANNELS else "channel"
    )
