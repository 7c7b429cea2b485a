"""What the database has refused, as far as notes of the CRM's writes may be missing for it."""

import time
from collections.abc import Callable, Collection

from server.core.times import SECOND
from server.db.engine.refusals import Act, Refusals

# nobody tried for so long whether notes can be written, a process that ended meanwhile included
_UNPROVED_SECONDS = 600.0
_REFUSED_TO_ALL = {Act.FULL}  # met by any call of ours: a note may have met it as well
_REFUSED_TO_NOTES = {*_REFUSED_TO_ALL, Act.RIGHTS, Act.SCHEMA}


class NewRefusals:
    """Whether the database has refused something of a kind since that was last asked."""

    def __init__(self, refusals: Refusals, acts: Collection[Act]) -> None:
        self._refusals = refusals
        self._acts = acts
        self._counted = 0

    def has_new(self) -> bool:
        """Whether there were any since the last call, or since the start of the process."""
        count = sum(self._refusals.counts[act] for act in self._acts)
        is_new = count != self._counted
        self._counted = count
        return is_new

    @property
    def is_over(self) -> bool:
        """Whether none of them is going on."""
        return not self._refusals.is_refusing(self._acts)


class NoteRefusals:
    """Whether notes of the CRM's writes may be missing since one was last written for certain.

    A try begins with `begin`, and ends with one of `end_written`, `end_refused`, `end_away`. A
    server that cannot be reached says nothing of its triggers: only refusals count, and silence of
    minutes.
    """

    def __init__(self, refusals: Refusals, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._of_all = NewRefusals(refusals, _REFUSED_TO_ALL)
        self._of_notes = NewRefusals(refusals, _REFUSED_TO_NOTES)
        self._may_lack = False  # notes could not be written, or maybe not, since the last one
        self._is_ordering = False
        self._began_at = 0.0
        self._written_at: float | None = None
        self.reason: str | None = None  # why the last try was refused, in words

    @property
    def seconds_since_written(self) -> float:
        """How long ago the last note was written; 0.0 before the first."""
        return 0.0 if self._written_at is None else self._monotonic() - self._written_at

    @property
    def longest_us(self) -> int | None:
        """For the first try of this process: the silence, by the database's clock, after which
        nobody knows what went without a note. None later.
        """
        return int(_UNPROVED_SECONDS * SECOND) if self._written_at is None else None

    def begin(self) -> bool:
        """A try begins. Whether it is to order a comparison: notes may be missing, and what refused
        them is over, so that one comparison finds them all.
        """
        self._began_at = self._monotonic()
        self._of_notes.has_new()
        self._may_lack |= self._of_all.has_new() or self.seconds_since_written > _UNPROVED_SECONDS
        self._is_ordering = self._may_lack and self._of_all.is_over
        return self._is_ordering

    def end_written(self) -> None:
        """The note was written, and what `begin` said was ordered."""
        self._may_lack &= not self._is_ordering
        self._written_at, self.reason = self._began_at, None

    def end_refused(self, reason: str) -> None:
        """It cannot be written, for a reason that `Refusals` does not know."""
        self._may_lack, self.reason = True, reason

    def end_away(self) -> None:
        """The database went away under it, or refused it."""
        self._may_lack |= self._of_notes.has_new()
