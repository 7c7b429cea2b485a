"""Unique keys of the CRM's that our rows may meet: which we can live with, and which we cannot.

On `external_user_id` we can: it is no key of ours, so a value that is taken is not taken again
(`store`). A key with a column of the CRM's own that is NULL in our rows is never met. Any other one
would refuse a customer's message for ever.
"""

from collections.abc import Iterator

from sqlalchemy import Connection

from server.db.migrations.catalogue import UniqueKey, columns_of, unique_keys
from server.db.schema.names import DOCUMENTED, PREFIX

_TELLS_APART = {
    "social_conversations": "external_user_id",
    "social_messages": None,
    "integrations": None,
}
_OF_PLACE = {"company_id", "page_id", "account_id", "base_url"}


def refusals(connection: Connection, table: str) -> Iterator[str]:
    """Return sentences about the CRM's unique keys that would refuse rows of Chatwoot's."""
    for key in _shared_keys(connection, table):
        if table == "integrations" and _OF_PLACE & set(key.columns):
            continue
        what = {
            "social_conversations": "a second conversation of the same kind",
            "social_messages": "a second message of the same kind",
            "integrations": "a second integration",
        }[table]
        yield (
            f"Unique key {key.text} of {table} refuses {what}, which Chatwoot has; "
            f"make it an ordinary index or drop it (ALTER TABLE {table} DROP INDEX {key.name})"
        )


def warnings(connection: Connection, table: str) -> Iterator[str]:
    """Return sentences about the CRM's unique keys that the inbox can live with, and how it
    does.
    """
    for key in unique_keys(connection, table):
        if (
            table == "social_conversations"
            and "external_user_id" in key.columns
            and not _is_ours(key)
        ):
            yield (
                f"Unique key {key.text} of {table}: where an external_user_id is taken already, "
                "a conversation keeps the one it has, "
                "or gets its integration's number behind it"
            )
    if table == "integrations":
        for key in _shared_keys(connection, table):
            if _OF_PLACE & set(key.columns):
                yield (
                    f"Unique key {key.text} of {table} allows one integration for each "
                    f"{' and '.join(key.columns)}: "
                    "another Chatwoot inbox with the same ones cannot be added"
                )


def _shared_keys(connection: Connection, table: str) -> Iterator[UniqueKey]:
    """Keys that two rows of ours may have in common."""
    columns = columns_of(connection, table)
    for key in unique_keys(connection, table):
        if _is_ours(key) or "id" in key.columns or _TELLS_APART[table] in key.columns:
            continue
        own = [
            columns[name]
            for name in key.columns
            if name in columns and name not in DOCUMENTED[table]
        ]
        if any(one.is_nullable and str(one.default or "NULL").upper() == "NULL" for one in own):
            continue
        yield key


def _is_ours(key: UniqueKey) -> bool:
    return any(column.startswith(PREFIX) for column in key.columns)
