"""The CRM's columns on MySQL: widened where they could not hold what we store, and otherwise kept
word for word.

`SHOW CREATE TABLE` gives each column's whole definition (NOT NULL, default, ON UPDATE, comment);
its type is edited and it is given back to MODIFY COLUMN, so nothing of it can be forgotten.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Column, Connection, Enum, String, Table, text

from server.db.migrations.catalogue import held_columns
from server.db.schema.crm_words import CLOSED, shown_status

_COLUMN_LINE = re.compile(r"^  `((?:[^`]|``)+)` (.*?),?$")
_TIME = re.compile(r"^(datetime|timestamp)(\([0-5]\))?(?![(\w])", re.IGNORECASE)
_NOW = re.compile(r"\bcurrent_timestamp\b(\(\d?\))?", re.IGNORECASE)
_CHARSET = re.compile(r" CHARACTER SET (\w+)(?: COLLATE (\w+))?", re.IGNORECASE)
_LENGTH = re.compile(r"^(?:var)?char\((\d+)\)", re.IGNORECASE)
_SHORT_TEXT = re.compile(r"^(?:(?:var)?char\(\d+\)|tinytext\b)", re.IGNORECASE)
_ENUM = re.compile(r"^enum\(((?:'(?:[^']|'')*',?)+)\)", re.IGNORECASE)
_TEXT_DEFAULT = re.compile(r" DEFAULT ('(?:[^']|'')*')", re.IGNORECASE)
# the words we write where the CRM's list may lack them; other words of it stay
_OUR_WORDS = {
    "platform": ("chatwoot",),
    "status": ("Open", "Closed"),
    "sender_type": ("customer", "agent"),
    "provider": ("chatwoot",),
    "webhook_mode": ("live",),
}


class Widening(NamedTuple):
    """`definition`: for MODIFY COLUMN. `sentences` say what was done. `copies`: MySQL copies the
    table for it.
    """

    definition: str
    sentences: list[str]
    copies: bool


def widenings(connection: Connection, table: Table) -> dict[str, Widening]:
    """What columns of the CRM's lack, by name. A column that a foreign key holds is left as it
    is.
    """
    held = {one.column for one in held_columns(connection, table.name)}
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    found: dict[str, Widening] = {}
    for name, definition in definitions(connection, table).items():
        if name not in table.c or name in held or "GENERATED ALWAYS" in definition.upper():
            continue
        wanted, changes = widened(definition, table.c[name])
        if not changes:
            continue
        if not is_mariadb:  # MySQL takes a text's default as an expression alone
            wanted = (
                _TEXT_DEFAULT.sub(r" DEFAULT (\1)", wanted, count=1)
                if "text" in wanted[:10].lower()
                else wanted
            )
        sentences = [f"{change} column {table.name}.{name}" for change in changes]
        found[name] = Widening(f"`{name}` {wanted}", sentences, _copies(definition, wanted))
    return found


def widened(definition: str, column: Column[object]) -> tuple[str, list[str]]:
    """A column definition as MySQL prints it -> one that can hold what we store, and verbs that say
    what changed.

    `datetime DEFAULT current_timestamp()` -> `datetime(6) DEFAULT CURRENT_TIMESTAMP(6)`,
    ["widened"].
    """
    body, separator, comment = definition.partition(" COMMENT '")
    changes = []
    longer = _longer(body, column)
    if longer != body:
        body = longer
        changes.append("widened")
    charset = _CHARSET.search(body)
    if charset and charset[1].lower() != "utf8mb4" and not isinstance(column.type, Enum):
        collation = (
            "utf8mb4_bin"
            if (charset[2] or "").endswith("_bin") or charset[1] == "binary"
            else "utf8mb4_unicode_ci"
        )
        body = _CHARSET.sub(f" CHARACTER SET utf8mb4 COLLATE {collation}", body, count=1)
        changes.append("converted to utf8mb4:")
    return body + separator + comment, changes


def definitions(connection: Connection, table: Table) -> dict[str, str]:
    """Return each column's definition as `SHOW CREATE TABLE` writes it, which `MODIFY COLUMN` takes
    back.
    """
    created: str = connection.exec_driver_sql(f"SHOW CREATE TABLE {table.name}").one()[1]
    matches = (_COLUMN_LINE.match(line) for line in created.splitlines())
    return {match[1]: match[2] for match in matches if match}


def driver_text(connection: Connection, statement: str) -> str:
    """Double each `%`, which PyMySQL reads as a parameter; a comment or default may hold one."""
    return statement if connection.dialect.name == "sqlite" else statement.replace("%", "%%")


def table_options(connection: Connection, table: Table) -> list[str]:
    """What the table itself lacks: new columns inherit its character set; MyISAM has no
    transactions; COMPACT rows have short index keys.
    """
    row = connection.execute(
        text(
            "SELECT engine, row_format, table_collation FROM information_schema.tables WHERE "
            "table_schema = DATABASE() AND table_name = :t"
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
    return parts


def _longer(body: str, column: Column[object]) -> str:
    if isinstance(column.type, Enum):
        return _with_words(body, _OUR_WORDS.get(column.name, ()))
    if _TIME.match(body):
        # the fraction's length must be the same in the default and in ON UPDATE
        return _NOW.sub("CURRENT_TIMESTAMP(6)", _TIME.sub(r"\1(6)", body))
    if column.name == "content":
        return re.sub(
            r"^(?:(?:var)?char\(\d+\)|(?:tiny)?text\b)", "mediumtext", body, flags=re.IGNORECASE
        )
    if column.name == "access_token":
        return _SHORT_TEXT.sub("text", body)
    length = _LENGTH.match(body)
    wanted = column.type.length if isinstance(column.type, String) else None
    if length and wanted and int(length[1]) < wanted:
        return f"varchar({wanted})" + body[length.end() :]
    return body


def _with_words(body: str, words: Collection[str]) -> str:
    """The list with those of our words behind it that it has in no spelling."""
    found = _ENUM.match(body)
    if not found:
        return body
    has = {word.casefold() for word in re.findall(r"'((?:[^']|'')*)'", found[1])}
    if any(shown_status(word) == CLOSED for word in has):
        has.add(CLOSED.casefold())
    missing = [word for word in words if word.casefold() not in has]
    if not missing:
        return body
    return f"enum({found[1]},{','.join(repr(word) for word in missing)}){body[found.end() :]}"


def _copies(before: str, after: str) -> bool:
    """Whether it is more than a longer VARCHAR of the same length bytes, or words at the end of a
    list.
    """
    if after.lower().startswith("enum("):
        return False
    old, new = _LENGTH.match(before), _LENGTH.match(after)
    both_long = bool(old and new and before.lower().startswith("varchar") and int(old[1]) * 4 > 255)
    return not (both_long and before[old.end() :] == after[new.end() :] if old and new else False)
