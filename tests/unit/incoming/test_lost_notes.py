"""Notes that triggers could not write, for whatever reason, against real databases."""

import asyncio
import contextlib

import pymysql
import pytest
from sqlalchemy import make_url

from server.db.migrations import upgrade
from server.errors import DatabaseUnavailable
from tests import crm
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.unit.incoming.crm_desk import (
    Desk,
    conversation,
    crm_session,
    message,
    open_desk,
    settled_desk,
    write,
)

_TABLE = "TABLE omni_crm_changes"
_RULE = f"ALTER {_TABLE} ADD CONSTRAINT odd CHECK (row_id < 0)"
_BREAKS = {  # what happens to the table of notes, and what ends it
    "renamed": (f"RENAME {_TABLE} TO elsewhere", "RENAME TABLE elsewhere TO omni_crm_changes"),
    "a rule of somebody's": (
        f"SET STATEMENT check_constraint_checks = 0 FOR {_RULE}",
        f"ALTER {_TABLE} DROP CONSTRAINT odd",
    ),
    "a column is gone": (
        f"ALTER {_TABLE} DROP COLUMN row_id",
        f"ALTER {_TABLE} ADD COLUMN row_id BIGINT NOT NULL",
    ),
    "a column of another kind": (
        f"SET STATEMENT sql_mode = '' FOR ALTER {_TABLE} MODIFY act INT NOT NULL",
        f"ALTER {_TABLE} MODIFY act CHAR(1) NOT NULL",
    ),
    "full": (
        f"ALTER {_TABLE} MAX_ROWS = 1 ENGINE = MEMORY",
        f"ALTER {_TABLE} MAX_ROWS = 0 ENGINE = InnoDB",
    ),
    "no right": (
        "REVOKE INSERT ON `{name}`.* FROM 'noting'@'%'",
        "GRANT INSERT ON `{name}`.* TO 'noting'@'%'",
    ),
    "read-only": ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
}


async def _is_made_good(desk: Desk, before: str) -> None:
    """What was written without a note is shown, clients take a snapshot, once; and notes are
    written again.
    """

    async def is_shown() -> bool:
        with contextlib.suppress(DatabaseUnavailable):
            await desk.watch.turn()
        await desk.follow()
        return "unnoted" in str(
            await desk.one("SELECT omni_preview FROM social_conversations WHERE id = 1")
        )

    await eventually(is_shown, 40.0)
    after = (await desk.stream(1)).epoch
    assert after != before
    for _ in range(2):
        await desk.watch.turn()
        await desk.follow()
    assert (await desk.stream(1)).epoch == after
    known = desk.events(1)
    write(desk.url, message(2, "noted again"))
    await desk.follow()
    assert desk.events(1) == known + 1


@pytest.mark.parametrize("cause", _BREAKS)
async def test_what_could_not_be_noted_is_found_once_notes_can_be_written(
    mariadb: MariaDB, cause: str
) -> None:
    """The CRM's statement passes; one comparison after the cause has ended, and none before."""
    name = str(make_url(mariadb.create_database()).database)
    mariadb.sql("CREATE OR REPLACE USER 'noting'@'%' IDENTIFIED BY 'secret'")
    mariadb.sql(f"GRANT ALL ON `{name}`.* TO 'noting'@'%'")
    url, crm_url = mariadb.url(name).replace("//omni:", "//noting:"), mariadb.url(name)
    upgrade(url)
    async with settled_desk(url) as desk:
        before = (await desk.stream(1)).epoch
        broken, mended = (one.format(name=name) for one in _BREAKS[cause])
        mariadb.sql(broken, database=name)
        try:
            if cause == "full":
                _fill(mariadb, name)
            write(crm_url, message(1, "unnoted"))
            with contextlib.suppress(DatabaseUnavailable):
                await desk.watch.turn()
            assert "unnoted" not in str(
                await desk.one("SELECT omni_preview FROM social_conversations WHERE id = 1")
            )
        finally:
            if cause == "full":
                mariadb.sql("DELETE FROM omni_crm_changes WHERE subject = 9", database=name)
            mariadb.sql(mended, database=name)
        await _is_made_good(desk, before)


