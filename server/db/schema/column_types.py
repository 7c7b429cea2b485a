"""Types and options that all tables share. Our own columns hold times as BIGINT microseconds since
the epoch, UTC. Text is utf8mb4; ids and tokens compare binary (`id_text`).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Integer,
    MetaData,
    String,
    Text,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()


TABLE_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_ci",
    # a number once given is never given again, even when the newest row was deleted
    "sqlite_autoincrement": True,
}


# SQLite numbers rows by itself only for INTEGER PRIMARY KEY
BIG = BigInteger().with_variant(Integer, "sqlite")


TIME = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


# a message has up to 150,000 characters, four bytes each
LONG = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


SEARCHED = Text().with_variant(
    mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def id_text(length: int) -> String:
    """Text that is compared byte by byte: MySQL's default would call `a` and `A ` equal."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )
