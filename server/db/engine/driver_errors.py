"""The drivers' errors as ours: gone, to be tried again, the database's own doing, or the fault of
what was to be stored.

Every error of a database becomes one of ours here, so that none reaches a person as a mistake of
the server.
"""

import asyncio
import re
import sqlite3

import pymysql

from server.db.engine.refusals import (
    TABLE,
    Act,
    number_of,
    words_of,
)
from server.errors import (
    DatabaseRefuses,
    DatabaseRetryable,
    DatabaseUnavailable,
    DuplicateRow,
    RowRefused,
    StatementRefused,
)

_DUPLICATE = 1062
_UNTRUE_SCHEMA = re.compile("no such (table|column)|has no column")
_AWAY = re.compile("disk|full|readonly|unable to open")


def translate(error: Exception) -> Exception:
    """A driver's error as one of ours; anything else is given back as it is."""
    if isinstance(error, pymysql.err.MySQLError):
        return _translate_mysql(error)
    if isinstance(error, sqlite3.Error):
        translated = _translate_sqlite(error)
        translated.__cause__ = error  # the spool asks it whether the file is damaged
        return translated
    if isinstance(
        error, (OSError, TimeoutError, asyncio.IncompleteReadError, EOFError, RuntimeError)
    ):
        return DatabaseUnavailable(f"the database could not be reached ({type(error).__name__})")
    return error


def translate_at_the_door(error: Exception) -> Exception:
    """Why no connection could be made. Whoever is refused there has stored nothing yet; SQLite says
    that a file is damaged.
    """
    translated = translate(error)
    is_ours = isinstance(translated, DatabaseUnavailable) or isinstance(error, sqlite3.Error)
    return translated if is_ours else DatabaseRefuses()


def is_demoted(error: Exception) -> bool:
    """Whether the server has stopped taking writes: all connections to it are to be made anew."""
    return (refusal := TABLE.get(number_of(error))) is not None and refusal.act is Act.DEMOTED


def keeps_connection(error: Exception) -> bool:
    """Whether the connection is as good as before, though the database refuses: a table is not as
    it must be.
    """
    if isinstance(error, sqlite3.Error):
        return bool(_UNTRUE_SCHEMA.search(str(error)))
    return (refusal := TABLE.get(number_of(error))) is not None and refusal.act is Act.SCHEMA


def _translate_mysql(error: pymysql.err.MySQLError) -> Exception:
    number = number_of(error)
    if number == _DUPLICATE:
        return DuplicateRow(words_of(error))
    match refusal.act if (refusal := TABLE.get(number)) is not None else None:
        case Act.RETRY:
            return DatabaseRetryable(f"the database asked to try again ({number})")
        case Act.RECONNECT:
            return DatabaseUnavailable(f"the connection to the database was lost ({number})")
        case Act.DEMOTED | Act.AWAY | Act.RIGHTS | Act.FULL | Act.SCHEMA:
            return DatabaseRefuses()
        case Act.ROW:
            return _row_refused(error)
    if number == 0 or isinstance(error, pymysql.err.InterfaceError):
        return DatabaseUnavailable("the connection to the database was lost")
    if isinstance(error, (pymysql.err.DataError, pymysql.err.IntegrityError)):
        return _row_refused(error)
    return StatementRefused(f"The database refuses this: {words_of(error)}")


def _translate_sqlite(error: sqlite3.Error) -> Exception:
    words = str(error)
    if isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in words:
        return DuplicateRow(words)
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError)):
        return _row_refused(error)
    # a damaged file is no such one, and speaks of a disk as well
    if isinstance(error, sqlite3.OperationalError):
        if "locked" in words:
            return DatabaseRetryable("the database is locked")
        if _AWAY.search(words):
            return DatabaseUnavailable(f"SQLite: {words}")
        if _UNTRUE_SCHEMA.search(words):
            return DatabaseRefuses()
    return StatementRefused(f"The database refuses this: {words_of(error)}")


def _row_refused(error: Exception) -> RowRefused:
    return RowRefused(f"The database does not take this: {words_of(error)}")
