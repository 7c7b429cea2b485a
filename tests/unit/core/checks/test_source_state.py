"""Which source is alive, and what is said of it."""

import pytest

from server.core.checks.source_state import SILENT_US, Silence, socket_sentence
from server.core.times import SECOND
from server.problems import english

HOUR = 3_600 * SECOND


def test_a_quiet_night_is_no_silence_of_webhooks() -> None:
    """The first word after hours comes by the socket, and its webhook half a minute later."""
    silence = Silence()
    assert not silence.update(seen_us=HOUR, heard_us=HOUR)
    assert not silence.update(seen_us=HOUR, heard_us=9 * HOUR)
    assert not silence.update(seen_us=9 * HOUR + 30 * SECOND, heard_us=9 * HOUR)
    assert not silence.update(seen_us=9 * HOUR + 30 * SECOND, heard_us=20 * HOUR)


def test_news_that_no_webhook_follows_is_told_after_a_while() -> None:
    silence = Silence()
    assert not silence.update(seen_us=HOUR, heard_us=2 * HOUR)
    assert not silence.update(seen_us=HOUR, heard_us=2 * HOUR + SILENT_US)
    assert silence.update(seen_us=HOUR, heard_us=2 * HOUR + SILENT_US + 1)
    assert not silence.update(seen_us=3 * HOUR, heard_us=2 * HOUR + SILENT_US + 1), "one has come"


@pytest.mark.parametrize(
    ("state", "problem", "behind_us", "sentence"),
    [
        (None, None, None, "Chatwoot's socket is not listened to; news comes by webhook alone"),
        ("live", None, 61_300, "Chatwoot's socket is heard, its last new message after 61 ms"),
        ("live", None, None, "Chatwoot's socket is heard"),
        (
            "refused",
            "no answer",
            None,
            "Chatwoot's socket is refused (no answer); news comes by webhook alone",
        ),
        (
            "away",
            None,
            5,
            "Chatwoot's socket is not heard (connecting); news comes by webhook alone",
        ),
    ],
)
def test_what_is_said(
    state: str | None, problem: str | None, behind_us: int | None, sentence: str
) -> None:
    assert english(socket_sentence(state, problem, behind_us)) == sentence
