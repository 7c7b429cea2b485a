"""Triggers that somebody drops, may not be created, or are in the way of nobody: against real
databases.
"""

import asyncio
import os
import zlib
from typing import Any

import pytest
from sqlalchemy import make_url

from server.core.state.crm_changes import PROVED
from server.db.migrations import upgrade
from server.db.migrations.upgrade_connection import connected
from server.db.schema import crm_triggers
from server.db.schema.crm_triggers import ORDER_COMPARISON
from server.db.state import crm_comparisons, crm_notes
from server.db.state.working_set_loads import load_working_set
from server.db.state.working_set_saves import save_working_set
from server.errors import ConfigurationError
from tests import crm
from tests.kit.mariadb import MariaDB
from tests.unit.db.state.office import SOURCES
from tests.unit.incoming.crm_desk import conversation, crm_session, message, open_desk, write
from tests.unit.states import conversation_change, message_change


async def test_dropped_triggers_are_put_back_and_what_was_missed_is_found(
    database_url: str,
) -> None:
    """As by a tool that makes a table anew: counts and preview are right again, and every client
    takes a snapshot.
    """
    upgrade(database_url)
    async with open_desk(database_url) as desk:
        write(database_url, conversation(1), message(1), conversation(2, company=2), message(2))
        await desk.follow()
        before = [await desk.stream(company_id) for company_id in (1, 2)]
        with connected(database_url) as connection:
            for trigger in crm_triggers.triggers(desk.database.dialect):
                connection.exec_driver_sql(f"DROP TRIGGER {trigger.name}")
        write(
            database_url,
            message(1, "missed"),
            "UPDATE social_conversations SET status = 'Closed' WHERE id = 2",
        )
        await desk.watch.check()
        assert await desk.database.read(crm_triggers.read_missing) == []
        await desk.watch._compare_ordered()
        await desk.follow()
        after = [await desk.stream(company_id) for company_id in (1, 2)]
        assert all(new.epoch != old.epoch for new, old in zip(after, before, strict=True))
        assert (
            await desk.one("SELECT omni_inbound_count FROM social_conversations WHERE id = 1") == 2
        )
        assert "missed" in await desk.one(
            "SELECT omni_preview FROM social_conversations WHERE id = 1"
        )
        write(database_url, message(1, "noted again"))
        await desk.follow()
        assert desk.batches[-1].company_id == 1


async def test_a_row_without_a_company_stops_nobody(database_url: str) -> None:
    """A CRM whose conversations may be nobody's, or have a number below nought: they are shown to
    nobody, all others are.
    """
    upgrade(database_url)
    if database_url.startswith("mysql"):
        write(database_url, "ALTER TABLE social_conversations MODIFY company_id BIGINT NULL")
        odd = [conversation(9).replace("(9, 1,", "(9, NULL,"), message(9)]
    else:
        odd = []
    async with open_desk(database_url) as desk:
        numbers = [conversation(10 + place, company=-place) for place in (1, 2, 3, 4)]
        write(
            database_url,
            *odd,
            *numbers,
            *(message(10 + place) for place in (1, 2, 3, 4)),
            conversation(1),
            message(1),
        )
        for _ in range(3):
            await desk.follow()
        assert {batch.company_id for batch in desk.batches} == {1}
        assert await desk.one("SELECT COUNT(*) FROM omni_crm_changes WHERE subject < 4") == 0


async def test_triggers_that_went_along_with_another_table_are_made_anew(mariadb: MariaDB) -> None:
    """A tool for online changes puts a copy in the table's place and keeps the old one, with its
    triggers: one comparison, and then the copy has them.
    """
    url = mariadb.create_database()
    upgrade(url)
    async with open_desk(url) as desk:
        write(url, conversation(1))
        await desk.follow()
        write(
            url,
            "CREATE TABLE _copy LIKE social_messages",
            "RENAME TABLE social_messages TO _old, _copy TO social_messages",
        )
        await desk.watch.check()
        assert await desk.database.read(crm_triggers.read_missing) == []
        await desk.watch._compare_ordered()
        before = (await desk.stream(1)).epoch
        await desk.watch.check()
        await desk.watch._compare_ordered()
        assert (await desk.stream(1)).epoch == before
        write(url, message(1, "noted"))
        await desk.follow()
        assert "noted" in await desk.one(
            "SELECT omni_preview FROM social_conversations WHERE id = 1"
        )


