"""A unique key of the CRM's that an integration meets: said in words, as nothing else can be done
about it here.
"""

import re
from collections.abc import Mapping
from typing import Any

import pymysql

from server.db.engine.sql_connection import Connection
from server.errors import DuplicateRow

_DUPLICATE = 1062
_KEY = re.compile(r"for key '(?:[^']*\.)?([^'.]+)'")


async def insert_integration(connection: Connection, sql: str, values: Mapping[str, Any]) -> int:
    """Returns the id. Raises DuplicateRow, which names the key."""
    try:
        return await connection.insert(sql, values)
    except pymysql.err.IntegrityError as error:
        if error.args[0] != _DUPLICATE:
            raise
        found = _KEY.search(str(error.args[1]))
        name = f"{found[1]} " if found else ""
        raise DuplicateRow(
            f"The unique key {name}of the CRM's table integrations allows these numbers once, so "
            "the inbox cannot be added; "
            "nothing was changed. Where both are meant, make that key an ordinary index"
        ) from error
