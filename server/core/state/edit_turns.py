"""Whose messages a round of reconcile reads again, where more conversations were active lately than
one round should ask for.

What has changed since it was read is always read. The rest may hold an edit or a deletion, of which
the list of conversations says nothing: these take turns, so many in a round. After a bulk act that
touches thousands, each round would else ask for all of them, for hours. Pure, and in memory: a
process that has just started reads everything once.
"""

from collections.abc import Sequence

from server.core.state.entities import Json
from server.core.times import parse_time, parse_version

MAX_UNCHANGED = 300  # in one round


class EditTurns:
    """Of one integration."""

    __slots__ = ("_last", "_read")

    def __init__(self) -> None:
        self._read: dict[int, tuple[int, int]] = {}  # conversation -> its times when it was read
        self._last = 0  # the number that had its turn last

    def choose(self, rows: Sequence[Json], most: int = MAX_UNCHANGED) -> list[Json]:
        """Those to read now, in their order. Forgets what is not among these any more."""
        marks = {row["id"]: _times(row) for row in rows if isinstance(row.get("id"), int)}
        self._read = {
            number: mark for number, mark in self._read.items() if marks.get(number) == mark
        }
        if len(self._read) <= most:
            return list(rows)
        waiting = sorted(self._read)
        turn = [number for number in waiting if number > self._last][:most]
        turn += waiting[: most - len(turn)]
        self._last = turn[-1]
        left_out = self._read.keys() - set(turn)
        return [row for row in rows if row.get("id") not in left_out]

    def record_read(self, row: Json, until_us: int) -> None:
        """It was read whole, but for what is younger than `until_us`."""
        if isinstance(number := row.get("id"), int) and max(times := _times(row)) <= until_us:
            self._read[number] = times


def _times(row: Json) -> tuple[int, int]:
    return parse_version(row.get("updated_at")) or 0, parse_time(row.get("last_activity_at")) or 0
