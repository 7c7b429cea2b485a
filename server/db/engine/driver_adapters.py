"""How each driver runs statements: values bound or written into the text, statements in packets.

MySQL gets several in one packet (the driver asks for CLIENT.MULTI_STATEMENTS when it connects); it
stops at the first that fails, so nothing after it is run. SQLite gets one after the other. Values
are written into MySQL's text here, each of a kind that is checked, strings escaped by the driver's
own `escape_string`.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from server.errors import StatementTooLarge

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]
Dialect = Literal["sqlite", "mysql"]

# statements travel together up to this size: a larger packet saves nothing
_GROUP_BYTES = 1_000_000
SMALLEST_PACKET_BYTES = 1_048_576  # max_allowed_packet where the server was not asked for its own
_PACKET_HEADER_BYTES = 64
_MAX_SQLITE_PARAMETERS = 32_766  # SQLITE_MAX_VARIABLE_NUMBER since 3.32
_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")
_VALUES = re.compile(r"(.*\bVALUES )(\([^()]*\))(.*)", re.DOTALL)


class IntList(tuple[int, ...]):
    """A parameter for `IN (:name)`: whole numbers, written into the text, as thousands of
    parameters would cost more than the query.
    """

    __slots__ = ()

    @property
    def text(self) -> str:
        """The numbers with commas for an IN list; `NULL`, which equals nothing, if there are
        none.
        """
        return ",".join(map(str, map(int, self))) or "NULL"


class Outcome(NamedTuple):
    """What one statement came to. `found`: rows (MySQL: CLIENT.FOUND_ROWS is set, so both dialects
    agree).
    """

    rows: Sequence[Row]
    found: int
    last_id: int


class DriverAdapter(Protocol):
    """One driver: makes statements ready to leave, and lets them leave together."""

    def prepare(self, sql: str, parameters: Parameters) -> Any:
        """Return the statement in the form that `run` executes."""

    def prepare_many(self, sql: str, rows: Sequence[Parameters]) -> list[Any]:
        """Return a statement for many rows as few statements as the driver and the packet allow."""

    async def run(self, statements: Sequence[Any], wanted: int) -> list[Outcome]:
        """Run the statements in order, and return the outcomes of the last `wanted`."""


class Repeated(NamedTuple):
    """A statement to be run once for each row; no transaction by itself."""

    sql: str
    rows: Sequence[Parameters]


class SqliteAdapter:
    """aiosqlite: parameters are bound, each statement is a turn of the connection's thread."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def prepare(self, sql: str, parameters: Parameters) -> tuple[str, Parameters]:
        """Return the statement with its lists of numbers written out, and the other parameters."""
        for name, value in parameters.items():
            if isinstance(value, IntList):
                sql = re.sub(rf":{name}\b", value.text, sql)
                parameters = {key: value for key, value in parameters.items() if key != name}
        return sql, parameters

    def prepare_many(
        self, sql: str, rows: Sequence[Parameters]
    ) -> list[tuple[str, Sequence[Any]] | Repeated]:
        """An INSERT as one statement for hundreds of rows, anything else once for each row."""
        if not _VALUES.fullmatch(sql):
            return [Repeated(sql, rows)]
        head, values, names, tail = _insert_template(sql)
        row_text, at_once = (
            values % (("?",) * len(names)),
            _MAX_SQLITE_PARAMETERS // max(1, len(names)),
        )
        pieces = [rows[n : n + at_once] for n in range(0, len(rows), at_once)]
        return [
            (
                f"{head}{','.join([row_text] * len(piece))}{tail}",
                [row[name] for row in piece for name in names],
            )
            for piece in pieces
        ]

    async def run(
        self, statements: Sequence[tuple[str, Any] | Repeated], wanted: int
    ) -> list[Outcome]:
        """Each is a turn of the connection's thread, or two where the cursor's numbers are
        wanted.
        """
        for statement in statements[: len(statements) - wanted]:
            if isinstance(statement, Repeated):
                cursor = await self._raw.executemany(*statement)
                await cursor.close()
            else:
                await self._raw.execute_fetchall(*statement)
        return [
            await self._outcome(*statement) for statement in statements[len(statements) - wanted :]
        ]

    async def _outcome(self, sql: str, parameters: Parameters) -> Outcome:
        if sql.startswith("SELECT"):
            return Outcome(await self._raw.execute_fetchall(sql, parameters), 0, 0)
        cursor = await self._raw.execute(sql, parameters)
        outcome = Outcome((), cursor.rowcount, cursor.lastrowid or 0)
        await cursor.close()
        return outcome


