"""The table of error numbers: the docs show it, each number has one row, and nothing of a database
is left untranslated.
"""

from pathlib import Path

import pymysql
import pytest

from server.db.engine.driver_errors import translate
from server.db.engine.refusals import (
    TABLE,
    Act,
    Refusals,
    render,
    words_of,
)
from server.errors import (
    DatabaseRefuses,
    DatabaseUnavailable,
    OmniError,
    RowRefused,
    StatementRefused,
)

_ERRORS = Path(__file__).parents[4] / "docs" / "errors.md"
_NEEDED = (
    "1290 1792 1836 1047 1226 1203 1040 1044 1045 1142 1143 1054 1146 1205 1213 1053 2006 2013 "
    "1927 3024 1021 1114 "
    "1406 1264 1366 1265 1062 4025 3819"
)


def test_the_docs_show_the_table() -> None:
    """As `python -m server.db.engine.refusals` prints it."""
    assert f"-->\n{render()}<!-- end of refusals -->" in _ERRORS.read_text()


def test_the_table_has_what_a_database_is_known_to_say() -> None:
    """And each number in one row of it."""
    assert {int(number) for number in _NEEDED.split()} <= TABLE.keys()
    assert sum(
        line.count(f" {number} ") for line in render().splitlines() for number in TABLE
    ) >= len(TABLE)


@pytest.mark.parametrize("number", [*TABLE, 0, 1064, 1690, 9999])
def test_every_number_becomes_an_error_of_ours(number: int) -> None:
    """With 503 or a clear 4xx, never 500; whoever is refused for the database's sake may come
    again.
    """
    error = translate(pymysql.err.OperationalError(number, "its words"))
    assert isinstance(error, OmniError)
    assert error.status in (409, 422, 503)
    assert (error.status == 503) == (error.retry_seconds is not None)
    refusal = TABLE.get(number)
    if refusal is not None and refusal.act is not Act.ROW:
        assert isinstance(error, DatabaseUnavailable)
        assert "its words" not in error.message, "they are for operators"


def test_an_unknown_number_is_told_in_its_words() -> None:
    """Nobody knows whose fault it is: a batch is examined one by one then."""
    error = translate(pymysql.err.ProgrammingError(1064, "You have an error in your SQL syntax"))
    assert isinstance(error, StatementRefused)
    assert "SQL syntax (1064)" in error.message
    assert isinstance(translate(pymysql.err.DataError(1367, "Illegal value")), RowRefused)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Duplicate entry '1-chatwoot_99' for key 'uq_x'",
            "Duplicate entry … for key 'uq_x' (1062)",
        ),
        (
            "Incorrect integer value: 'my secret' for column 'n'",
            "Incorrect integer value: … for column 'n' (1062)",
        ),
        (
            "Data too long for column 'content' at row 1",
            "Data too long for column 'content' at row 1 (1062)",
        ),
    ],
)
def test_no_value_of_a_row_is_told(said: str, shown: str) -> None:
    """What customers wrote stands in no log and no answer."""
    assert words_of(pymysql.err.IntegrityError(1062, said)) == shown


def test_what_was_met_is_told_until_a_write_is_taken() -> None:
    """For some seconds at least, as some calls are refused while others are not; what concerns one
    table, by time alone.
    """
    now = 100.0
    refusals = Refusals(lambda: now)
    refusals.record(pymysql.err.OperationalError(1290, "read-only"))
    refusals.record_write()
    assert "read-only (1290)" in (refusals.problem() or "")
    now += 60.0
    assert refusals.problem() is not None, "nothing has shown that it is over"
    refusals.record_write()
    assert refusals.problem() is None
    refusals.record(pymysql.err.OperationalError(1142, "INSERT command denied"))
    refusals.record_write()
    assert "grant it: INSERT command denied (1142)" in (refusals.problem() or "")
    now += 11.0
    assert refusals.problem() is None
    refusals.record(pymysql.err.OperationalError(1205, "Lock wait timeout"))
    refusals.record(DatabaseRefuses())
    assert refusals.problem() is None
