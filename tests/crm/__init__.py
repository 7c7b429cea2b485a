"""The CRM's database as it was before Omni Inbox, in both dialects, and ways to look into it."""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import text

from server.db.migrations.upgrade_connection import connected

# the documented columns: whatever an upgrade does, their values stay as they are
DOCUMENTED = {
    "social_conversations": (
        "id, company_id, platform, external_user_id, external_user_name, status, "
        "last_message_at, created_at, updated_at, "
        "crm_owner, crm_touched_at"
    ),
    "social_messages": "id, conversation_id, sender_type, content, created_at",
    "integrations": (
        "id, company_id, provider, page_id, access_token, account_id, base_url, is_active, "
        "is_webhook_active, webhook_mode, "
        "created_at, updated_at"
    ),
}
_LEGACY = Path(__file__).with_name("legacy.sql")
_ONLY_MYSQL = re.compile(
    r" (CHARACTER SET \w+|ON UPDATE CURRENT_TIMESTAMP|UNSIGNED|AUTO_INCREMENT|COMMENT "
    r"'(?:[^']|'')*')"
)
_ENUM = re.compile(r"ENUM\([^)]*\)")
_KEY = re.compile(r",\n  (?:UNIQUE )?KEY \w+ \([^)]*\)")


def load(database_url: str, *, is_with_rows: bool = True) -> None:
    """Make the CRM's three tables in an empty database; `is_with_rows` fills them."""
    for statement in statements(is_sqlite=database_url.startswith("sqlite")):
        if is_with_rows or not statement.startswith("INSERT"):
            execute(database_url, statement)


def statements(*, is_sqlite: bool) -> list[str]:
    """The statements of legacy.sql, in the dialect asked for."""
    lines = [line for line in _LEGACY.read_text("utf-8").splitlines() if not line.startswith("--")]
    found = [part.strip() for part in "\n".join(lines).split(";\n") if part.strip()]
    found = [part.rstrip(";") for part in found]
    return (
        [_for_sqlite(part) for part in found if not part.startswith("SET")]
        if is_sqlite
        else ["SET SESSION sql_mode = ''", *found]
    )


def execute(database_url: str, sql: str, **values: object) -> list[dict[str, Any]]:
    """Run one statement, as lax as the CRM's server was; returns rows, if it gives any."""
    with connected(database_url) as connection:
        if connection.dialect.name != "sqlite":
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
        result = connection.execute(text(sql.replace(":", r"\:") if not values else sql), values)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []


def rows(database_url: str, table: str) -> list[dict[str, Any]]:
    """All rows of one of the CRM's tables in the order of their ids, documented columns only, times
    as text.
    """
    found = execute(database_url, f"SELECT {DOCUMENTED[table]} FROM {table} ORDER BY id")
    return [
        {name: str(value) if name.endswith("_at") else value for name, value in row.items()}
        for row in found
    ]


def _for_sqlite(statement: str) -> str:
    if not statement.startswith("CREATE"):
        return statement
    statement = _ONLY_MYSQL.sub("", statement)
    statement = _KEY.sub("", _ENUM.sub("VARCHAR(16)", statement))
    statement = re.sub(r"id (INT|BIGINT) NOT NULL,", "id INTEGER NOT NULL,", statement, count=1)
    statement = statement.replace("TINYINT(1)", "BOOLEAN")
    return re.sub(r"\) ENGINE=.*$", ")", statement)
