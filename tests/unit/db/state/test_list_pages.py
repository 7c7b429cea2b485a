"""Pages of the list, whatever another program has stored as a conversation's time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from server.db.migrations import upgrade
from server.db.state import lists
from server.db.state.lists import Filters
from tests.kit.mariadb import MariaDB
from tests.unit.incoming.crm_desk import Desk, crm_session, open_desk

_ODD_TIMES = ["0000-00-00 00:00:00", "2026-02-31 00:00:00", "2026-03-01 00:00:00", None]


@pytest.mark.parametrize("may_be_nothing", [True, False])
async def test_a_list_goes_on_behind_a_time_that_no_calendar_has(
    mariadb: MariaDB, *, may_be_nothing: bool
) -> None:
    """Each conversation is on one page, whatever another program has stored as its time."""
    kind = "DATETIME(6) NULL" if may_be_nothing else "DATETIME(6) NOT NULL"
    url = mariadb.create_database()
    upgrade(url)
    times = _ODD_TIMES if may_be_nothing else _ODD_TIMES[:3]
    with crm_session(url) as session, session.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute(f"ALTER TABLE social_conversations MODIFY last_message_at {kind}")
        for number in range(12):
            cursor.execute(
                "INSERT INTO social_conversations (id, company_id, platform, last_message_at) "
                "VALUES (%s, 1, 'facebook', %s)",
                (number + 1, times[number % len(times)]),
            )
        session.commit()
    async with open_desk(url) as desk:
        await _is_complete(desk)


async def test_a_list_goes_on_behind_a_text_that_is_no_time(tmp_path: Path) -> None:
    """SQLite stores whatever it is given."""
    url = f"sqlite:///{tmp_path / 'omni.db'}"
    upgrade(url)
    with closing(sqlite3.connect(tmp_path / "omni.db")) as connection:
        for number, time in enumerate(["yesterday", "", None, "2026-03-01 00:00:00.000000"] * 3):
            connection.execute(
                "INSERT INTO social_conversations (id, company_id, platform, last_message_at) "
                "VALUES (?, 1, 'facebook', ?)",
                (number + 1, time),
            )
        connection.commit()
    async with open_desk(url) as desk:
        await _is_complete(desk)


async def _is_complete(desk: Desk) -> None:
    """Pages of one, two and five have all conversations once, in the order of a single one."""
    whole = await desk.database.read(lambda c: lists.list_conversations(c, 1, 7, Filters(), 50))
    wanted = [row.id for row, _ in whole]
    assert sorted(wanted) == list(range(1, 13))
    for limit in (1, 2, 5):
        seen: list[int] = []
        filters = Filters()
        while rows := await desk.database.read(
            lambda c: lists.list_conversations(c, 1, 7, filters, limit)  # noqa: B023
        ):
            seen += [row.id for row, _ in rows]
            filters = Filters(before=(rows[-1][0].last_message_us, rows[-1][0].id))
            assert len(seen) <= len(wanted)
        assert seen == wanted
