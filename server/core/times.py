"""Times: microseconds since the epoch inside, ISO 8601 with milliseconds and `Z` on the wire."""

import datetime as dt
import email.utils
import functools
import time

SECOND = 1_000_000
MILLISECOND = 1_000
DAY_US = 24 * 3_600 * SECOND
CLOCK_SKEW_US = 10 * SECOND  # so much two clocks that are set right may differ

# the end of year 9998: datetime ends a year later, and a look around a moment must not leave it
_LATEST_SECONDS = 253_370_764_799
_LATEST = _LATEST_SECONDS * SECOND
# a number this large is no moment in seconds that any message has: between 2001 and 2100 in a
# smaller unit
_EARLIEST, _FARTHEST = 1_000_000_000, 4_102_444_800
_LONGEST_DATE = 40  # characters; what is remembered has a bound in bytes as well


def wall_now_us() -> int:
    """This machine's clock. What another process compares comes from the database's clock."""
    return int(time.time() * SECOND)


def iso(moment_us: int) -> str:
    """`2026-07-18T09:01:05.204Z`."""
    seconds, rest = divmod(moment_us, SECOND)
    return f"{_second(seconds)}.{rest // 1000:03d}Z"


@functools.lru_cache(maxsize=8192)
def _second(seconds: int) -> str:
    """Remembered: one conversation's times are written again with each of its messages."""
    t = time.gmtime(seconds)
    return f"{t[0]:04d}-{t[1]:02d}-{t[2]:02d}T{t[3]:02d}:{t[4]:02d}:{t[5]:02d}"


def iso_or_none(moment_us: int | None) -> str | None:
    """Format microseconds as ISO 8601 like `iso`; None stays None."""
    return None if moment_us is None else iso(moment_us)


def parse_time(value: object) -> int | None:
    """Microseconds from what Chatwoot and its imitators send: unix seconds (int, float, digits),
    also in milliseconds or microseconds, ISO 8601, `2020-03-03 13:05:57 UTC`, and dates of mails.

    Returns None for what is no time, and for 0, which Chatwoot uses for "never". A fraction of a
    second that is a number is rounded to milliseconds.
    """
    return _parse(value, MILLISECOND)


def parse_version(value: object) -> int | None:
    """Microseconds from a conversation's `updated_at`, like `parse_time`, and not rounded: Chatwoot
    gives them all (`updated_at.to_f`), and may change a conversation twice within a millisecond.

    A fraction that is a whole millisecond becomes one microsecond more: a version that is none by a
    microsecond was rounded (`is_rounded`).
    """
    moment_us = _parse(value, 1)
    is_exact = isinstance(value, float) and moment_us is not None and is_rounded(moment_us)
    return moment_us + 1 if is_exact and moment_us is not None else moment_us


def is_rounded(moment_us: int) -> bool:
    """Whether it is a whole millisecond."""
    return moment_us % MILLISECOND == 0


def rounded(moment_us: int) -> int:
    """The nearest whole millisecond."""
    return (moment_us + MILLISECOND // 2) // MILLISECOND * MILLISECOND


def _parse(value: object, step_us: int) -> int | None:
    """`step_us`: to what a number is rounded."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return _from_seconds(value, step_us)
    if isinstance(value, str):
        text = value.strip()
        # a date: to be told by an exception that it is no number costs more
        if text[4:5] == "-" == text[7:8]:
            return _from_text(text.removesuffix(" UTC"))
        try:
            return _from_seconds(float(text), step_us)
        except ValueError:
            return _from_text(text.removesuffix(" UTC"))
    return None


def _from_seconds(seconds: float, step_us: int) -> int | None:
    for unit in (1_000, 1_000_000):  # senders that count in milliseconds or microseconds
        if _EARLIEST * unit <= seconds <= _FARTHEST * unit:
            seconds = seconds / unit
    if not 0 < seconds <= _LATEST_SECONDS:  # also not a number, infinite, or too large for a float
        return None
    if isinstance(seconds, float):
        return round(seconds * (SECOND // step_us)) * step_us or None
    return seconds * SECOND or None


def _from_text(text: str) -> int | None:
    return _from_date(text) if len(text) <= _LONGEST_DATE else None


@functools.lru_cache(maxsize=8192)
def _from_date(text: str) -> int | None:
    """Remembered: a delivery says the same moments several times."""
    try:
        moment: dt.datetime | None = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = _from_mail(text)
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    us = since // dt.timedelta(microseconds=1)
    return us if 0 < us <= _LATEST else None


def _from_mail(text: str) -> dt.datetime | None:
    """`Sat, 28 Nov 2026 04:00:00 +0000`, as in the head of a mail or of an HTTP answer."""
    try:
        return email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
