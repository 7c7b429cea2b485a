"""Rows packed into one: nothing is cut silently, whatever the session and the packets allow."""

import pytest

from server.db.engine.database import Connection, Database
from server.db.engine.packed import fetch_packed
from tests.kit.mariadb import MariaDB

_COUNT = 400


@pytest.fixture
async def database(mariadb: MariaDB):  # type: ignore[no-untyped-def]
    async with Database(mariadb.create_database()) as opened:
        yield opened


async def _numbers(connection: Connection) -> list[tuple[int, ...]]:
    source = f"(SELECT seq AS n, seq * 2 AS m FROM seq_1_to_{_COUNT}) AS numbers"
    return await fetch_packed(connection, ["n", "m"], source, "n DESC", {})


@pytest.mark.filterwarnings("ignore:Row .* was cut")
async def test_what_is_cut_off_is_read_in_rows(database: Database) -> None:
    """Wherever it is cut, also within the last number, all of them are there all the same, in
    order.
    """
    wanted = [(n, 2 * n) for n in range(_COUNT, 0, -1)]
    assert await database.read(_numbers) == wanted
    whole = sum(len(f"{n}:{m};") for n, m in wanted)
    for limit in (50, whole - 2, whole - 1, whole):

        async def read(connection: Connection, limit: int = limit) -> list[tuple[int, ...]]:
            await connection.execute(f"SET SESSION group_concat_max_len = {limit}")
            return await _numbers(connection)

        assert await database.read(read) == wanted


async def test_nothing_packs_to_nothing(database: Database) -> None:
    assert (
        await database.read(
            lambda c: fetch_packed(c, ["n"], "(SELECT 1 AS n) AS one WHERE n > 1", "n", {})
        )
        == []
    )