async def test_an_older_program_leaves_a_newer_one_s_triggers_alone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a rolling upgrade: else each would put its own in place of the other's, every two
    seconds, and have everything compared.
    """
    with monkeypatch.context() as newer:
        newer.setattr(crm_triggers, "VERSION", crm_triggers.VERSION + 1)
        upgrade(database_url)
        texts = _trigger_texts(database_url)
    assert upgrade(database_url) == []
    async with open_desk(database_url) as desk:
        await desk.watch.turn()
        await desk.watch.turn()
        assert _trigger_texts(database_url) == texts
        write(database_url, conversation(1), message(1, "noted by the newer one"))
        await desk.follow()
        assert desk.events(1) > 0
        with connected(database_url) as connection:
            connection.exec_driver_sql("DROP TRIGGER omni_crm_message_insert")
        await desk.watch.turn()
        assert len(_trigger_texts(database_url)) == len(texts)
    with monkeypatch.context() as newer:
        newer.setattr(crm_triggers, "VERSION", crm_triggers.VERSION + 1)
        assert any("omni_crm_message_insert" in one for one in upgrade(database_url))
        assert _trigger_texts(database_url) == texts


def test_a_trigger_whose_text_the_server_hides_is_there() -> None:
    """As for a moment from an account whose rights are being changed: nothing is put in its
    place.
    """
    one = crm_triggers.triggers("mysql")[0]
    assert crm_triggers._is_there("mysql", one, (None, one.table))
    assert not crm_triggers._is_there("mysql", one, (None, "another"))


def test_another_text_of_a_trigger_has_another_version() -> None:
    """The number decides which of two programs may replace it. After a change of the text: a higher
    VERSION, and the checksum that this test then says.
    """
    texts = [
        one.create for dialect in ("sqlite", "mysql") for one in crm_triggers.triggers(dialect)
    ]
    checksum = zlib.crc32("\n".join(texts).encode())
    assert (crm_triggers.VERSION, checksum) == (1, 694_829_893)


def _trigger_texts(url: str) -> dict[str, str]:
    sql = (
        "SELECT name, sql AS body FROM sqlite_master WHERE type = 'trigger'"
        if url.startswith("sqlite")
        else "SELECT TRIGGER_NAME AS name, ACTION_STATEMENT AS body FROM "
        "information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
    )
    return {row["name"]: row["body"] for row in crm.execute(url, sql)}


async def test_triggers_of_an_account_that_is_gone_are_made_anew_by_the_upgrade(
    mariadb: MariaDB,
) -> None:
    """As in a dump that was restored elsewhere: MySQL refuses every write of the CRM until then."""
    url = mariadb.create_database()
    upgrade(url)
    name = str(make_url(url).database)
    with connected(url) as connection:
        [first] = [
            one for one in crm_triggers.triggers("mysql") if one.name == "omni_crm_message_insert"
        ]
        connection.exec_driver_sql(f"DROP TRIGGER {first.name}")
    mariadb.sql(
        first.create.replace("CREATE TRIGGER", "CREATE DEFINER='nobody'@'nowhere' TRIGGER"),
        database=name,
    )
    write(url, conversation(1))
    with pytest.raises(ConfigurationError, match="1449"):
        write(url, message(1))
    assert any("another account" in sentence for sentence in upgrade(url))
    write(url, message(1))
    assert not any("another account" in sentence for sentence in upgrade(url))


async def test_what_we_write_is_not_noted(database_url: str) -> None:
    """Neither a new conversation, nor its messages, nor what changes nothing that people see."""
    upgrade(database_url)
    async with open_desk(database_url) as desk:
        for change in (
            message_change(version=1),
            message_change(version=2, number=89),
            conversation_change(3, status="resolved"),
        ):
            told = [(SOURCES[1], change)]

            async def write(c: Any) -> None:
                # awaited at once
                streams, working_set = await load_working_set(c, told)  # noqa: B023
                working_set.apply(told[0][1], told[0][0], 10**15)  # noqa: B023
                await save_working_set(c, working_set, streams, 10**15)

            await desk.database.transaction(write)
        assert (
            await desk.one(f"SELECT COUNT(*) FROM omni_crm_changes WHERE subject <> {PROVED}") == 0
        )


async def test_without_the_privilege_rows_are_found_by_polling(mariadb: MariaDB) -> None:
    """The account may do everything but create triggers: new rows are found, changed ones where
    agents are, and it is said.
    """
    url = mariadb.create_database()
    name = str(make_url(url).database)
    plain = mariadb.plain_url(name).replace("//application:", "//untriggered:")
    mariadb.sql("CREATE USER IF NOT EXISTS 'untriggered'@'%' IDENTIFIED BY 'secret'")
    mariadb.sql(f"GRANT ALL ON `{name}`.* TO 'untriggered'@'%'")
    mariadb.sql(f"REVOKE TRIGGER ON `{name}`.* FROM 'untriggered'@'%'")
    assert any("no triggers" in sentence for sentence in upgrade(plain))
    async with open_desk(plain) as desk:
        write(plain, conversation(1))
        await desk.watch.check()
        assert "TRIGGER command denied" in desk.watch.notes()[0]
        assert desk.watch.tag_suffix()
        write(plain, message(1, "polled"), conversation(2))
        await desk.watch.check()
        await desk.follow()
        assert desk.events(1) == 2
        await desk.watch.check()
        write(plain, "UPDATE social_conversations SET status = 'Closed' WHERE id = 1")
        await desk.watch.check()
        await desk.follow()
        assert desk.events(1) == 3
        await desk.watch.check()
        await desk.follow()
        assert desk.events(1) == 3


async def test_who_may_not_create_triggers_takes_back_no_order_of_others(
    mariadb: MariaDB,
) -> None:
    """A comparison that was ordered for another reason is still to be made."""
    url = mariadb.create_database()
    name = str(make_url(url).database)
    plain = mariadb.plain_url(name).replace("//application:", "//untriggered:")
    mariadb.sql("CREATE USER IF NOT EXISTS 'untriggered'@'%' IDENTIFIED BY 'secret'")
    mariadb.sql(f"GRANT ALL ON `{name}`.* TO 'untriggered'@'%'")
    mariadb.sql(f"REVOKE TRIGGER ON `{name}`.* FROM 'untriggered'@'%'")
    upgrade(plain)
    async with open_desk(plain) as desk:
        write(plain, conversation(1))
        await desk.database.transaction(lambda c: c.execute(ORDER_COMPARISON))
        ordered = await desk.database.read(crm_comparisons.read_comparisons)
        await desk.watch.check()
        assert "TRIGGER command denied" in desk.watch.notes()[0]
        assert ordered[0]
        assert await desk.database.read(crm_comparisons.read_comparisons) == ordered
        await desk.database.transaction(lambda c: crm_notes.delete_changes(c, ordered[0]))
        desk.watch._retry_at = 0.0
        await desk.watch.check()
        assert await desk.database.read(crm_comparisons.read_comparisons) == ([], True)


async def test_a_transaction_that_stays_open_holds_up_no_other_conversation(
    mariadb: MariaDB,
) -> None:
    """Its rows come with its commit, though their numbers are lower than what was taken
    meanwhile.
    """
    url = mariadb.create_database()
    upgrade(url)
    async with open_desk(url) as desk:
        write(url, conversation(1), conversation(2))
        await desk.follow()
        known = desk.events(1)
        with crm_session(url) as late:
            with late.cursor() as cursor:
                cursor.execute(message(1, "late"))
            write(url, message(2, "early"))
            await desk.follow()
            assert desk.events(1) == known + 1
            with late.cursor() as cursor:
                # waits for nothing of ours
                cursor.execute("UPDATE social_conversations SET status = 'Closed' WHERE id = 1")
            late.commit()
        await asyncio.sleep(0)
        await desk.follow()
        assert desk.events(1) == known + 2
        assert (
            await desk.one(f"SELECT COUNT(*) FROM omni_crm_changes WHERE subject <> {PROVED}") == 0
        )


async def test_a_bulk_update_holds_up_no_other_company(database_url: str) -> None:
    """One company's rows are changed by the thousand: another's message is told within three turns,
    and all are told in the end.
    """
    count = 100_000 if os.environ.get("OMNI_TEST_FULL") else 2_000
    upgrade(database_url)
    async with open_desk(database_url) as desk:
        values = ", ".join(f"({n}, 1, 'facebook', 'N', 1)" for n in range(1, count + 1))
        write(
            database_url,
            "INSERT INTO social_conversations (id, company_id, platform, external_user_name, "
            f"omni_seq) VALUES {values}",
            conversation(count + 1, company=2),
            "UPDATE social_conversations SET status = 'Closed' WHERE company_id = 1",
            message(count + 1),
        )
        for _ in range(3):
            await desk.rows.turn()
        assert desk.events(2) == 2
        assert 0 < desk.events(1) < count
        await desk.follow(most=count)
        assert desk.events(1) == count
        assert max(len(batch.bodies) for batch in desk.batches) <= 200


async def test_a_missing_table_of_ours_never_stops_the_crm(mariadb: MariaDB) -> None:
    """What cannot be noted is written all the same."""
    url = mariadb.create_database()
    upgrade(url)
    write(
        url,
        conversation(1),
        "DROP TABLE omni_crm_changes",
        message(1),
        "UPDATE social_conversations SET status = 'Closed'",
    )
    write(url, "DELETE FROM social_messages")
    assert crm.execute(url, "SELECT status FROM social_conversations") == [{"status": "Closed"}]


async def test_messages_changed_in_bulk_hold_up_no_other_company(database_url: str) -> None:
    """Whose a message is has to be looked up: another company's newest is, in the next turn."""
    upgrade(database_url)
    async with open_desk(database_url) as desk:
        write(database_url, conversation(1), conversation(2, company=2))
        await desk.follow()
        known = desk.events(2)
        values = ", ".join("(1, 'agent', 'x', '2026-07-18 09:01:00')" for _ in range(6_000))
        columns = "conversation_id, sender_type, content, created_at"
        write(database_url, f"INSERT INTO social_messages ({columns}) VALUES {values}", message(2))
        await desk.rows.turn()
        assert desk.events(2) == known + 1
