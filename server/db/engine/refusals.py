"""What the database server says when it says no, and what we do: one table of MySQL's and MariaDB's
error numbers.

Sources: MySQL 8.4 Error Reference (dev.mysql.com/doc/mysql-errors/8.4/en, server and client
errors), MariaDB Error Codes (mariadb.com/kb/en/mariadb-error-codes), Galera's node states
(mariadb.com/kb/en/mariadb-galera-cluster-known-limitations), and for 1290, 1792 and 1836 after a
switchover also the drivers that give such a connection up (go-sql-driver/mysql, `rejectReadOnly`).
`python -m server.db.engine.refusals` prints the table of docs/errors.md; a test keeps the two
equal.
"""

import enum
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

import pymysql


class Act(enum.Enum):
    """What follows from a refusal; the value is its row in the docs."""

    RECONNECT = "this connection is given up, another one is taken, and the call is made again"
    DEMOTED = (
        "all connections are given up, as new ones may lead to another server; until then the "
        "database counts as away"
    )
    RETRY = "rolled back, and the same call is made again"
    AWAY = "the database counts as away until the server lets us in"
    RIGHTS = (
        "the connection is given up, as a grant holds for new ones, and the database counts as "
        "away until the user may do it"
    )
    FULL = "the database counts as away until it has room"
    SCHEMA = (
        "the call is refused, the tables are looked at again, and what is missing is said; "
        "nothing that was received is to blame"
    )
    ROW = "what was to be stored is at fault: it alone is refused, and tried again now and then"


class Refusal(NamedTuple):
    """One error number. `name` without the ER_ or CR_ that it begins with."""

    number: int
    name: str
    act: Act


# number and name, without the ER_ or CR_ that it begins with
_NUMBERS = {
    Act.RECONNECT: """
        1042 BAD_HOST_ERROR, 1043 HANDSHAKE_ERROR, 1053 SERVER_SHUTDOWN, 1077 NORMAL_SHUTDOWN,
        1079 SHUTDOWN_COMPLETE, 1152 ABORTING_CONNECTION, 1153 NET_PACKET_TOO_LARGE,
        1156 NET_PACKETS_OUT_OF_ORDER, 1158 NET_READ_ERROR, 1159 NET_READ_INTERRUPTED,
        1160 NET_ERROR_ON_WRITE, 1161 NET_WRITE_INTERRUPTED, 1184 NEW_ABORTING_CONNECTION,
        1317 QUERY_INTERRUPTED, 1927 CONNECTION_KILLED, 2002 CONNECTION_ERROR,
        2003 CONN_HOST_ERROR, 2006 SERVER_GONE_ERROR, 2013 SERVER_LOST,
        2014 COMMANDS_OUT_OF_SYNC, 2055 SERVER_LOST_EXTENDED, 3169 SESSION_WAS_KILLED,
        4031 CLIENT_INTERACTION_TIMEOUT
    """,
    Act.DEMOTED: """
        1047 UNKNOWN_COM_ERROR, 1290 OPTION_PREVENTS_STATEMENT,
        1792 CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, 1836 READ_ONLY_MODE,
        3032 SERVER_OFFLINE_MODE, 3100 RUN_HOOK_ERROR
    """,
    Act.RETRY: """
        1020 CHECKREAD, 1205 LOCK_WAIT_TIMEOUT, 1213 LOCK_DEADLOCK, 1412 TABLE_DEF_CHANGED,
        1615 NEED_REPREPARE, 1969 STATEMENT_TIMEOUT, 3024 QUERY_TIMEOUT, 3572 LOCK_NOWAIT
    """,
    Act.AWAY: """
        1040 CON_COUNT_ERROR, 1044 DBACCESS_DENIED_ERROR, 1045 ACCESS_DENIED_ERROR,
        1049 BAD_DB_ERROR, 1129 HOST_IS_BLOCKED, 1130 HOST_NOT_PRIVILEGED,
        1203 TOO_MANY_USER_CONNECTIONS, 1226 USER_LIMIT_REACHED,
        1698 ACCESS_DENIED_NO_PASSWORD_ERROR, 1820 MUST_CHANGE_PASSWORD,
        1862 MUST_CHANGE_PASSWORD_LOGIN, 3118 ACCOUNT_HAS_BEEN_LOCKED,
        4151 ACCOUNT_HAS_BEEN_LOCKED
    """,
    Act.RIGHTS: """
        1142 TABLEACCESS_DENIED_ERROR, 1143 COLUMNACCESS_DENIED_ERROR,
        1227 SPECIFIC_ACCESS_DENIED_ERROR, 1370 PROCACCESS_DENIED_ERROR, 1449 NO_SUCH_USER
    """,
    Act.FULL: """
        1021 DISK_FULL, 1026 ERROR_ON_WRITE, 1030 GET_ERRNO, 1037 OUTOFMEMORY,
        1038 OUT_OF_SORTMEMORY, 1041 OUT_OF_RESOURCES, 1114 RECORD_FILE_FULL
    """,
    Act.SCHEMA: """
        1054 BAD_FIELD_ERROR, 1146 NO_SUCH_TABLE, 1356 VIEW_INVALID, 1364 NO_DEFAULT_FOR_FIELD,
        1932 NO_SUCH_TABLE_IN_ENGINE
    """,
    Act.ROW: """
        1048 BAD_NULL_ERROR, 1062 DUP_ENTRY, 1264 WARN_DATA_OUT_OF_RANGE,
        1265 WARN_DATA_TRUNCATED, 1292 TRUNCATED_WRONG_VALUE,
        1366 TRUNCATED_WRONG_VALUE_FOR_FIELD, 1406 DATA_TOO_LONG, 1411 WRONG_VALUE_FOR_TYPE,
        1451 ROW_IS_REFERENCED_2, 1452 NO_REFERENCED_ROW_2, 1644 SIGNAL_EXCEPTION,
        1690 DATA_OUT_OF_RANGE, 3140 INVALID_JSON_TEXT, 3819 CHECK_CONSTRAINT_VIOLATED,
        4025 CONSTRAINT_FAILED
    """,
}


