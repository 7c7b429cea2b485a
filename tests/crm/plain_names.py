"""A database as versions left it whose tables and columns had no prefix."""

import re
from typing import Any

from sqlalchemy import Connection, inspect, text

from server.db.migrations.plain_comments import COLUMNS, TABLES
from server.db.migrations.upgrade_connection import connected
from server.db.schema.names import DOCUMENTED, PREFIX


def take_back(database_url: str) -> None:
    """Give everything of ours the name it had then; rows, comments and indexes stay."""
    with connected(database_url) as connection:
        for table in inspect(connection).get_table_names():
            if table.removeprefix(PREFIX) in TABLES:
                connection.exec_driver_sql(
                    f"ALTER TABLE {table} RENAME TO {table.removeprefix(PREFIX)}"
                )
        for table in DOCUMENTED:
            plain = {PREFIX + name for name in COLUMNS[table]}
            names = {column["name"] for column in inspect(connection).get_columns(table)}
            for column in inspect(connection).get_columns(table):
                if column["name"] not in plain:
                    continue
                new = column["name"].removeprefix(PREFIX)
                if new in names:  # that version took the CRM's for its own, and added none
                    connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column['name']}")
                    continue
                connection.exec_driver_sql(
                    f"ALTER TABLE {table} RENAME COLUMN {column['name']} TO {new}"
                )
                _write_comment_of_then(connection, table, new)
        connection.exec_driver_sql("UPDATE omni_inbox_version SET version_num = '0010'")


def _write_comment_of_then(connection: Connection, table: str, column: str) -> None:
    """Later versions say other things of a column. SQLite keeps no comments."""
    comments = COLUMNS[table][column]
    if connection.dialect.name == "sqlite" or not comments:
        return
    created: str = connection.exec_driver_sql(f"SHOW CREATE TABLE {table}").one()[1]
    [definition] = re.findall(rf"^ +(`{column}` .*?) COMMENT '", created, re.MULTILINE)
    connection.execute(
        text(f"ALTER TABLE {table} MODIFY COLUMN {definition} COMMENT :comment"),
        {"comment": comments[0]},
    )


def picture(database_url: str) -> dict[str, Any]:
    """Tables with their columns and how many rows they have."""
    with connected(database_url) as connection:
        return {table: _table(connection, table) for table in inspect(connection).get_table_names()}


def _table(connection: Connection, table: str) -> Any:
    columns = [
        (column["name"], str(column["type"]), column["nullable"])
        for column in inspect(connection).get_columns(table)
    ]
    indexes = sorted(
        (index["column_names"], index["unique"]) for index in inspect(connection).get_indexes(table)
    )
    return (
        columns,
        indexes,
        connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one(),
    )
