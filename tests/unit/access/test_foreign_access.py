"""Attempts at what is another company's: one line an agent, thing and hour, whichever process they
meet.
"""

from collections.abc import AsyncIterator

import pytest

from server.access.foreign_access import ForeignAccessLog
from server.core.times import SECOND, wall_now_us
from server.db.access.audit_log import NO_ORIGIN, Actor
from server.db.engine.database import Database
from server.db.engine.sql_connection import Connection
from server.db.migrations import upgrade

OWNER, STRANGER = 1, 2
COMPANIES = {7: OWNER, 77: OWNER, 8: STRANGER}  # by the number of a canned reply


@pytest.fixture
async def processes(database_url: str) -> AsyncIterator[list[Database]]:
    """The databases of two processes, which hold a thing for each of `COMPANIES`."""
    upgrade(database_url)

    async def add(connection: Connection) -> None:
        for number, company_id in COMPANIES.items():
            await connection.execute(
                "INSERT INTO omni_canned_replies (id, company_id, shortcut, content, updated_at) "
                "VALUES (:id, :company_id, :shortcut, 'x', 1)",
                {"id": number, "company_id": company_id, "shortcut": f"s{number}"},
            )

    async with Database(database_url) as one, Database(database_url) as other:
        await one.transaction(add)
        yield [one, other]


async def attempt(
    process: ForeignAccessLog, number: int, *, agent_id: int = 5, method: str = "GET"
) -> None:
    await process._record(
        Actor(STRANGER, "Tomas", agent_id, NO_ORIGIN), method, "canned-replies", number
    )


async def lines(database: Database) -> list[tuple[int, str]]:
    query = "SELECT agent_id, target FROM omni_audit_log WHERE act = 'foreign.refused' ORDER BY id"
    return [(row[0], row[1]) for row in await database.read(lambda c: c.fetch_all(query))]


async def test_one_line_an_agent_and_thing_whichever_process_it_meets(
    processes: list[Database],
) -> None:
    """Whatever was tried with it; another thing, whose number ends alike, and another agent are
    lines of their own.
    """
    both = [ForeignAccessLog(database) for database in processes]
    for _ in range(3):
        for process in both:
            for method in ("GET", "PUT"):
                await attempt(process, 7, method=method)
    assert await lines(processes[0]) == [(5, "GET canned-replies 7")]
    await attempt(both[1], 77)
    await attempt(both[1], 7, agent_id=6)
    assert (await lines(processes[0]))[1:] == [
        (5, "GET canned-replies 77"),
        (6, "GET canned-replies 7"),
    ]


async def test_within_the_hour_the_database_is_not_asked_again(processes: list[Database]) -> None:
    """A page that asks every five seconds for what is not its own opens no transaction each time:
    of a line that somebody has deleted meanwhile nothing is noticed.
    """
    process = ForeignAccessLog(processes[0])
    await attempt(process, 7)
    await processes[0].transaction(lambda c: c.execute("DELETE FROM omni_audit_log"))
    await attempt(process, 7)
    assert await lines(processes[0]) == []
    await attempt(process, 77)
    assert len(await lines(processes[0])) == 1


async def test_an_hour_later_it_is_written_again(processes: list[Database]) -> None:
    """By the process that wrote it as by another one."""
    await attempt(ForeignAccessLog(processes[0]), 7)
    before_us = wall_now_us() - 3_601 * SECOND

    async def age(connection: Connection) -> None:
        await connection.execute("UPDATE omni_audit_log SET at = :at", {"at": before_us})

    await processes[0].transaction(age)
    await attempt(ForeignAccessLog(processes[1]), 7)
    assert len(await lines(processes[0])) == 2


async def test_own_things_and_what_is_not_there_are_no_attempts(processes: list[Database]) -> None:
    """Only what is there, in another company."""
    process = ForeignAccessLog(processes[0])
    await attempt(process, 8)
    await attempt(process, 9_999)
    assert await lines(processes[0]) == []
