"""Comparisons of all the CRM's rows: ordered when notes may be missing, made once, and told to
those whom they concern.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import make_url

from server.core.state.crm_changes import Inbound
from server.core.times import SECOND
from server.db.engine.database import Connection
from server.db.migrations import upgrade
from server.db.schema.crm_triggers import ORDER_COMPARISON
from server.db.state import crm_comparisons, crm_notes
from server.errors import DatabaseUnavailable
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.unit.incoming.crm_desk import Desk, message, open_desk, settled_desk, write


def _count_begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One 0 for each comparison that begins from now on."""
    begun: list[int] = []
    find_miscounted = crm_comparisons.find_miscounted

    async def counted(connection: Any, after_id: int, limit: int) -> Any:
        begun.extend([after_id] * (after_id == 0))
        return await find_miscounted(connection, after_id, limit)

    monkeypatch.setattr(crm_comparisons, "find_miscounted", counted)
    return begun


async def test_a_server_that_was_read_only_sends_nobody_back_to_a_snapshot(
    mariadb: MariaDB,
) -> None:
    """The CRM's own writes were refused as well: nothing differs, so no log begins anew."""
    name = str(make_url(mariadb.create_database()).database)
    mariadb.sql("CREATE OR REPLACE USER 'noting'@'%' IDENTIFIED BY 'secret'")
    mariadb.sql(f"GRANT ALL ON `{name}`.* TO 'noting'@'%'")
    url = mariadb.url(name).replace("//omni:", "//noting:")
    upgrade(url)
    async with settled_desk(url) as desk:
        before = (await desk.stream(1)).epoch
        mariadb.sql("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(DatabaseUnavailable):
                await desk.watch.turn()
        finally:
            mariadb.sql("SET GLOBAL read_only = 0")

        async def has_compared() -> bool:
            await desk.watch.turn()
            return desk.watch._read_only._counted > 0 and not desk.watch._was_read_only

        await eventually(has_compared, 40.0)
        for _ in range(2):
            await desk.watch.turn()
            await desk.follow()
        assert (await desk.stream(1)).epoch == before


async def test_two_processes_compare_once_after_the_server_was_read_only(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are read by one of them, also when the other looks after it has come to its end."""
    name = str(make_url(mariadb.create_database()).database)
    mariadb.sql("CREATE OR REPLACE USER 'noting'@'%' IDENTIFIED BY 'secret'")
    mariadb.sql(f"GRANT ALL ON `{name}`.* TO 'noting'@'%'")
    url = mariadb.url(name).replace("//omni:", "//noting:")
    upgrade(url)
    async with settled_desk(url) as one, open_desk(url) as other:
        await other.watch.turn()
        begun = _count_begun(monkeypatch)
        for _ in range(2):  # what was compared after the first time is no answer to the second
            begun.clear()
            mariadb.sql("SET GLOBAL read_only = 1")
            try:
                for desk in (one, other):
                    with pytest.raises(DatabaseUnavailable):
                        await desk.watch.turn()
            finally:
                mariadb.sql("SET GLOBAL read_only = 0")

            async def has_ordered(desk: Desk) -> bool:
                await desk.watch.turn()
                return not desk.watch._was_read_only

            for desk in (one, other):
                await eventually(lambda: has_ordered(desk), 40.0)  # noqa: B023
            assert begun == [0]


async def test_a_comparison_that_takes_long_orders_no_other(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes are tried while it runs: else each one would look like a time without any try."""
    url = mariadb.create_database()
    upgrade(url)
    async with settled_desk(url) as desk:
        before = (await desk.stream(1)).epoch
        monkeypatch.setattr("server.incoming.crm_watch._PAGE", 1)
        monkeypatch.setattr("server.incoming.crm_watch._PAUSE_SECONDS", 0.5)
        monkeypatch.setattr("server.incoming.crm_watch.CHECK_SECONDS", 0.1)
        monkeypatch.setattr("server.incoming.note_refusals._UNPROVED_SECONDS", 0.8)
        await desk.watch.prove()
        await desk.watch._compare(tells_all=False)
        for _ in range(2):
            await desk.watch.turn()
            await desk.follow()
        assert (await desk.stream(1)).epoch == before


async def test_a_message_that_is_stored_during_a_comparison_is_no_difference(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is compared is of one moment, and what a note says already is left to that note:
    nobody is sent to a snapshot.
    """
    upgrade(database_url)
    async with settled_desk(database_url) as desk, open_desk(database_url) as other:
        before, known = (await desk.stream(1)).epoch, desk.events(1)
        count = crm_notes.count_inbound

        async def store_and_count(
            connection: Connection, conversation_ids: Sequence[int]
        ) -> dict[int, Inbound]:
            monkeypatch.setattr(crm_notes, "count_inbound", count)
            write(database_url, message(1, "between two statements"))
            await other.follow()
            return await count(connection, conversation_ids)

        monkeypatch.setattr(crm_notes, "count_inbound", store_and_count)
        await desk.watch._compare(tells_all=False)
        write(database_url, message(1, "noted, and not yet followed"))
        await desk.watch._compare(tells_all=False)
        await desk.follow()
        assert (await desk.stream(1)).epoch == before
        assert (other.events(1), desk.events(1) - known) == (1, 1)


async def test_an_order_that_tells_all_is_not_taken_for_one_that_tells_what_differs(
    database_url: str,
) -> None:
    """A change that no count shows is known to nobody: a waiting quiet order is no answer to it."""
    upgrade(database_url)
    async with settled_desk(database_url) as desk:
        before, now_us = (await desk.stream(1)).epoch, desk.database.clock.now_us()
        await desk.database.transaction(
            lambda c: crm_comparisons.order_quiet_comparison(c, now_us + 1)
        )
        await desk.database.transaction(lambda c: c.execute(ORDER_COMPARISON))
        await desk.watch.turn()
        assert (await desk.stream(1)).epoch != before
        assert await desk.database.read(crm_comparisons.read_comparisons) == ([], True)


async def test_of_two_processes_one_compares_also_if_their_clocks_differ(
    database_url: str,
) -> None:
    """A claim is kept by a process that read the clock a moment later, and for as long as it is
    renewed; who is dead for a lease has lost it.
    """
    upgrade(database_url)
    lease_us, now_us = 600 * SECOND, 10_000 * SECOND
    async with open_desk(database_url) as desk:
        transaction = desk.database.transaction
        await transaction(lambda c: crm_comparisons.order_quiet_comparison(c, 1))
        [order], _ = await desk.database.read(crm_comparisons.read_comparisons)

        async def claims(at_us: int) -> bool:
            return await transaction(
                lambda c: crm_comparisons.claim_comparison(c, order, at_us, lease_us)
            )

        assert await claims(now_us)
        assert not await claims(now_us - 1_000)
        await transaction(lambda c: crm_comparisons.renew_claim(c, order, now_us + lease_us))
        assert not await claims(now_us + lease_us + SECOND)
        assert await claims(now_us + 2 * lease_us + SECOND)


async def test_a_comparison_longer_than_its_lease_is_made_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process renews the claim between pages."""
    upgrade(database_url)
    async with settled_desk(database_url) as one, open_desk(database_url) as other:
        begun = _count_begun(monkeypatch)
        monkeypatch.setattr("server.incoming.crm_watch._PAGE", 1)
        monkeypatch.setattr("server.incoming.crm_watch._PAUSE_SECONDS", 0.5)
        monkeypatch.setattr("server.incoming.crm_watch.CHECK_SECONDS", 0.1)
        await one.database.transaction(lambda c: c.execute(ORDER_COMPARISON))
        async with asyncio.TaskGroup() as group:
            group.create_task(one.watch._compare_ordered())
            await eventually(lambda: begun)
            # as long as a page and its pause at least, on a busy machine as well
            monkeypatch.setattr("server.incoming.crm_watch._LEASE_US", 30 * SECOND)
            [order], _ = await other.database.read(crm_comparisons.read_comparisons)
            claimed = await other.one(f"SELECT row_id FROM omni_crm_changes WHERE id = {order}")

            async def is_renewed() -> bool:
                found = await other.database.fetch_all(
                    f"SELECT row_id FROM omni_crm_changes WHERE id = {order}"
                )
                return bool(found) and found[0][0] > claimed

            await eventually(is_renewed)
            await other.watch._compare_ordered()
        assert begun == [0]


async def test_a_row_that_shows_no_machine_s_word_is_no_difference(database_url: str) -> None:
    """Nor is one that a version before showed by the rule of then: the newest message, whatever it
    was. A wrong one is found.
    """
    upgrade(database_url)
    async with settled_desk(database_url) as desk:
        write(database_url, message(1, "Is it there?"), message(2, "Hello"))
        await desk.follow()
        for n, details in ((1, '{"senderKind":"automatic"}'), (2, '{"senderKind":"bot"}')):
            await desk.database.transaction(_insert(n, details))

        async def differing(shown: str) -> list[int]:
            await desk.database.transaction(
                lambda c: c.execute(
                    "UPDATE social_conversations SET omni_preview = :shown WHERE id IN (1, 2)",
                    {"shown": shown},
                )
            )
            _, found = await desk.database.read(
                lambda c: crm_comparisons.find_miscounted(c, 0, 100)
            )
            return [one.id for one in found]

        question = '{"content":"Is it there?","senderType":"customer"'
        welcome = '{"content":"Welcome","senderType":"agent"'
        assert await differing(question + ',"rank":3}') == [2]
        assert await differing(welcome + ',"rank":3}') == [1]
        assert await differing(welcome + "}") == []
        assert await differing(question + "}") == [1, 2]


def _insert(conversation_id: int, details: str) -> Any:
    """A message as we store it: nothing is noted of it."""
    return lambda c: c.execute(
        "INSERT INTO social_messages (conversation_id, sender_type, content, created_at, "
        "omni_details, omni_seq) VALUES (:id, 'agent', 'Welcome', :at, :details, 1)",
        {"id": conversation_id, "at": "2026-07-18 09:01:05", "details": details},
    )
