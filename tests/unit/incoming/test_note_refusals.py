"""What was refused to notes of the CRM's writes orders one comparison, once it is over."""

import pymysql
import pytest

from server.db.engine.refusals import Act, Refusals
from server.incoming.note_refusals import NewRefusals, NoteRefusals

DISK_FULL = pymysql.err.OperationalError(1021, "Disk full")
NO_TABLE = pymysql.err.ProgrammingError(1146, "Table doesn't exist")


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(clock: Clock) -> Refusals:
    return Refusals(clock)


@pytest.fixture
def notes(database: Refusals, clock: Clock) -> NoteRefusals:
    return NoteRefusals(database, clock)


def _write(notes: NoteRefusals) -> bool:
    is_ordering = notes.begin()
    notes.end_written()
    return is_ordering


def test_without_refusals_nothing_is_compared(notes: NoteRefusals) -> None:
    assert [_write(notes) for _ in range(3)] == [False, False, False]


def test_a_full_disk_is_compared_once_and_at_its_end(
    notes: NoteRefusals, database: Refusals, clock: Clock
) -> None:
    assert not _write(notes)
    database.record(DISK_FULL)
    assert not _write(notes), "it may still refuse notes"
    clock.now += 60.0
    database.record_write()
    assert _write(notes)
    assert not _write(notes), "one comparison has found what went without"


def test_a_refused_note_is_compared_also_when_its_reason_is_not_known(
    notes: NoteRefusals,
) -> None:
    assert not notes.begin()
    notes.end_refused("a table is damaged")
    assert notes.reason == "a table is damaged"
    assert _write(notes)
    assert notes.reason is None


def test_a_database_that_is_away_orders_only_with_a_refusal(
    notes: NoteRefusals, database: Refusals
) -> None:
    notes.begin()
    notes.end_away()
    assert not _write(notes), "it could not be reached: that says nothing of its triggers"
    notes.begin()
    database.record(NO_TABLE)
    notes.end_away()
    assert _write(notes)


def test_silence_of_minutes_is_compared(notes: NoteRefusals, clock: Clock) -> None:
    assert notes.longest_us == 600_000_000, "the first one asks the database's clock"
    assert not _write(notes)
    assert notes.longest_us is None
    clock.now += 599.0
    assert not _write(notes)
    clock.now += 601.0
    assert _write(notes)


def test_new_refusals_are_reported_once(database: Refusals) -> None:
    new = NewRefusals(database, {Act.SCHEMA})
    assert not new.has_new()
    database.record(NO_TABLE)
    database.record(DISK_FULL)
    assert not new.is_over
    assert [new.has_new(), new.has_new()] == [True, False]
