"""Tables for tests of the database's door: a few counters, and marks that are added."""

import asyncio

from server.db.engine.database import Connection, Database
from tests.kit.eventually import scaled

ROWS = 4


async def create(c: Connection) -> None:
    engine = "" if c.dialect == "sqlite" else " ENGINE=InnoDB"
    await c.execute(
        "CREATE TABLE IF NOT EXISTS counters (id INTEGER PRIMARY KEY, value INTEGER NOT "
        f"NULL){engine}"
    )
    await c.execute(f"CREATE TABLE IF NOT EXISTS marks (mark INTEGER PRIMARY KEY){engine}")
    await c.execute_many(
        "INSERT INTO counters (id, value) VALUES (:id, 0)",
        [{"id": number} for number in range(ROWS)],
    )


async def marks(database: Database) -> set[int]:
    return {row[0] for row in await database.fetch_all("SELECT mark FROM marks")}


async def is_whole(database: Database) -> None:
    """As many calls at once as there are lanes, each way: a leaked connection would leave one of
    them waiting.
    """
    async with asyncio.timeout(scaled(15)), asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(
                database.transaction(
                    lambda c: c.execute("UPDATE counters SET value = value + 1 WHERE id = 0")
                )
            )
            group.create_task(database.fetch_one("SELECT :n", {"n": number}))