def _fill(mariadb: MariaDB, name: str) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="1114"):
        mariadb.sql(
            "INSERT INTO omni_crm_changes (company_id, subject, act, row_id) "
            "SELECT -2, 9, 'I', seq FROM seq_1_to_1000000",
            database=name,
        )


async def test_a_table_of_notes_that_was_emptied_is_noticed(database_url: str) -> None:
    """As by a dump of it that was put back: the notes in it are lost, and the rows are compared."""
    upgrade(database_url)
    async with settled_desk(database_url) as desk:
        before = (await desk.stream(1)).epoch
        write(database_url, message(1, "unnoted"), "DELETE FROM omni_crm_changes")
        await _is_made_good(desk, before)


async def test_a_note_that_was_missed_between_two_looks_is_ordered_by_its_session(
    mariadb: MariaDB,
) -> None:
    """It passed before anybody tried: the session's next note says that one is missing."""
    url = mariadb.create_database()
    upgrade(url)
    async with settled_desk(url) as desk:
        before = (await desk.stream(1)).epoch
        broken, mended = _BREAKS["a rule of somebody's"]
        with crm_session(url) as session, session.cursor() as cursor:
            write(url, broken)
            cursor.execute(message(1, "unnoted"))
            session.commit()
            write(url, mended)
            await desk.watch.turn()
            assert (await desk.stream(1)).epoch == before
            cursor.execute("UPDATE social_conversations SET status = 'Closed' WHERE id = 2")
            session.commit()
        await _is_made_good(desk, before)


async def test_what_was_written_while_nobody_tried_is_compared(mariadb: MariaDB) -> None:
    """Processes were away for an hour: whether all was noted meanwhile nobody knows. After a short
    restart nothing is compared.
    """
    url = mariadb.create_database()
    upgrade(url)
    async with settled_desk(url) as desk:
        before = (await desk.stream(1)).epoch
        async with open_desk(url) as restarted:
            await restarted.watch.turn()
            assert (await desk.stream(1)).epoch == before
        write(
            url,
            *_BREAKS["a rule of somebody's"][:1],
            message(1, "unnoted"),
            _BREAKS["a rule of somebody's"][1],
            "UPDATE omni_crm_changes SET row_id = row_id - 3600000000 WHERE company_id = -2",
        )
        async with open_desk(url) as restarted:
            await _is_made_good(restarted, before)


async def test_locks_of_a_note_end_the_statement_and_are_not_swallowed(mariadb: MariaDB) -> None:
    """1205 and 1213 pass the trigger's handler by: the CRM is told, nothing is written without its
    note.
    """
    url = mariadb.create_database()
    upgrade(url)
    write(url, conversation(1), conversation(2))
    with (
        crm_session(url) as theirs,
        crm_session(url) as holder,
        theirs.cursor() as cursor,
        holder.cursor() as held,
    ):
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        held.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT id FROM omni_crm_changes FOR UPDATE")
        with pytest.raises(pymysql.err.OperationalError, match="1205"):
            cursor.execute(message(1))
        theirs.rollback()
        held.execute(
            "UPDATE omni_crm_changes SET row_id = row_id"
        )  # heavier than the other: not the deadlock's victim
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 50")
        cursor.execute("UPDATE social_conversations SET omni_search_text = 'held' WHERE id = 1")
        close = "UPDATE social_conversations SET status = 'Closed' WHERE id = 1"
        waiting = asyncio.get_running_loop().run_in_executor(None, cursor.execute, close)
        waits = "SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        await eventually(lambda: mariadb.sql(waits))
        held.execute("UPDATE social_conversations SET omni_search_text = 'mine' WHERE id = 1")
        with pytest.raises(pymysql.err.OperationalError, match="1213"):
            await waiting
        holder.rollback()
    assert crm.execute(url, "SELECT status FROM social_conversations WHERE id = 1") == [
        {"status": "Open"}
    ]
    assert crm.execute(url, "SELECT id FROM social_messages") == []
