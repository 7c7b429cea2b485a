"""A connection as SQL sees it: named parameters, statements that travel together, rows as tuples.

A round trip costs more than most statements. So a statement whose answer nobody waits for is
*pipelined*: it leaves with the next one that is waited for, at the latest with the COMMIT, and
BEGIN leaves with the first. MySQL gets them in one packet (the driver asks for
CLIENT.MULTI_STATEMENTS when it connects); it stops at the first that fails, so nothing after it is
run. SQLite gets one after the other. Values are written into MySQL's text here, each of a kind that
is checked, strings escaped by the driver's own `escape_string`.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from server.db.schema.crm_columns import STANDARD, CrmColumns
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


class _DriverAdapter(Protocol):
    """One driver: makes statements ready to leave, and lets them leave together."""

    def prepare(self, sql: str, parameters: Parameters) -> Any:
        """Return the statement in the form that `run` executes."""

    def prepare_many(self, sql: str, rows: Sequence[Parameters]) -> list[Any]:
        """Return a statement for many rows as few statements as the driver and the packet allow."""

    async def run(self, statements: Sequence[Any], wanted: int) -> list[Outcome]:
        """What the last `wanted` of them came to."""


# anything else would be guessed at by the driver
_BINDABLE = (int, float, str, bytes, type(None), IntList)


class Connection:
    """A connection lent to one call. Parameters are named (`:name`); rows are tuples in the order
    of the SELECT.
    """

    def __init__(
        self,
        raw: Any,
        dialect: Dialect,
        packet_bytes: int = SMALLEST_PACKET_BYTES,
        crm: CrmColumns = STANDARD,
    ) -> None:
        """`packet_bytes`: the server's max_allowed_packet."""
        self.raw = raw
        self.dialect = dialect
        self.packet_bytes = packet_bytes
        self.crm = crm
        self._driver: _DriverAdapter = (
            _SqliteAdapter(raw) if dialect == "sqlite" else _MysqlAdapter(raw, packet_bytes)
        )
        self._pipelined: list[Any] = []
        self._after_commit: list[Callable[[], object]] = []
        self._begun = 0  # how many of the pipelined begin the transaction; 0 once they have left
        self._is_open = False

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """All rows of a SELECT; it carries its own LIMIT."""
        return (await self._run(sql, parameters)).rows

    async def fetch_one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        """Return the first row, or None. Sends what was pipelined first."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, parameters: Parameters | None = None) -> Any:
        """Return the first column of the first row, or None."""
        rows = (await self._run(sql, parameters)).rows
        return rows[0][0] if rows else None

    async def fetch_column(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Return the first column of all rows; the SELECT carries its own LIMIT."""
        return [row[0] for row in (await self._run(sql, parameters)).rows]

    async def fetch_each(self, *selects: tuple[str, Parameters]) -> list[Sequence[Row]]:
        """The rows of several SELECTs, in one round trip where the database can."""
        self._pipelined += [
            self._driver.prepare(sql, _checked(parameters)) for sql, parameters in selects
        ]
        return [outcome.rows for outcome in await self._send_pipeline(len(selects))]

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        """Run a statement. Returns the number of rows it found."""
        return (await self._run(sql, parameters)).found

    async def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert one row. Returns its id."""
        return (await self._run(sql, parameters)).last_id

    async def insert_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Insert rows, one statement each. Returns their ids in that order."""
        self._pipelined += [self._driver.prepare(sql, _checked(row)) for row in rows]
        return [outcome.last_id for outcome in await self._send_pipeline(len(rows))]

    def pipeline(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement with the next one that is waited for; its error shows there."""
        self._pipelined.append(self._driver.prepare(sql, _checked(parameters)))

    def pipeline_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """`INSERT ... VALUES (:a, :b) ...` for many rows, as `pipeline`: few statements, each of
        many rows.
        """
        if rows:
            self._pipelined += self._driver.prepare_many(sql, [_checked(row) for row in rows])

    async def execute_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """As `pipeline_many`, and done when it returns."""
        self.pipeline_many(sql, rows)
        await self.flush()

    async def flush(self) -> None:
        """Let everything pipelined leave."""
        if self._pipelined:
            await self._send_pipeline(0)

    def after_commit(self, call: Callable[[], object]) -> None:
        """Have `call` run once the COMMIT is confirmed: for counters, logs and announcements of
        this transaction.

        A transaction that is run again has not run what its first run left here. `call` must not
        wait nor raise.
        """
        self._after_commit.append(call)

    # -- the lane's side
    # -------------------------------------------------------------------------------------------

    def begin(self, statements: Iterable[str]) -> None:
        """The transaction begins with the first statement that leaves."""
        self._pipelined = [self._driver.prepare(sql, {}) for sql in statements]
        self._after_commit = []
        self._begun = len(self._pipelined)
        self._is_open = False

    async def commit(self) -> None:
        """A single statement that is still here leaves alone: it is a transaction by itself."""
        own = self._pipelined[self._begun :] if self._begun else []
        if (
            self._begun
            and len(own) <= 1
            and not any(isinstance(statement, _Repeated) for statement in own)
        ):
            self._pipelined = own
            self._begun = 0
        else:
            self.pipeline("COMMIT")
        await self.flush()
        self._is_open = False
        calls, self._after_commit = self._after_commit, []
        for call in calls:
            call()

    async def rollback(self) -> None:
        """Roll the transaction back, and drop what is pipelined and what was to happen after the
        commit.
        """
        self._pipelined = []
        self._after_commit = []
        self._begun = 0
        if self._is_open:
            self._is_open = False
            await self._run("ROLLBACK", None)

    async def _run(self, sql: str, parameters: Parameters | None) -> Outcome:
        self._pipelined.append(self._driver.prepare(sql, _checked(parameters)))
        return (await self._send_pipeline(1))[0]

    async def _send_pipeline(self, wanted: int) -> list[Outcome]:
        pipelined, self._pipelined = self._pipelined, []
        self._is_open, self._begun = self._is_open or self._begun > 0, 0
        return await self._driver.run(pipelined, wanted)


class _Repeated(NamedTuple):
    """A statement to be run once for each row; no transaction by itself."""

    sql: str
    rows: Sequence[Parameters]


class _SqliteAdapter:
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
    ) -> list[tuple[str, Sequence[Any]] | _Repeated]:
        """An INSERT as one statement for hundreds of rows, anything else once for each row."""
        if not _VALUES.fullmatch(sql):
            return [_Repeated(sql, rows)]
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
        self, statements: Sequence[tuple[str, Any] | _Repeated], wanted: int
    ) -> list[Outcome]:
        """Each is a turn of the connection's thread, or two where the cursor's numbers are
        wanted.
        """
        for statement in statements[: len(statements) - wanted]:
            if isinstance(statement, _Repeated):
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


class _MysqlAdapter:
    """`packet_bytes`: the server hangs up on a client that sends more than this at once."""

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


def _checked(parameters: Parameters | None) -> Parameters:
    if parameters:
        for name, value in parameters.items():
            if not isinstance(value, _BINDABLE):
                raise TypeError(f"{name}: {type(value).__name__} cannot be bound")
    return parameters or {}
