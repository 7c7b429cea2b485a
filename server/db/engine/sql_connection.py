"""A connection as SQL sees it: named parameters, statements that travel together, rows as tuples.

A round trip costs more than most statements. So a statement whose answer nobody waits for is
*pipelined*: it leaves with the next one that is waited for, at the latest with the COMMIT, and
BEGIN leaves with the first. How they travel is the driver's (`driver_adapters`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from server.db.engine.driver_adapters import (
    SMALLEST_PACKET_BYTES,
    DriverAdapter,
    IntList,
    MysqlAdapter,
    Outcome,
    Repeated,
    SqliteAdapter,
)
from server.db.engine.driver_adapters import Dialect as Dialect
from server.db.engine.driver_adapters import Parameters as Parameters
from server.db.engine.driver_adapters import Row as Row
from server.db.schema.crm_columns import STANDARD, CrmColumns

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
        self.inbox_names: Mapping[int, str] = {}  # the database's
        self._driver: DriverAdapter = (
            SqliteAdapter(raw) if dialect == "sqlite" else MysqlAdapter(raw, packet_bytes)
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
        rows = await self.fetch_all(sql, parameters)
        return rows[0][0] if rows else None

    async def fetch_column(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Return the first column of all rows; the SELECT carries its own LIMIT."""
        return [value for value, *_ in await self.fetch_all(sql, parameters)]

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
            and not any(isinstance(statement, Repeated) for statement in own)
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


def _checked(parameters: Parameters | None) -> Parameters:
    if parameters:
        for name, value in parameters.items():
            if not isinstance(value, _BINDABLE):
                raise TypeError(f"{name}: {type(value).__name__} cannot be bound")
    return parameters or {}