def _table() -> dict[int, Refusal]:
    rows = [(one.split(), act) for act, text in _NUMBERS.items() for one in text.split(",")]
    return {int(number): Refusal(int(number), name, act) for (number, name), act in rows}


TABLE = _table()
_MEANINGS = {
    Act.DEMOTED: "the database is read-only, or another server has become the primary",
    Act.AWAY: "the database does not let the inbox in",
    Act.RIGHTS: "the database user may not do what the inbox needs; grant it",
    Act.FULL: "the database has no room or memory left",
    Act.SCHEMA: "a table of the database is not as the inbox needs it",
}
# of a row: a customer's words
_VALUE = re.compile(r"(\bentry|\bvalue:?) '.*?'(?= for\b)", re.DOTALL)
_MAX_WORDS = 200
# said for so long after it was met last: some calls are refused while others are not
_HELD_SECONDS = 5.0
# where only one table is concerned, and a write to another one says nothing
_HELD_ALONE_SECONDS = 10.0


def number_of(error: BaseException) -> int:
    """The server's or the client's error number; 0 where there is none."""
    is_numbered = (
        isinstance(error, pymysql.err.MySQLError) and error.args and isinstance(error.args[0], int)
    )
    return int(error.args[0]) if is_numbered else 0


def words_of(error: BaseException) -> str:
    """The server's own words with the number, and without values of a row."""
    number, words = number_of(error), str(error.args[1] if len(error.args) > 1 else error)
    words = _VALUE.sub(r"\1 …", " ".join(words.split()))[:_MAX_WORDS]
    return f"{words} ({number})" if number else words


class Refusals:
    """What the database refused lately, for `/readyz`. `record` is called with each error of a
    statement or of a connection.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refused: dict[Act, tuple[float, str]] = {}  # act -> (when, words), the newest of each
        self.schema_count = 0  # how often a statement met tables that are not as they must be
        self.counts: Counter[Act] = Counter()  # how often each was met

    def record(self, error: BaseException) -> None:
        """Remember an error of the database by what its number means; unknown numbers count for
        nothing.
        """
        refusal = TABLE.get(number_of(error))
        if refusal is not None and refusal.act in _MEANINGS:
            self._refused[refusal.act] = (self._monotonic(), words_of(error))
            self.schema_count += refusal.act is Act.SCHEMA
            self.counts[refusal.act] += 1

    def record_write(self) -> None:
        """Forget what was refused before, as the database has just taken a write; what may concern
        one table alone is kept.
        """
        self._forget({Act.DEMOTED, Act.AWAY, Act.FULL}, _HELD_SECONDS)

    @property
    def has_any(self) -> bool:
        """Whether something the database refused is not over yet; forgets what is too long ago."""
        self._forget({Act.RIGHTS, Act.SCHEMA}, _HELD_ALONE_SECONDS)
        return bool(self._refused)

    def problem(self) -> str | None:
        """One sentence, or None."""
        if not self.has_any:
            return None
        act, (_, words) = max(self._refused.items(), key=lambda item: item[1][0])
        return f"{_MEANINGS[act]}: {words}; webhooks are kept, agents stay connected"

    def is_refusing(self, acts: Collection[Act]) -> bool:
        """Whether the database refused one of these lately, and that is not over yet."""
        return self.has_any and not self._refused.keys().isdisjoint(acts)

    def _forget(self, acts: set[Act], seconds: float) -> None:
        since = self._monotonic() - seconds
        self._refused = {
            act: refused
            for act, refused in self._refused.items()
            if act not in acts or refused[0] > since
        }


def render() -> str:
    """The table of docs/errors.md."""
    lines = ["| what follows | numbers |", "| --- | --- |"]
    for act in Act:
        names = ", ".join(
            f"{one.number} {one.name}" for one in sorted(TABLE.values()) if one.act is act
        )
        lines.append(f"| {act.value} | {names} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
