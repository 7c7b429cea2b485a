"""Ways in which a database says no, each provoked on a real server and taken back.

What a lone server never says (a Galera node without its cluster, InnoDB in read-only mode, a full
table) is said by a trigger, with the very number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pymysql

from tests.kit.mariadb import PASSWORD, PLAIN_USER, MariaDB, is_oracle_mysql
from tests.kit.omni import Omni

MAX_USER_CONNECTIONS = 200
_TX_READ_ONLY = "transaction_read_only" if is_oracle_mysql() else "tx_read_only"


class Place:
    """A database server whose settings may be changed, and a server of ours that uses it as a plain
    user.
    """

    def __init__(self, mariadb: MariaDB, omni: Omni, name: str) -> None:
        self.mariadb = mariadb
        self.omni = omni
        self.name = name
        self.held: pymysql.Connection[pymysql.cursors.Cursor] | None = None

    def sql(self, text: str, *parameters: object) -> list[dict[str, object]]:
        return self.mariadb.sql(text, *parameters, database=self.name)

    def drop_connections(self) -> None:
        self.mariadb.drop_connections(PLAIN_USER)

    def grant(self, what: str = "ALL") -> None:
        self.sql(f"GRANT {what} ON `{self.name}`.* TO '{PLAIN_USER}'@'%'")

    def revoke(self) -> None:
        self.sql(f"REVOKE ALL ON `{self.name}`.* FROM '{PLAIN_USER}'@'%'")

    def signal(self, number: int, words: str) -> None:
        """From now on the database says this to whoever writes a message."""
        for event in ("INSERT", "UPDATE"):
            self.sql(
                f"CREATE TRIGGER says_{event} BEFORE {event} ON social_messages FOR EACH ROW "
                f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{words}'"
            )

    def unsignal(self) -> None:
        for event in ("INSERT", "UPDATE"):
            self.sql(f"DROP TRIGGER IF EXISTS says_{event}")


@dataclass(frozen=True)
class Case:
    """`words`: what `/readyz` must say, the server's own among it."""

    name: str
    break_it: Callable[[Place], None]
    mend_it: Callable[[Place], None]
    words: tuple[str, ...]
    # until `/readyz` is quiet again, which takes some seconds: once for each kind
    is_watched: bool = False


def _read_only(place: Place) -> None:
    place.sql("SET GLOBAL read_only = 1")


def _writable(place: Place) -> None:
    place.sql("SET GLOBAL read_only = 0")


def _read_only_transactions(place: Place) -> None:
    place.sql(f"SET GLOBAL {_TX_READ_ONLY} = 1")
    place.drop_connections()


def _writable_transactions(place: Place) -> None:
    place.sql(f"SET GLOBAL {_TX_READ_ONLY} = 0")


