"""What should be known of companies and foreign keys before an upgrade, though it stops none.
Nothing is written here.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Inspector, text

from server.db.schema.names import DOCUMENTED, PREFIX

_CASCADES = {"CASCADE", "SET NULL", "SET DEFAULT"}


def unowned(inspector: Inspector) -> Iterator[str]:
    """Whether conversations may have no company; the table is there."""
    for column in inspector.get_columns("social_conversations"):
        if column["name"] == "company_id" and column["nullable"]:
            yield (
                "Column social_conversations.company_id takes NULL: a conversation without a "
                "company is shown to nobody"
            )


def unseen_keys(connection: Connection, table: str) -> Iterator[str]:
    """Foreign keys by which the database itself deletes rows of `table`, or changes columns of them
    that agents see.

    A conversation's messages go with it, which the conversation's own trigger notes; a message's
    key to it is left out.
    """
    said: set[str] = set()
    for key, parent, on_delete, on_update, column in _foreign_keys(connection, table):
        if (
            key in said
            or parent.startswith(PREFIX)
            or (table, parent) == ("social_messages", "social_conversations")
        ):
            continue
        is_seen = column in DOCUMENTED[table]
        rules = [
            f"ON {event} {rule}"
            for event, rule in (("DELETE", on_delete), ("UPDATE", on_update))
            if rule in _CASCADES and (is_seen or (event, rule) == ("DELETE", "CASCADE"))
        ]
        if rules:
            said.add(key)
            yield (
                f"The foreign key {key} of {table} to {parent} ({', '.join(rules)}): the "
                "database fires no trigger for what "
                "such a key changes, so agents see that with the next news of the conversation"
            )


def _foreign_keys(connection: Connection, table: str) -> Iterator[Sequence[str]]:
    """(name, parent table, rule of DELETE, rule of UPDATE, column), a row for each column."""
    rows = connection.execute(
        text(
            "SELECT r.constraint_name, r.referenced_table_name, r.delete_rule, r.update_rule, "
            "k.column_name "
            "FROM information_schema.referential_constraints r JOIN "
            "information_schema.key_column_usage k "
            "ON k.constraint_schema = r.constraint_schema AND k.constraint_name = "
            "r.constraint_name AND k.table_name = r.table_name "
            "WHERE r.constraint_schema = DATABASE() AND r.table_name = :t AND k.table_schema = "
            "DATABASE() "
            "ORDER BY r.constraint_name, k.ordinal_position"
        ),
        {"t": table},
    )
    return (tuple(map(str, row)) for row in rows)
