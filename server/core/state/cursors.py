"""Compares a client's cursor with an event log: live, replay or reset."""

from enum import Enum

import msgspec

from server.core.identifiers import MAX_SAFE_INTEGER, parse_digits

MAX_CURSOR_CHARACTERS = 64


class Cursor(msgspec.Struct, frozen=True):
    """A place in a company's event log: everything up to `seq` of this epoch has been seen."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


class Mode(Enum):
    """How a client's subscription begins; a value of the frame `welcome`."""

    LIVE = "live"
    REPLAY = "replay"
    RESET = "reset"


class Verdict(msgspec.Struct, frozen=True):
    """How a client goes on from its cursor; `reason` only with RESET."""

    mode: Mode
    reason: str | None = None


class Stream(msgspec.Struct, frozen=True):
    """One company's log: `floor` is the highest seq that is gone, so a cursor at it is still
    good.
    """

    epoch: str
    head: int
    floor: int

    @property
    def cursor(self) -> str:
        """The cursor of a client that has seen everything."""
        return f"{self.epoch}.{self.head}"


def is_older(epoch: str, other: str) -> bool:
    """Whether an epoch began before another: their names begin with the time, and only a restored
    backup brings an older one back.
    """
    return (len(epoch), epoch) < (len(other), other)


def parse_cursor(text: str) -> Cursor:
    """Raises ValueError for what never was a cursor of ours."""
    epoch, dot, seq = text.partition(".")
    if len(text) > MAX_CURSOR_CHARACTERS or not dot or not (epoch.isascii() and epoch.isalnum()):
        raise ValueError("no cursor")
    number = parse_digits(seq, MAX_SAFE_INTEGER)
    if number is None:
        raise ValueError("no cursor")
    return Cursor(epoch, number)


def judge(cursor: Cursor | None, stream: Stream) -> Verdict:
    """What a client that comes with this cursor needs. A cursor of another company has another
    epoch.
    """
    if cursor is None:
        return Verdict(Mode.RESET, "new")
    if cursor.epoch != stream.epoch:
        return Verdict(Mode.RESET, "epoch")
    if cursor.seq > stream.head:
        return Verdict(Mode.RESET, "ahead")
    if cursor.seq < stream.floor:
        return Verdict(Mode.RESET, "too_old")
    return Verdict(Mode.LIVE if cursor.seq == stream.head else Mode.REPLAY)