def _few_connections(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' WITH MAX_QUERIES_PER_HOUR 1")
    place.drop_connections()


def _any_connections(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' WITH MAX_QUERIES_PER_HOUR 0")


def _one_connection(place: Place) -> None:
    """Somebody else of the same user has taken the only one."""
    place.sql("SET GLOBAL max_user_connections = 1")
    while True:
        place.drop_connections()
        try:
            place.held = _connect(place)
        except pymysql.err.MySQLError:
            continue
        return


def _all_connections(place: Place) -> None:
    if place.held is not None:
        place.held.close()
    place.sql(f"SET GLOBAL max_user_connections = {MAX_USER_CONNECTIONS}")


def _connect(place: Place) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(
        host="127.0.0.1",
        port=place.mariadb.port,
        user=PLAIN_USER,
        password=PASSWORD,
        database=place.name,
    )


def _new_password(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' IDENTIFIED BY 'another'")
    place.drop_connections()


def _old_password(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' IDENTIFIED BY '{PASSWORD}'")


def _no_rights(place: Place) -> None:
    place.revoke()
    place.drop_connections()


def _no_insert(place: Place) -> None:
    place.revoke()
    place.grant("SELECT, UPDATE, DELETE")
    place.drop_connections()


def _no_insert_of_messages(place: Place) -> None:
    """Everything else may still be written: the journal takes the webhooks, and nobody's message is
    to blame.
    """
    place.revoke()
    for row in place.sql(
        "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = %s", place.name
    ):
        rights = "SELECT, UPDATE" if row["t"] == "social_messages" else "ALL"
        place.sql(f"GRANT {rights} ON `{place.name}`.`{row['t']}` TO '{PLAIN_USER}'@'%'")
    place.drop_connections()


def _one_column(place: Place) -> None:
    place.revoke()
    for row in place.sql(
        "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = %s", place.name
    ):
        rights = "SELECT (id), INSERT, UPDATE" if row["t"] == "social_messages" else "ALL"
        place.sql(f"GRANT {rights} ON `{place.name}`.`{row['t']}` TO '{PLAIN_USER}'@'%'")
    place.drop_connections()


def _all_rights(place: Place) -> None:
    place.sql(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{PLAIN_USER}'@'%'")
    place.grant()


def _column_gone(place: Place) -> None:
    place.sql("ALTER TABLE social_messages RENAME COLUMN content TO was_content")


def _column_back(place: Place) -> None:
    place.sql("ALTER TABLE social_messages RENAME COLUMN was_content TO content")


def _table_gone(place: Place) -> None:
    place.sql("RENAME TABLE social_messages TO was_messages")


def _table_back(place: Place) -> None:
    place.sql("RENAME TABLE was_messages TO social_messages")


def _no_default(place: Place) -> None:
    place.sql("ALTER TABLE social_messages ADD COLUMN added_by_the_crm INT NOT NULL")


def _default_again(place: Place) -> None:
    place.sql("ALTER TABLE social_messages DROP COLUMN added_by_the_crm")


def _says(number: int, words: str, *, and_says: str = "") -> Case:
    return Case(
        f"{number}, said by a trigger",
        lambda place: place.signal(number, words),
        lambda place: place.unsignal(),
        (and_says or words, f"({number})"),
    )


CASES = [
    Case(
        "1290 read-only",
        _read_only,
        _writable,
        ("the database is read-only", "read-only option", "(1290)"),
        True,
    ),
    Case(
        "1792 read-only transactions",
        _read_only_transactions,
        _writable_transactions,
        ("read-only", "(1792)"),
    ),
    Case(
        "1226 a user's own limit",
        _few_connections,
        _any_connections,
        ("max_queries_per_hour", "(1226)"),
    ),
    Case(
        "1203 max_user_connections",
        _one_connection,
        _all_connections,
        ("max_user_connections", "(1203)"),
    ),
    Case("1045 another password", _new_password, _old_password, ("Access denied", "(1045)")),
    Case("1044 no rights at all", _no_rights, _all_rights, ("Access denied", "(1044)")),
    Case("1142 INSERT revoked", _no_insert, _all_rights, ("INSERT command denied", "(1142)"), True),
    Case(
        "1142 INSERT into one table",
        _no_insert_of_messages,
        _all_rights,
        ("INSERT command denied", "(1142)"),
    ),
    Case("1143 one column", _one_column, _all_rights, ("SELECT command denied", "(1143)")),
    Case(
        "1054 a column is gone",
        _column_gone,
        _column_back,
        ("column social_messages.content", "db upgrade"),
        True,
    ),
    Case("1146 a table is gone", _table_gone, _table_back, ("table social_messages", "db upgrade")),
    Case(
        "1364 a column without a default",
        _no_default,
        _default_again,
        ("added_by_the_crm", "default"),
    ),
    _says(1836, "Running in read-only mode"),
    _says(1047, "WSREP has not yet prepared node for application use"),
    _says(1114, "The table is full", and_says="no room"),
    _says(1021, "Disk full; waiting for someone to free some space", and_says="no room"),
]
