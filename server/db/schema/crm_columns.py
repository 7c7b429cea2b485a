"""What a CRM's own definition of the three tables asks of our writes: values it requires, words it
knows, keys it has.

Read once for each connection, with what is asked there anyway. Names and defaults stay the CRM's;
we fit in.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from server.db.schema.crm_words import StatusWords, status_words
from server.db.schema.names import DOCUMENTED

_REQUIRED = {
    "social_conversations": ("external_user_id", "external_user_name", "last_message_at"),
    "social_messages": ("content",),
    "integrations": ("page_id", "access_token", "account_id", "base_url"),
}
_TABLES = ", ".join(f"'{table}'" for table in DOCUMENTED)
# one row, beside whatever else is selected: columns that take no NULL, the words of `status` and
# its default, columns of unique keys
MYSQL = f"""\
(SELECT GROUP_CONCAT(CONCAT(c.table_name, '.', c.column_name) SEPARATOR '\n') FROM information_schema.columns c
  WHERE c.table_schema = DATABASE() AND c.table_name IN ({_TABLES}) AND c.is_nullable = 'NO'),
(SELECT c.column_type FROM information_schema.columns c
  WHERE c.table_schema = DATABASE() AND c.table_name = 'social_conversations' AND c.column_name = 'status'),
(SELECT c.column_default FROM information_schema.columns c
  WHERE c.table_schema = DATABASE() AND c.table_name = 'social_conversations' AND c.column_name = 'status'),
(SELECT COUNT(*) FROM information_schema.statistics s WHERE s.table_schema = DATABASE()
  AND s.table_name = 'social_conversations' AND s.column_name = 'external_user_id' AND s.non_unique = 0)"""  # noqa: E501
SQLITE = """\
SELECT
(SELECT GROUP_CONCAT(t.name || '.' || c.name, char(10)) FROM sqlite_master t, pragma_table_info(t.name) c
  WHERE t.type = 'table' AND t.name IN ('social_conversations', 'social_messages', 'integrations') AND c."notnull" = 1),
(SELECT c.type FROM pragma_table_info('social_conversations') c WHERE c.name = 'status'),
(SELECT c.dflt_value FROM pragma_table_info('social_conversations') c WHERE c.name = 'status'),
(SELECT COUNT(*) FROM pragma_index_list('social_conversations') i, pragma_index_info(i.name) c
  WHERE i."unique" = 1 AND c.name = 'external_user_id')"""  # noqa: E501


class CrmColumns(msgspec.Struct, frozen=True):
    """`required`: documented columns, `table.column`, that take no NULL."""

    required: frozenset[str] = frozenset()
    status: StatusWords = StatusWords()
    has_unique_external_id: bool = False

    def fitted(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """The row, with something in every column that takes no NULL, and the CRM's words."""
        if "status" in row:
            row["status"] = self.status.written(row["status"])
        if self.required:
            for column in _REQUIRED[table]:
                if row.get(column, "") is None and f"{table}.{column}" in self.required:
                    row[column] = _instead(column, row)
        return row


STANDARD = CrmColumns()  # as `tables.py` defines them


def columns_of(row: tuple[Any, ...]) -> CrmColumns:
    """From a row of `MYSQL` or `SQLITE`."""
    if not row:
        return STANDARD
    required, kind, default, unique = row
    names = frozenset(_text(required).split("\n"))
    wanted = {f"{table}.{column}" for table, columns in _REQUIRED.items() for column in columns}
    if not kind:  # there is no such table
        return STANDARD
    words = status_words(
        _text(kind), _text(default), is_nullable="social_conversations.status" not in names
    )
    return CrmColumns(names & wanted, words, bool(unique))


def _instead(column: str, row: Mapping[str, Any]) -> Any:
    if column == "last_message_at":
        return row.get("created_at")
    # the contact is not known; no other conversation has this text
    if column == "external_user_id":
        return f"chatwoot_0_{row['omni_chatwoot_conversation_id']}_{row['omni_integration_id']}"
    return ""


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
