"""What the drivers' errors mean for us: gone, to be tried again, a duplicate, or the call's own."""

import asyncio
import re
import sqlite3

import pymysql

from server.errors import DatabaseRetryable, DatabaseUnavailable, DuplicateRow

# MySQL client and server errors (dev.mysql.com and mariadb.com, error reference).
# This connection is gone, or the server is going, or it takes no more of us.
_LOST = {2002, 2003, 2006, 2013, 2014, 2055, 1040, 1042, 1043, 1053, 1077, 1079, 1152, 1153, 1156, 1158, 1159, 1160, 1161, 1184, 1317, 1927}
_LOST |= {1203, 1226, 3169, 4031}  # connection limits, killed, idle for too long
# This server takes no writes (any more): another one does, and only new connections find it.
_DEMOTED = {1290, 1792, 1836, 3032, 3100}
# The server cannot write for want of room or memory: nobody's data is to blame.
_EXHAUSTED = {1021, 1026, 1030, 1037, 1038, 1041, 1114}
_RETRYABLE = {1205, 1213, 1020}
_DUPLICATE = 1062


def translate(error: Exception) -> Exception:
    """A driver's error as one of ours; anything else is given back as it is."""
    if isinstance(error, pymysql.err.MySQLError):
        return _translate_mysql(error)
    if isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in str(error):
        return DuplicateRow(str(error))
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return DatabaseRetryable("the database is locked")
    if isinstance(error, sqlite3.OperationalError) and re.search("disk|full|readonly|unable to open", str(error)):
        return DatabaseUnavailable(f"SQLite: {error}")
    if isinstance(error, (OSError, TimeoutError, asyncio.IncompleteReadError, EOFError, RuntimeError)):
        return DatabaseUnavailable(f"the database could not be reached ({type(error).__name__})")
    return error


def is_demoted(error: Exception) -> bool:
    """Whether the server has stopped taking writes: all connections to it are to be made anew."""
    return isinstance(error, pymysql.err.MySQLError) and _number(error) in _DEMOTED


def _translate_mysql(error: pymysql.err.MySQLError) -> Exception:
    number = _number(error)
    if number in _RETRYABLE:
        return DatabaseRetryable(f"the database asked to try again ({number})")
    if number == _DUPLICATE:
        return DuplicateRow(str(error.args[1]))
    if number in _DEMOTED:
        return DatabaseUnavailable(f"the database takes no writes ({number})")
    if number in _EXHAUSTED:
        return DatabaseUnavailable(f"the database has no room or memory left ({number})")
    if number in _LOST or isinstance(error, pymysql.err.InterfaceError):
        return DatabaseUnavailable(f"the connection to the database was lost ({number})")
    return error


def _number(error: pymysql.err.MySQLError) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0
