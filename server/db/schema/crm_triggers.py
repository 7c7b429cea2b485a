"""Triggers on the three shared tables: what another program writes there is noted in
`omni_crm_changes` by its own transaction.

A write of ours is left out. On MySQL our connections have the session variable `@omni_inbox`.
SQLite has no such thing: there, and for older versions of this program, it is our column
`omni_seq`, which every write of ours that people can see moves and no other program knows. On MySQL
an error inside a trigger is swallowed, so that it never makes the other program's statement fail.
The session remembers that a note is missing, and the next note that can be written orders a
comparison; whether notes can be written is tried as well, see `crm_proofs`. Errors of locks (1205,
1213) are not swallowed: there MySQL passes handlers by. What it asks of the account that made the
trigger comes before all that, see `take_over`. On SQLite an error ends the other program's
statement: nothing is written unnoted.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import sqlalchemy.exc
from msgspec.structs import replace
from sqlalchemy import Connection, inspect, text

from server.core.state.crm_changes import (
    COMPARE,
    CONVERSATION,
    DELETED,
    INSERTED,
    INTEGRATION,
    INTEGRATIONS,
    MESSAGE,
    MOVED,
    PROVED,
    QUIET,
    SERVER,
    UPDATED,
)
from server.core.times import wall_now_us
from server.db.engine.driver_adapters import Dialect, Row
from server.db.engine.sql_connection import Connection as AsyncConnection

# higher with each change of a trigger's text: of two versions of the program that run side by side,
# as in a rolling upgrade, the older one leaves the newer one's triggers alone
VERSION = 1
CHANGES_TABLE = "omni_crm_changes"
# once, and not where there is nothing to compare
ORDER_COMPARISON = (
    f"INSERT INTO {CHANGES_TABLE} (company_id, subject, act, row_id) "
    f"SELECT {SERVER}, {COMPARE}, '{INSERTED}', 0 FROM social_conversations WHERE NOT EXISTS "
    f"(SELECT 1 FROM {CHANGES_TABLE} WHERE company_id = {SERVER} AND subject = {COMPARE} AND "
    f"act <> '{QUIET}' AND row_id = 0) LIMIT 1"
)
# where there is nothing yet that could have been written unnoted: else the first process that comes
# compares what was ingested meanwhile, and every client takes a snapshot for nothing
_FIRST_PROOF = (
    f"INSERT INTO {CHANGES_TABLE} (company_id, subject, act, row_id) "
    f"SELECT {SERVER}, {PROVED}, '{INSERTED}', :now FROM (SELECT 1 AS one) AS once "
    f"WHERE NOT EXISTS (SELECT 1 FROM social_conversations) AND NOT EXISTS "
    f"(SELECT 1 FROM {CHANGES_TABLE} WHERE company_id = {SERVER} AND subject = {PROVED})"
)
_PREFIX = "omni_crm_"
_MARK = "/* omni_inbox triggers, version {} */"
_MARKED = re.compile(re.escape(_MARK).replace(r"\{\}", r"(\d+)"))
_NAMED = re.compile(r"\b(?:NEW|OLD)\.(\w+)")
_NOTED = ("company_id", "subject", "act", "row_id", "conversation_id")
# TRIGGER denied; SUPER needed while the binary log is on; access denied to a definer
_DENIED = {1142, 1227, 1419, 1044, 1045, 1370}
# a text differs when its bytes do: the tables' collations call `a` and `A` equal
_TEXTS = {
    "social_conversations": ("external_user_id", "external_user_name"),
    "social_messages": ("content",),
}
_VALUES = {
    "social_conversations": ("platform", "status", "last_message_at", "created_at", "updated_at"),
    "social_messages": ("sender_type", "created_at"),
}
_PRESENT: dict[Dialect, str] = {
    "sqlite": "SELECT name, sql, tbl_name, 1 FROM sqlite_master WHERE type = 'trigger'",
    # on whatever table: who puts a copy in a table's place, as tools for online changes do, takes
    # the triggers along
    "mysql": (
        "SELECT TRIGGER_NAME, ACTION_STATEMENT, EVENT_OBJECT_TABLE, DEFINER = CURRENT_USER() "
        "FROM information_schema.TRIGGERS "
        f"WHERE TRIGGER_SCHEMA = DATABASE() AND LEFT(TRIGGER_NAME, {len(_PREFIX)}) = '{_PREFIX}'"
    ),
}
_ADDRESS = ("company_id", "provider", "page_id", "access_token", "account_id", "base_url")
_SWITCHES = ("is_active", "is_webhook_active", "webhook_mode")


class Case(msgspec.Struct, frozen=True):
    """What is noted when a condition holds."""

    name: str
    condition: str
    statements: tuple[str, ...]


class Trigger(msgspec.Struct, frozen=True):
    """A trigger as the dialect has it: on MySQL one for each table and event, which ends at once
    where the write is ours.
    """

    name: str
    table: str
    event: str  # INSERT, UPDATE, DELETE
    body: str

    @property
    def create(self) -> str:
        """Return the statement that creates the trigger."""
        return (
            f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table} FOR EACH ROW "
            f"{self.body}"
        )


def triggers(dialect: Dialect) -> list[Trigger]:
    """All of them."""
    return [*_of_conversations(dialect), *_of_messages(dialect), *_of_integrations(dialect)]


def _made(
    dialect: Dialect, subject: str, table: str, event: str, *cases: Case
) -> Iterator[Trigger]:
    mark = _MARK.format(VERSION)
    if dialect == "sqlite":
        for case in cases:
            body = f"WHEN {case.condition} BEGIN {mark} {'; '.join(case.statements)}; END"
            yield Trigger(f"{_PREFIX}{subject}_{case.name}", table, event, body)
        return
    parts = " ".join(
        f"IF {case.condition} THEN {'; '.join(case.statements)}; END IF;" for case in cases
    )
    handler = "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @omni_missed = 1;"
    # a session's variable survives what refuses every table: whatever can be noted next says that
    # something is missing
    note = _insert_change(str(SERVER), COMPARE, INSERTED, "0", "0")
    missed = f"IF @omni_missed THEN SET @omni_missed = NULL; {note}; END IF;"
    body = f"IF @omni_inbox IS NULL THEN {mark} BEGIN {handler} {parts} {missed} END; END IF"
    yield Trigger(f"{_PREFIX}{subject}_{event.lower()}", table, event, body)


def missing(connection: Connection) -> list[Trigger]:
    """Those that are not there as they should be: absent, or of another text that is not a newer
    version's.
    """
    return _read_triggers(connection)[0]


def unknown_names(connection: Connection) -> list[str]:
    """Return what triggers name and the tables lack: `social_messages.omni_seq`."""
    inspector = inspect(connection)
    named = {CHANGES_TABLE: set(_NOTED)}
    for one in triggers(_dialect(connection)):
        named.setdefault(one.table, set()).update(_NAMED.findall(one.body))
    unknown = []
    for table, names in named.items():
        columns = inspector.get_columns(table) if inspector.has_table(table) else []
        lacking = names - {column["name"] for column in columns}
        unknown += [f"{table}.{name}" for name in sorted(lacking)]
    return unknown


async def read_missing(connection: AsyncConnection) -> list[str]:
    """As `missing`, for a server that runs: names."""
    return [
        one.name
        for one in _absent(
            connection.dialect, await connection.fetch_all(_PRESENT[connection.dialect])
        )
    ]


def ensure(connection: Connection) -> list[str]:
    """Create those that are missing. Returns sentences.

    What was written without them is found by a comparison, which the follower makes once it sees
    the row that is written here first. Raises PermissionError with the server's words where the
    account may not create triggers.
    """
    wanted, present = _read_triggers(connection)
    if not wanted:
        return []
    # committed before the first trigger: killed in between, the next process compares all the same
    ordered = connection.execute(text(ORDER_COMPARISON))
    try:
        for one in wanted:
            if one.name in present:
                connection.exec_driver_sql(f"DROP TRIGGER {one.name}")
            connection.exec_driver_sql(one.create)
    except sqlalchemy.exc.DBAPIError as error:
        # what is ordered comes with the triggers: else each try would have everything compared;
        # an order that was there before is somebody's for another reason
        if ordered.rowcount:
            connection.execute(
                text(f"DELETE FROM {CHANGES_TABLE} WHERE id = :id"), {"id": ordered.lastrowid}
            )
        arguments = getattr(error.orig, "args", ())
        if arguments and arguments[0] in _DENIED:
            raise PermissionError(", ".join(str(argument) for argument in arguments)) from None
        raise
    connection.execute(text(_FIRST_PROOF), {"now": wall_now_us()})
    return [
        (
            "created triggers that note what other programs write: "
            f"{', '.join(one.name for one in wanted)}"
        )
    ]


def take_over(connection: Connection) -> list[str]:
    """Make those anew that another account has made: MySQL runs them with its rights, and refuses
    every write of the CRM when that account is gone or has lost them, as in a dump that was
    restored elsewhere. Where that is denied they stay. Returns sentences.
    """
    rows = [tuple(row) for row in connection.exec_driver_sql(_PRESENT[_dialect(connection)]).all()]
    others = {name: body for name, body, _, is_own in rows if not is_own}
    wanted = [
        # of a newer version: with its text
        replace(one, body=others[one.name]) if _is_newer(others[one.name] or "") else one
        for one in triggers(_dialect(connection))
        if one.name in others
    ]
    try:
        for one in wanted:
            connection.exec_driver_sql(f"DROP TRIGGER {one.name}")
            connection.exec_driver_sql(one.create)
    # one that was dropped and could not be made is found missing afterwards
    except sqlalchemy.exc.DBAPIError:
        return []
    return (
        [
            (
                "made triggers anew that another account had made: "
                f"{', '.join(one.name for one in wanted)}"
            )
        ]
        if wanted
        else []
    )


def _read_triggers(connection: Connection) -> tuple[list[Trigger], set[str]]:
    """Those that are missing, and the names of all that are there."""
    dialect = _dialect(connection)
    rows = [tuple(row) for row in connection.exec_driver_sql(_PRESENT[dialect]).all()]
    return _absent(dialect, rows), {name for name, *_ in rows}


def _dialect(connection: Connection) -> Dialect:
    return "sqlite" if connection.dialect.name == "sqlite" else "mysql"


def _absent(dialect: Dialect, rows: Sequence[Row]) -> list[Trigger]:
    present = {name: (body, table) for name, body, table, _ in rows}
    return [one for one in triggers(dialect) if not _is_there(dialect, one, present.get(one.name))]


def _is_there(dialect: Dialect, one: Trigger, present: tuple[str | None, str] | None) -> bool:
    if present is None or present[1] != one.table:
        return False
    if (
        present[0] is None
    ):  # the server hides its text, as from an account whose rights just changed
        return True
    return _is_newer(present[0]) or present[0] == (one.create if dialect == "sqlite" else one.body)


def _is_newer(body: str) -> bool:
    marked = _MARKED.search(body)
    return marked is not None and int(marked[1]) > VERSION


def _of_conversations(dialect: Dialect) -> Iterator[Trigger]:
    table = "social_conversations"
    seen = f"NEW.omni_seq = OLD.omni_seq AND {_differs(dialect, _VALUES[table], _TEXTS[table])}"
    yield from _made(
        dialect,
        "conversation",
        table,
        "INSERT",
        Case("insert", "NEW.omni_seq = 0", (_conversation(INSERTED, "NEW"),)),
    )
    # given to another company: what both had of it is no more
    moved = Case(
        "move",
        _differs(dialect, ("id", "company_id"), ()),
        (_conversation(DELETED, "OLD"), _conversation(DELETED, "NEW")),
    )
    changed = Case("update", seen, (_conversation(UPDATED, "NEW"),))
    yield from _made(dialect, "conversation", table, "UPDATE", moved, changed)
    yield from _made(
        dialect,
        "conversation",
        table,
        "DELETE",
        Case("delete", "1 = 1", (_conversation(DELETED, "OLD"),)),
    )


def _of_messages(dialect: Dialect) -> Iterator[Trigger]:
    table = "social_messages"
    seen = f"NEW.omni_seq = OLD.omni_seq AND {_differs(dialect, _VALUES[table], _TEXTS[table])}"
    yield from _made(
        dialect,
        "message",
        table,
        "INSERT",
        Case("insert", "NEW.omni_seq = 0", (_message(INSERTED, "NEW"),)),
    )
    moved = Case(
        "move",
        _differs(dialect, ("id", "conversation_id"), ()),
        (_message(DELETED, "OLD"), _message(DELETED, "NEW")),
    )
    changed = Case("update", seen, (_message(UPDATED, "NEW"),))
    yield from _made(dialect, "message", table, "UPDATE", moved, changed)
    yield from _made(
        dialect, "message", table, "DELETE", Case("delete", "1 = 1", (_message(DELETED, "OLD"),))
    )


def _of_integrations(dialect: Dialect) -> Iterator[Trigger]:
    """What says whose deliveries an integration gets is told apart from its switches."""
    table = "integrations"
    addressed, switched = _differs(dialect, (), _ADDRESS), _differs(dialect, _SWITCHES, ())
    # where nothing else tells, a secret of ours is known by its seal, and a proof of ours by its
    # moment
    if dialect == "sqlite":
        addressed = (
            "NEW.omni_proved_at IS OLD.omni_proved_at AND COALESCE(NEW.access_token, '') NOT "
            f"LIKE 'enc1:%' AND {addressed}"
        )
    yield from _made(
        dialect,
        "integration",
        table,
        "INSERT",
        Case("insert", "1 = 1", (_integration(INSERTED, "NEW"),)),
    )
    given = Case("address", addressed, (_integration(MOVED, "NEW"),))
    changed = Case("switch", switched, (_integration(UPDATED, "NEW"),))
    yield from _made(dialect, "integration", table, "UPDATE", given, changed)
    yield from _made(
        dialect,
        "integration",
        table,
        "DELETE",
        Case("delete", "1 = 1", (_integration(DELETED, "OLD"),)),
    )


def _differs(dialect: Dialect, values: Iterable[str], texts: Iterable[str]) -> str:
    same = "IS" if dialect == "sqlite" else "<=>"
    binary = "" if dialect == "sqlite" else "BINARY "
    pairs = [f"NEW.{name} {same} OLD.{name}" for name in values]
    pairs += [f"{binary}NEW.{name} {same} {binary}OLD.{name}" for name in texts]
    return f"NOT ({' AND '.join(pairs)})"


def _conversation(act: str, row: str) -> str:
    return _insert_change(f"{row}.company_id", CONVERSATION, act, f"{row}.id", f"{row}.id")


def _message(act: str, row: str) -> str:
    """Whose it is would have to be looked up, which costs and locks: the follower does it."""
    return _insert_change("NULL", MESSAGE, act, f"{row}.id", f"{row}.conversation_id")


def _integration(act: str, row: str) -> str:
    return _insert_change(str(INTEGRATIONS), INTEGRATION, act, f"{row}.id", "0")


def _insert_change(
    company_id: str, subject: int, act: str, row_id: str, conversation_id: str
) -> str:
    return (
        f"INSERT INTO {CHANGES_TABLE} ({', '.join(_NOTED)}) "
        f"VALUES ({company_id}, {subject}, '{act}', {row_id}, {conversation_id})"
    )
