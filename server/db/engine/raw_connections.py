"""Connections of the drivers: how they are opened, what is asked of them, how they are closed."""

import asyncio
import contextlib
import inspect
import re
import sqlite3
import ssl
from typing import Any

import pymysql
from databases import Database as DatabasesDatabase

from server.db.engine.driver_adapters import Dialect as Dialect
from server.db.engine.driver_adapters import Parameters as Parameters
from server.db.engine.driver_adapters import Row as Row
from server.db.engine.primary import IS_READ_ONLY, PrimaryWatch, says_read_only
from server.db.engine.sql_connection import Connection as Connection
from server.db.schema import crm_columns
from server.errors import (
    DatabaseUnavailable,
)
from server.settings import (
    NOT_ENCRYPTED,
    sqlite_path,
    wants_encryption,
)

CONNECT_SECONDS = 3


PACKED_BYTES = 16_777_216  # of many rows in one (`packed.py`); by itself MySQL allows 1,024


# a client that says nothing for so long in a transaction gives its locks back
IDLE_TRANSACTION_SECONDS = 5


# of InnoDB; below every caller's patience, so that a lane is free again before it is missed
_LOCK_WAIT_SECONDS = 2


def open_sqlite(url: str) -> DatabasesDatabase:
    """Return the driver's pool for a SQLite file; connections open when they are first used."""
    return DatabasesDatabase(f"sqlite:///{sqlite_path(url)}", factory=_SqliteConnection, timeout=10)


def open_mysql(url: str, connections: int) -> DatabasesDatabase:
    """Return the driver's pool for MySQL or MariaDB, with the session's settings that all SQL here
    relies on.
    """
    options: dict[str, Any] = {
        "min_size": 0,  # so that the start does not need the server
        "max_size": connections,
        "pool_recycle": 1800,
        "connect_timeout": CONNECT_SECONDS,
        "client_flag": pymysql.constants.CLIENT.FOUND_ROWS,
        # READ COMMITTED: no gap locks, so the journal's inserts never wait for a claim. MariaDB and
        # MySQL 8 name it differently.
        "init_command": "SET SESSION time_zone = '+00:00', "
        f"innodb_lock_wait_timeout = {_LOCK_WAIT_SECONDS}, "
        "@omni_inbox = 1, "  # what is written here has its event, see `crm_triggers`
        # NO_BACKSLASH_ESCAPES: quoting a body of 4 KB is then one replace, not a walk through every
        # character
        "sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES' /*M! , "
        "tx_isolation = 'READ-COMMITTED' */ "
        "/*!80000 , transaction_isolation = 'READ-COMMITTED' */",
    }
    url = re.sub(r"^mariadb", "mysql", url)
    if wants_encryption(url):
        options["ssl"] = ssl.create_default_context()
        url = re.sub(r"[?&]ssl=true", "", url)
    return DatabasesDatabase(url, **options)


class _SqliteConnection(sqlite3.Connection):
    """PRAGMAs are per connection; FULL because a delivery answered 200 must survive the loss of
    power.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=10000",
        ):
            self.execute(f"PRAGMA {pragma}")


async def prepare_session(
    raw: Any, dialect: Dialect, *, is_writer: bool
) -> tuple[Connection, PrimaryWatch]:
    """Set the session's limits. Returns the connection, which knows the server's
    max_allowed_packet and what the CRM's columns ask, and the watch whether it takes writes.

    MariaDB ends a session that is idle within a transaction. MySQL knows only idle sessions:
    there a writer's is ended between its calls as well, and made anew for the next one (see
    `has_ended`).
    """
    if dialect == "sqlite":
        found = await Connection(raw, dialect).fetch_one(crm_columns.SQLITE)
        crm = crm_columns.columns_of(found or ())
        return Connection(raw, dialect, crm=crm), PrimaryWatch(is_asked=False)
    limits = [
        f"net_read_timeout = {IDLE_TRANSACTION_SECONDS}",
        f"net_write_timeout = {IDLE_TRANSACTION_SECONDS}",
        f"group_concat_max_len = {PACKED_BYTES}",
    ]
    if "mariadb" in str(raw.get_server_info()).lower():
        limits.append(f"idle_transaction_timeout = {IDLE_TRANSACTION_SECONDS}")
    elif is_writer:
        limits.append(f"wait_timeout = {IDLE_TRANSACTION_SECONDS}")
    connection = Connection(raw, dialect)
    connection.pipeline(f"SET SESSION {', '.join(limits)}")
    [(packet_bytes, read_only, *catalogue)] = await connection.fetch_all(
        f"SELECT @@max_allowed_packet, {IS_READ_ONLY}, {crm_columns.MYSQL}"
    )
    primary = PrimaryWatch(is_asked=True, is_read_only=says_read_only(read_only))
    return Connection(
        raw, dialect, int(packet_bytes), crm_columns.columns_of(tuple(catalogue))
    ), primary


def check_encrypted(raw: Any, *, is_wanted: bool) -> None:
    """Refuse a connection that is in the clear although TLS is wanted: aiomysql goes on without it
    when the server, or a proxy in between, does not offer it. Raises DatabaseUnavailable.
    """
    if is_wanted and not raw._secure:  # a Unix socket counts as encrypted
        raise DatabaseUnavailable(NOT_ENCRYPTED)


def has_ended(raw: Any) -> bool:
    """Whether the server has hung up: aiomysql's reader knows; a SQLite file never does.

    Nothing was asked, so whatever there is to read is a farewell.
    """
    reader = getattr(raw, "_reader", None)
    if reader is None:
        return False
    return bool(
        reader.at_eof() or reader.exception() is not None or getattr(reader, "_buffer", b"")
    )


async def close_raw(raw: Any) -> None:
    """Close a driver's connection within two seconds; never raises."""
    with contextlib.suppress(Exception):
        closing = raw.close()
        if inspect.isawaitable(closing):
            async with asyncio.timeout(2):
                await closing
