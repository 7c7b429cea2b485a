"""Synchronous connections for upgrades: one address, one connection, one upgrade of a database at a
time.
"""

import contextlib
import hashlib
import logging
import ssl
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy.exc
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from server.db.engine.private_files import make_private_file
from server.db.engine.refusals import TABLE, Act
from server.errors import ConfigurationError, DatabaseUnavailable, OmniError
from server.settings import NOT_ENCRYPTED, sqlite_path, wants_encryption

# a connection that breaks is told by our errors; SQLAlchemy would log a traceback as well when it
# is put away
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
_LOCK_SECONDS = 600  # how long to wait for another upgrade: rebuilding a large table takes minutes
_SQLITE_SECONDS = 30
# lock_wait_timeout: an ALTER that waits behind a long transaction makes everyone else wait behind
# itself, by default for a day; `change` gives way, and tries again.
# sql_mode: strict, but old rows may hold zero dates, which a table rebuild would otherwise refuse.
_SESSION = (
    "SET SESSION time_zone = '+00:00', lock_wait_timeout = 2, innodb_lock_wait_timeout = 30, "
    "sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
)
# it must be a statement of its own
_NO_GAP_LOCKS = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
# what may be otherwise in a moment; what a user lacks is not: somebody must grant it
_PASSING = {Act.RECONNECT, Act.RETRY, Act.DEMOTED, Act.FULL}
_TOO_MANY = {1040, 1203, 1226}  # connections
_CHANGE_SECONDS = 120  # how long a table may be in use by long transactions
_LOCKED = 1205
_GOES_ON = (
    ". What was done before stays; once this is mended, the upgrade can be run again and goes on "
    "from there"
)


@contextlib.contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    """A connection on which every statement commits by itself. Raises our errors instead of the
    driver's.
    """
    try:
        engine = _engine(database_url)
        with engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                if wants_encryption(database_url):
                    _check_encrypted(connection)
                connection.exec_driver_sql(_NO_GAP_LOCKS)
            yield connection
    except sqlalchemy.exc.DBAPIError as error:
        raise _translated(error) from error
    # its text would hold the address, and with it the password
    except sqlalchemy.exc.ArgumentError:
        raise ConfigurationError("DATABASE_URL is not an address SQLAlchemy understands") from None


def change(connection: Connection, statement: str) -> None:
    """Run one statement that changes a table. It waits for the table for two seconds at a time, in
    which others wait behind it, and leaves them as much between its tries.
    """
    until = time.monotonic() + _CHANGE_SECONDS
    while True:
        try:
            connection.exec_driver_sql(statement)
        except sqlalchemy.exc.OperationalError as error:
            number = getattr(error.orig, "args", (0,))[0]
            if number != _LOCKED or time.monotonic() > until:
                raise
            time.sleep(2.0)
        else:
            return


@contextlib.contextmanager
def exclusive(database_url: str) -> Iterator[Connection]:
    """`connected`, and no other upgrade of this database at the same time.

    On SQLite all of it is one transaction. On MySQL it is a named lock, which the server gives back
    when the connection ends; an error of the server's says there that the upgrade can be run again.
    """
    with connected(database_url) as connection:
        guard = _sqlite_transaction if connection.dialect.name == "sqlite" else _named_lock
        with guard(connection):
            yield connection


@contextlib.contextmanager
def _sqlite_transaction(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


@contextlib.contextmanager
def _named_lock(connection: Connection) -> Iterator[None]:
    # names are shared by all databases of a server and hold at most 64 characters
    database = connection.exec_driver_sql("SELECT DATABASE()").scalar_one() or ""
    name = f"omni_inbox_upgrade_{hashlib.sha256(database.encode()).hexdigest()[:16]}"
    if (
        connection.execute(
            text("SELECT GET_LOCK(:name, :seconds)"), {"name": name, "seconds": _LOCK_SECONDS}
        ).scalar_one()
        != 1
    ):
        raise DatabaseUnavailable("Another upgrade of this database is under way and does not end")
    try:
        # not given back by hand: the connection ends with the upgrade, also when the statement
        # before has failed
        yield
    # the server commits each change of a table by itself
    except sqlalchemy.exc.DBAPIError as error:
        raise _translated(error, _GOES_ON) from error


def _check_encrypted(connection: Connection) -> None:
    """PyMySQL goes on in the clear where the server offers no TLS. Raises ConfigurationError."""
    if not getattr(connection.connection.driver_connection, "_secure", False):
        raise ConfigurationError(NOT_ENCRYPTED)


def _engine(database_url: str) -> Engine:
    if database_url.startswith("sqlite"):
        path = sqlite_path(database_url)
        try:
            make_private_file(path)
        except OSError as error:
            raise ConfigurationError(
                f"The database file {path} cannot be created: {error.strerror}"
            ) from None
        return create_engine(
            f"sqlite:///{path}",
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={"timeout": _SQLITE_SECONDS},
        )
    url = make_url(database_url)
    options: dict[str, Any] = {
        "charset": "utf8mb4",
        "connect_timeout": 10,
        "init_command": _SESSION,
    }
    if wants_encryption(database_url):
        options["ssl"] = ssl.create_default_context()
    if "unix_socket" in url.query:
        options["unix_socket"] = url.query["unix_socket"]
    # other parameters are the pool's, which there is none of here
    plain = url.set(drivername="mysql+pymysql", query={})
    return create_engine(
        plain, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=options
    )


def _translated(error: sqlalchemy.exc.DBAPIError, after: str = "") -> OmniError:
    """Only the driver's own words are kept: the whole text holds the statement's values, which are
    customers' words.
    """
    arguments = getattr(error.orig, "args", ())
    words = ", ".join(str(argument) for argument in arguments) or type(error.orig).__name__
    number = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    refusal = TABLE.get(number)
    is_passing = refusal is not None and (refusal.act in _PASSING or number in _TOO_MANY)
    if is_passing or "database is locked" in words:
        return DatabaseUnavailable(f"The database could not be upgraded right now: {words}{after}")
    return ConfigurationError(f"The database refused the upgrade: {words}{after}")
