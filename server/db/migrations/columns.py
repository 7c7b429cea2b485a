"""The CRM's columns on MySQL: widened where they could not hold what we store, and otherwise kept word for word.

`SHOW CREATE TABLE` gives each column's whole definition (default, ON UPDATE, comment); it is edited and given back to MODIFY COLUMN, so
nothing of it can be forgotten.
"""

import re

from sqlalchemy import Column, Connection, String, Table, text

# we store NULL in these; the times of creation and change we always write, so their NOT NULL may stay
_WE_STORE_NULL = {"external_user_name", "last_message_at", "content", "page_id", "access_token", "account_id", "base_url"}
_COLUMN_LINE = re.compile(r"^  `((?:[^`]|``)+)` (.*?),?$")
_TIME = re.compile(r"^(datetime|timestamp)(\([0-5]\))?(?![(\w])", re.IGNORECASE)
_NOW = re.compile(r"\bcurrent_timestamp\b(\(\d?\))?", re.IGNORECASE)
_CHARSET = re.compile(r" CHARACTER SET (\w+)(?: COLLATE (\w+))?", re.IGNORECASE)


def widenings(connection: Connection, table: Table) -> dict[str, tuple[str, list[str]]]:
    """Column name -> (definition for MODIFY COLUMN, sentences). First gives the table utf8mb4, InnoDB and long index keys."""
    _convert_table(connection, table)
    found: dict[str, tuple[str, list[str]]] = {}
    for name, definition in _definitions(connection, table).items():
        if name not in table.c or "GENERATED ALWAYS" in definition.upper():
            continue
        wanted, changes = widened(definition, table.c[name])
        if changes:
            found[name] = (f"`{name}` {wanted}", [f"{change} column {table.name}.{name}" for change in changes])
    return found


def widened(definition: str, column: Column[object]) -> tuple[str, list[str]]:
    """A column definition as MySQL prints it -> one that can hold what we store, and verbs that say what changed.

    `datetime DEFAULT current_timestamp()` -> `datetime(6) DEFAULT CURRENT_TIMESTAMP(6)`, ["widened"].
    """
    body, separator, comment = definition.partition(" COMMENT '")
    changes = []
    longer = _longer(body, column)
    if longer != body:
        body = longer
        changes.append("widened")
    charset = _CHARSET.search(body)
    if charset and charset[1].lower() != "utf8mb4":
        collation = "utf8mb4_bin" if (charset[2] or "").endswith("_bin") or charset[1] == "binary" else "utf8mb4_unicode_ci"
        body = _CHARSET.sub(f" CHARACTER SET utf8mb4 COLLATE {collation}", body, count=1)
        changes.append("converted to utf8mb4:")
    if column.name in _WE_STORE_NULL and " NOT NULL" in body:
        body = body.replace(" NOT NULL", " NULL", 1)
        changes.append("allowed NULL in")
    return body + separator + comment, changes


def driver_text(connection: Connection, statement: str) -> str:
    """PyMySQL takes `%` for a parameter; a comment or default may hold one."""
    return statement if connection.dialect.name == "sqlite" else statement.replace("%", "%%")


def _longer(body: str, column: Column[object]) -> str:
    if _TIME.match(body):
        # the fraction's length must be the same in the default and in ON UPDATE
        return _NOW.sub("CURRENT_TIMESTAMP(6)", _TIME.sub(r"\1(6)", body))
    if column.name == "content":
        return re.sub(r"^(tiny)?text\b", "mediumtext", body, flags=re.IGNORECASE)
    length = re.match(r"varchar\((\d+)\)", body, re.IGNORECASE)
    wanted = column.type.length if isinstance(column.type, String) else None
    if length and wanted and int(length[1]) < wanted:
        return f"varchar({wanted})" + body[length.end() :]
    return body


def _convert_table(connection: Connection, table: Table) -> None:
    """The table's own options: new columns inherit its character set; MyISAM has no transactions; COMPACT rows have short index keys."""
    row = connection.execute(
        text(
            "SELECT engine, row_format, table_collation FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :t"
        ),
        {"t": table.name},
    ).one()
    engine, row_format, collation = (str(value).lower() for value in row)
    parts = []
    if engine != "innodb":
        parts.append("ENGINE = InnoDB")
    if row_format not in ("dynamic", "compressed"):
        parts.append("ROW_FORMAT = DYNAMIC")
    if not collation.startswith("utf8mb4"):
        parts.append("DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    if parts:
        connection.exec_driver_sql(f"ALTER TABLE {table.name} {', '.join(parts)}")


def _definitions(connection: Connection, table: Table) -> dict[str, str]:
    created: str = connection.exec_driver_sql(f"SHOW CREATE TABLE {table.name}").one()[1]
    matches = (_COLUMN_LINE.match(line) for line in created.splitlines())
    return {match[1]: match[2] for match in matches if match}