class MysqlAdapter:
    """aiomysql: values are written into the text. `packet_bytes`: the server hangs up on a client
    that sends more than this at once.
    """

    def __init__(self, raw: Any, packet_bytes: int) -> None:
        self._raw = raw
        self._most_bytes = packet_bytes - _PACKET_HEADER_BYTES
        self._group_bytes = min(_GROUP_BYTES, self._most_bytes)

    def prepare(self, sql: str, parameters: Parameters) -> str:
        """Raises StatementTooLarge."""
        text, names = _template(sql)
        if not names:
            return sql
        statement = text % tuple([self._literal(parameters[name]) for name in names])
        if 4 * len(statement) > self._most_bytes:  # else it fits, whatever its letters are
            self._check(utf8_bytes(statement))
        return statement

    def prepare_many(self, sql: str, rows: Sequence[Parameters]) -> list[str]:
        """Raises StatementTooLarge when a row alone is."""
        head, values, names, tail = _insert_template(sql)
        literal = self._literal
        rendered = [values % tuple([literal(row[name]) for name in names]) for row in rows]
        whole = f"{head}{','.join(rendered)}{tail}"
        if 4 * len(whole) <= self._group_bytes:  # it fits, whatever its letters are
            return [whole]
        frame = utf8_bytes(head) + utf8_bytes(tail)
        statements, pieces, size = [], list[str](), frame
        for piece in rendered:
            piece_bytes = utf8_bytes(piece) + 1
            self._check(frame + piece_bytes)
            if pieces and size + piece_bytes > self._group_bytes:
                statements.append(f"{head}{','.join(pieces)}{tail}")
                pieces, size = [], frame
            pieces.append(piece)
            size += piece_bytes
        return [*statements, f"{head}{','.join(pieces)}{tail}"]

    def _check(self, statement_bytes: int) -> None:
        if statement_bytes > self._most_bytes:
            raise StatementTooLarge(
                f"A statement of {statement_bytes} bytes is larger than the database takes; "
                f"raise max_allowed_packet above {statement_bytes}"
            )

    async def run(self, statements: Sequence[str], wanted: int) -> list[Outcome]:
        """Send the statements in packets of bounded size, and return the outcomes of the last
        `wanted`.
        """
        outcomes: list[Outcome] = []
        unwanted = len(statements) - wanted
        async with self._raw.cursor() as cursor:
            for packet in _packets(statements, self._group_bytes):
                await cursor.execute(";".join(packet))
                for n in range(len(packet)):
                    if n:
                        await cursor.nextset()
                    if unwanted > 0:
                        unwanted -= 1
                    else:
                        outcomes.append(await _outcome(cursor))
        return outcomes

    def _literal(self, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, str):
            return f"'{self._raw.escape_string(value)}'"
        if type(value) is int:  # most of them are: asked before what is rare
            return str(value)
        if isinstance(value, bytes):
            return f"_binary X'{value.hex()}'"
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"{value} is no number of SQL")
            return repr(value)
        return value.text if isinstance(value, IntList) else str(int(value))


async def _outcome(cursor: Any) -> Outcome:
    rows = await cursor.fetchall() if cursor.description else ()
    return Outcome(rows, cursor.rowcount, cursor.lastrowid or 0)


def utf8_bytes(text: str) -> int:
    """How many bytes a text is on the wire. A character is up to four of them."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _packets(statements: Sequence[str], most_bytes: int) -> Iterable[list[str]]:
    """Statements that travel together; one that is larger travels alone."""
    if 4 * sum(map(len, statements)) + len(statements) <= most_bytes:  # whatever their letters are
        yield list(statements)
        return
    packet, size = list[str](), 0
    for statement in statements:
        statement_bytes = utf8_bytes(statement) + 1
        if packet and size + statement_bytes > most_bytes:
            yield packet
            packet, size = [], 0
        packet.append(statement)
        size += statement_bytes
    yield packet


@functools.lru_cache(maxsize=1024)
def _template(sql: str) -> tuple[str, list[str]]:
    """The text with `%s` for each parameter, and the parameters' names in that order."""
    return _PARAMETER.sub("%s", sql.replace("%", "%%")), _PARAMETER.findall(sql)


@functools.lru_cache(maxsize=256)
def _insert_template(sql: str) -> tuple[str, str, list[str], str]:
    """An INSERT as (all up to VALUES, one row's values, their names, the rest)."""
    match = _VALUES.fullmatch(sql)
    if match is None:
        raise ValueError(f"no INSERT ... VALUES (...): {sql[:80]}")
    values, names = _template(match[2])
    return match[1], values, names, match[3]
