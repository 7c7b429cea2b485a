"""`schema.sql`, rendered from `tables.py` for MySQL and MariaDB: `python -m server.db.schema.render
> schema.sql`.

For people who read the tables or create them by hand in an empty database. Loading it twice changes
nothing; it does not upgrade a CRM's tables: `omni-inbox db upgrade` does.
"""

import sys
from collections.abc import Iterable, Iterator

from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateColumn

from server.db.schema.tables import metadata

_HEADER = """\
-- Omni Inbox: tables for MySQL 8 and MariaDB 10.6 or newer.
-- Rendered from server/db/schema/tables.py by `python -m server.db.schema.render`; do not edit.
--
-- It may be loaded again at any time: tables that exist are left as they are. A database that holds the CRM's
-- social_conversations, social_messages and integrations is upgraded in place with `omni-inbox db upgrade` instead, which also
-- creates everything in an empty one.
--
-- Columns of type DATETIME(6) are naive UTC. Columns of type BIGINT that are times hold microseconds since 1970-01-01 UTC.

SET NAMES utf8mb4;
"""  # noqa: E501


def render() -> str:
    """The whole text: MySQL dialect, commented, idempotent."""
    dialect: Dialect = mysql.dialect()
    return _HEADER + "".join(_table(table, dialect) for table in metadata.sorted_tables)


def _table(table: Table, dialect: Dialect) -> str:
    lines = [*_columns(table, dialect), *_keys(table)]
    options = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"
    body = ",\n".join(f"  {line}" for line in lines)
    return (
        f"\n-- {table.comment}\nCREATE TABLE IF NOT EXISTS {table.name} (\n{body}\n) "
        f"{options} COMMENT={_quoted(table.comment or '')};\n"
    )


def _columns(table: Table, dialect: Dialect) -> Iterator[str]:
    for column in table.columns:
        # SQLAlchemy's text for drivers doubles the percent sign
        yield " ".join(str(CreateColumn(column).compile(dialect=dialect)).split()).replace(
            "%%", "%"
        )


def _keys(table: Table) -> Iterator[str]:
    yield f"PRIMARY KEY ({_names(table.primary_key.columns.keys())})"
    # inside the table: CREATE INDEX knows no IF NOT EXISTS on MySQL
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield (
            f"{'UNIQUE ' if index.unique else ''}KEY {index.name} ({_names(index.columns.keys())})"
        )
    for key in table.foreign_key_constraints:
        yield _foreign_key(key)


def _foreign_key(key: ForeignKeyConstraint) -> str:
    target = key.elements[0].column
    return f"FOREIGN KEY ({_names(key.column_keys)}) REFERENCES {target.table.name} ({target.name})"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


if __name__ == "__main__":
    sys.stdout.write(render())
