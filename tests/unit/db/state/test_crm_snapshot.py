"""A snapshot and the events after it are the next snapshot, also where another program writes the
rows, in both dialects.

What it writes is taken in at any later moment, between deliveries, replies and acts of agents.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from server.core.state.crm_changes import PROVED
from server.db.engine.database import Database
from server.db.engine.driver_adapters import IntList
from server.db.migrations import upgrade
from server.db.state import eventlog
from server.incoming.crm_rows import CrmRows
from tests.kit.mariadb import MariaDB
from tests.unit.databases import fresh_sqlite
from tests.unit.db.state.office import COMPANIES, Act, Office
from tests.unit.db.state.test_snapshot import acts, companies, small

_TABLES = (
    "social_messages",
    "social_conversations",
    "omni_inbox_events",
    "omni_inbox_streams",
    "omni_crm_changes",
    "omni_conversation_reads",
)


class CrmOffice(Office):
    """An office with the other program and the follower; a client whose log begins anew takes a
    snapshot.
    """

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database)
        self.url = url
        self.follower = CrmRows(database, self.hear, reset_seconds=0.0)
        self._epochs: dict[int, str] = {}

    def crm(self, *statements: str) -> None:
        """One transaction of the other program. What its database refuses is not written, as
        everywhere.
        """
        if self.url.startswith("sqlite"):
            with (
                closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection,
                connection,
            ):
                for statement in statements:
                    connection.execute(statement)
            return
        at = make_url(self.url)
        mysql = pymysql.connect(
            host=at.host,
            port=at.port or 3306,
            user=at.username,
            password=at.password or "",
            database=at.database,
        )
        with closing(mysql), mysql.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            mysql.commit()

    async def follow(self) -> None:
        """Take in all that was written."""
        # as watching a company does
        await self.database.transaction(lambda c: eventlog.lock_streams(c, COMPANIES, "e1"))
        await self._notice_resets()
        for _ in range(100):
            has_more = await self.follower.turn()
            await self._notice_resets()
            waiting = await self.database.fetch_all(
                f"SELECT * FROM omni_crm_changes WHERE subject <> {PROVED} LIMIT 5"
            )
            if not has_more and not waiting:
                return
        raise AssertionError(f"never taken: {waiting}")

    async def _notice_resets(self) -> None:
        streams = await self.database.read(lambda c: eventlog.read_streams(c, COMPANIES))
        for company_id, stream in streams.items():
            if stream.epoch != self._epochs.setdefault(company_id, stream.epoch):
                self._epochs[company_id] = stream.epoch
                self.clients[company_id] = await self.snapshot(company_id)
                self.seqs[company_id] = stream.head


_conversation = (
    "SELECT id FROM (SELECT id FROM social_conversations ORDER BY id LIMIT 1 OFFSET {n}) AS one"
)
_message = "SELECT id FROM (SELECT id FROM social_messages ORDER BY id LIMIT 1 OFFSET {n}) AS one"
moments = st.sampled_from(
    ["'2026-07-18 09:01:07.5'", "'2026-07-18 09:01:07'", "'2026-07-18 09:10:00.000000'", "NULL"]
)
words = st.sampled_from(["'Hello'", "'hello'", "''", "NULL", "'ক্ষ্ম 🙏'"])
senders = st.sampled_from(["customer", "agent"])


def _write(*statements: str) -> Act:
    async def act(office: Office) -> None:
        assert isinstance(office, CrmOffice)
        await asyncio.to_thread(office.crm, *statements)

    return act


async def _follow(office: Office) -> None:
    assert isinstance(office, CrmOffice)
    await office.follow()


def _add_conversation(company_id: int, platform: str, moment: str) -> Act:
    return _write(
        "INSERT INTO social_conversations (company_id, platform, external_user_name, "
        "last_message_at, created_at) "
        f"VALUES ({company_id}, '{platform}', 'New', {moment}, {moment})"
    )


def _add_message(n: int, sender: str, content: str, moment: str, moves: str) -> Act:
    add = (
        "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
        f"SELECT id, '{sender}', {content}, {moment} FROM social_conversations WHERE id = "
        f"({_conversation.format(n=n)})"
    )
    move = (
        f"UPDATE social_conversations SET last_message_at = {moment} WHERE id = "
        f"({_conversation.format(n=n)})"
    )
    return _write(add, move) if moves == "moves" else _write(add)


def _change_message(n: int, what: str) -> Act:
    return _write(f"UPDATE social_messages SET {what} WHERE id = ({_message.format(n=n)})")


def _delete_message(n: int) -> Act:
    return _write(f"DELETE FROM social_messages WHERE id = ({_message.format(n=n)})")


def _change_conversation(n: int, what: str) -> Act:
    return _write(
        f"UPDATE social_conversations SET {what} WHERE id = ({_conversation.format(n=n)})"
    )


def _delete_conversation(n: int) -> Act:
    chosen = f"({_conversation.format(n=n)})"
    return _write(
        f"DELETE FROM social_messages WHERE conversation_id = {chosen}",
        f"DELETE FROM social_conversations WHERE id = {chosen}",
    )


texts = st.sampled_from(
    [
        "content = 'hello'",
        "content = 'HELLO'",
        "content = NULL",
        "sender_type = 'agent'",
        "created_at = NULL",
    ]
)
fields = st.sampled_from(
    [
        "status = 'Closed'",
        "status = 'Open'",
        "external_user_name = 'léa'",
        "company_id = 2",
        "last_message_at = NULL",
    ]
)
crm_acts = st.one_of(
    st.builds(_add_conversation, companies, st.sampled_from(["facebook", "chatwoot"]), moments),
    st.builds(_add_message, small, senders, words, moments, st.sampled_from(["moves", "stays"])),
    st.builds(_add_message, small, senders, words, moments, st.sampled_from(["moves", "stays"])),
    st.builds(_change_message, small, texts),
    st.builds(_change_conversation, small, fields),
    st.builds(_delete_message, small),
    st.builds(_delete_conversation, small),
    st.just(_follow),
)
days = st.lists(st.one_of(acts, crm_acts, crm_acts), min_size=1, max_size=16)


@asynccontextmanager
async def _office(url: str) -> AsyncIterator[CrmOffice]:
    async with Database(url) as database:
        yield CrmOffice(database, url)


async def _play(office: CrmOffice, day: list[Act]) -> None:
    for act in day:
        await act(office)
    await office.follow()
    await office.check()
    counts = (
        "SELECT COUNT(*) FROM social_conversations c WHERE c.omni_inbound_count <> (SELECT "
        "COUNT(*) FROM social_messages m "
    )
    counts += (
        "WHERE m.conversation_id = c.id AND m.sender_type = 'customer' AND m.omni_is_private = "
        "0) AND c.id IN (:touched)"
    )
    touched = [
        row[0]
        for row in await office.database.fetch_all(
            "SELECT id FROM social_conversations WHERE platform = 'facebook'"
        )
    ]
    assert (await office.database.fetch_all(counts, {"touched": IntList(touched)}))[0][0] == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(days)
def test_what_the_crm_writes_is_followed_on_sqlite(day: list[Act]) -> None:
    """Inserted, changed, moved and deleted by hand; taken in now or later."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with _office(fresh_sqlite(Path(directory) / "office.db")) as office:
                await _play(office, day)

    asyncio.run(run())


@pytest.fixture(scope="module")
def mariadb_url(shared_mariadb: MariaDB) -> str:
    shared_mariadb.ensure_running()
    url = shared_mariadb.create_database()
    upgrade(url)
    return url


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(day=days)
def test_what_the_crm_writes_is_followed_on_mariadb(mariadb_url: str, day: list[Act]) -> None:
    """The same, where our connections say who they are."""

    async def run() -> None:
        async with _office(mariadb_url) as office:
            office.crm(*(f"DELETE FROM {table}" for table in _TABLES))
            office.crm("DELETE FROM omni_crm_changes")
            await _play(office, day)

    asyncio.run(run())
