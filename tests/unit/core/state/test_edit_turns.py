"""Which conversations a round of reconcile reads again: all that changed, and of the others some in
turn.
"""

from server.core.state.edit_turns import EditTurns
from server.core.state.entities import Json

UNTIL_US = 1_000 * 10**6


def _rows(count: int, at: float = 100.0) -> list[Json]:
    return [
        {"id": number, "updated_at": at, "last_activity_at": int(at)}
        for number in range(1, count + 1)
    ]


def _numbers(rows: list[Json]) -> list[int]:
    return [row["id"] for row in rows]


def _read(turns: EditTurns, rows: list[Json], most: int, until_us: int = UNTIL_US) -> list[int]:
    chosen = turns.choose(rows, most)
    for row in chosen:
        turns.record_read(row, until_us)
    return _numbers(chosen)


def test_everything_is_read_at_first_and_then_in_turns() -> None:
    turns, rows = EditTurns(), _rows(10)
    assert _read(turns, rows, 4) == list(range(1, 11))
    assert [_read(turns, rows, 4) for _ in range(4)] == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [1, 2, 9, 10],
        [3, 4, 5, 6],
    ]


def test_what_changed_is_always_read() -> None:
    """By either time, and besides those whose turn it is."""
    turns, rows = EditTurns(), _rows(10)
    _read(turns, rows, 2)
    rows[8] = rows[8] | {"updated_at": 100.25}
    rows[9] = rows[9] | {"last_activity_at": 101}
    assert _read(turns, rows, 2) == [1, 2, 9, 10]
    assert _read(turns, rows, 2) == [3, 4]


def test_what_may_still_have_been_too_young_is_read_again() -> None:
    """Its newest message was left to its webhook."""
    turns, rows = EditTurns(), _rows(10)
    _read(turns, rows, 2)
    rows[8] = rows[8] | {"updated_at": 1_001.0}
    assert 9 in _read(turns, rows, 2)
    assert 9 in _read(turns, rows, 2)
    assert 9 in _read(turns, rows, 2, UNTIL_US + 10**7)
    assert 9 not in _read(turns, rows, 2)


def test_few_are_all_read_each_time() -> None:
    turns, rows = EditTurns(), _rows(4)
    assert [_read(turns, rows, 4) for _ in range(3)] == [[1, 2, 3, 4]] * 3


def test_what_has_left_the_list_is_forgotten() -> None:
    turns, rows = EditTurns(), _rows(10)
    _read(turns, rows, 4)
    assert _read(turns, rows[:3], 4) == [1, 2, 3]
    assert _read(turns, rows, 4) == list(range(1, 11)), "the others were read long ago"
