"""Whatever words a CRM has in its columns: a conversation is found, counted and told of as what it
is shown as, and what we write there is a word of the CRM's.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection
from server.db.migrations import schema_problem, upgrade
from server.db.schema.crm_words import status_words
from server.db.state import lists, threads
from server.db.state.conversation_edits import edit_conversation
from server.db.state.lists import Filters
from server.db.state.working_set_loads import load_working_set
from server.db.state.working_set_saves import save_working_set
from tests.kit.mariadb import MariaDB, is_oracle_mysql
from tests.unit.databases import fresh_sqlite
from tests.unit.db.state.office import SOURCES
from tests.unit.incoming.crm_desk import Desk, crm_session, open_desk
from tests.unit.states import conversation_change

_WORDS = [
    *("Open", "OPEN", "open ", "Closed", "CLOSED", "closed", " closed", "Closed  ", "ClosEd"),
    *("Resolved", "RESOLVED", "resolved ", "Pending", "PENDING", "Öpen", "Clösed", "ＣＬＯＳＥＤ"),
    *("ring :at 5 o'clock", "100%", "A", "z", "Closed?", "Close", "🙂", "Clo\u00adsed", "closed\t"),
    *("", "OpenX", "Opem"),
]
_CLOSED = {"Closed", "CLOSED", "closed", " closed", "Closed  ", "ClosEd"}
_CLOSED |= {"Resolved", "RESOLVED", "resolved "}
_LISTS: dict[str, tuple[str, list[str | None]]] = {
    "as ours": ("ENUM('Open','Closed') NOT NULL DEFAULT 'Open'", ["Open", "Closed", ""]),
    "may be nothing": ("ENUM('Open','Closed') NULL DEFAULT NULL", ["Open", "Closed", None, ""]),
    "capitals and more": (
        "ENUM('OPEN','ring :at 5 o''clock','RESOLVED','Pending','CLOSED') NOT NULL DEFAULT 'OPEN'",
        ["OPEN", "ring :at 5 o'clock", "RESOLVED", "Pending", "CLOSED", ""],
    ),
    "no word of ours": ("ENUM('open','resolved') NOT NULL", ["open", "resolved"]),
}
_TABLES = (
    *("social_messages", "social_conversations", "omni_inbox_events", "omni_inbox_streams"),
    *("omni_crm_changes", "omni_conversation_reads"),
)
_TEXTS = {
    "text": "VARCHAR(40) NULL DEFAULT 'OPEN'",
    "text by bytes": "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL DEFAULT 'open'",
    "text without padding": (
        "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_nopad_ci NOT NULL DEFAULT 'Open'"
    ),
}


def _insert(url: str, column: str, words: list[str | None]) -> None:
    """A conversation of company 1 for each word, in which the customer wrote once."""
    rows = list(enumerate(words, 1))
    conversation = (
        f"INSERT INTO social_conversations (id, company_id, platform, {column}, "
        "last_message_at) VALUES ({0}, 1, 'facebook', {0}, '2026-07-18 09:01:00.000000')"
    )
    message = (
        "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
        "VALUES ({0}, 'customer', 'x', '2026-07-18 09:01:00.000000')"
    )
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            for number, word in rows:
                connection.execute(conversation.format("?"), (number, word))
                connection.execute(message.format("?"), (number,))
            connection.commit()
        return
    with crm_session(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = ''")  # it takes what a list has not, as ''
        for number, word in rows:
            cursor.execute(conversation.format("%s"), (number, word))
            cursor.execute(message.format("%s"), (number,))
        connection.commit()


async def _agree(desk: Desk) -> dict[int, str]:
    """What each is shown as, which is what every other place says too."""
    await desk.follow()

    async def read(c: Connection) -> tuple[Any, ...]:
        shown = await lists.list_conversations(c, 1, 7, Filters(), 1000)
        ids = [row.id for row, _ in shown]
        found = {
            status: (
                [r.id for r, _ in await lists.list_conversations(c, 1, 7, Filters(status), 1000)],
                await lists.list_ids(c, 1, Filters(status)),
                [r.id for r, _ in await lists.read_listed(c, 1, 7, ids, Filters(status))],
                [
                    r.id
                    for r, _ in await lists.list_conversations(c, 1, 7, Filters(status, q="x"), 99)
                ],
            )
            for status in ("Open", "Closed")
        }
        return {row.id: row.status for row, _ in shown}, found, await lists.count_unread(c, 1, 7)

    shown: dict[int, str]
    shown, found, counts = await desk.database.read(read)
    for status, places in found.items():
        wanted = sorted((one for one, word in shown.items() if word == status), reverse=True)
        assert list(places) == [wanted] * 4, status
    assert counts == Counter(shown.values())
    told = {
        event["data"]["conversation"]["id"]: event["data"]["conversation"]["status"]
        for batch in desk.batches
        for event in map(json.loads, batch.bodies)
    }
    assert told == shown
    return shown


_COLUMNS = {
    "status": ("social_conversations", "ENUM('Open','Closed') NOT NULL DEFAULT 'Open'"),
    "platform": ("social_conversations", "ENUM('facebook','chatwoot') NOT NULL"),
    "sender_type": ("social_messages", "ENUM('customer','agent') NOT NULL"),
}


@pytest.fixture(scope="module")
def upgraded(shared_mariadb: MariaDB) -> str:
    """One database for all of them, as an upgrade takes longer than any."""
    url = shared_mariadb.create_database()
    upgrade(url)
    return url


def _defined(url: str, **definitions: str) -> str:
    """Empty again, with columns of a CRM."""
    with crm_session(url) as session, session.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"DELETE FROM {table}")
        session.commit()
        for name, (table, definition) in _COLUMNS.items():
            cursor.execute(f"ALTER TABLE {table} MODIFY {name} {definitions.get(name, definition)}")
    return url


@pytest.mark.parametrize("kind", _LISTS)
async def test_a_list_of_words_says_the_same_everywhere(upgraded: str, kind: str) -> None:
    definition, words = _LISTS[kind]
    url = _defined(upgraded, status=definition)
    _insert(url, "status", words)
    async with open_desk(url) as desk:
        shown = await _agree(desk)
    assert [shown[n] for n in range(1, len(words) + 1)] == [
        "Closed" if (word or "").lower() in ("closed", "resolved") else "Open" for word in words
    ]


@pytest.mark.parametrize("kind", ["sqlite", *_TEXTS])
async def test_any_text_says_the_same_everywhere(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url, words = _with_texts(request, tmp_path, "status", kind)
    _insert(url, "status", words)
    async with open_desk(url) as desk:
        shown = await _agree(desk)
    for number, word in enumerate(words, 1):
        if word in _CLOSED:
            assert shown[number] == "Closed", word
        elif (word or "").isascii() and (word or "").isprintable():
            assert shown[number] == "Open", word


def _with_texts(
    request: pytest.FixtureRequest, tmp_path: Path, column: str, kind: str
) -> tuple[str, list[str | None]]:
    """An upgraded database whose column is a text, and words for it."""
    if kind == "sqlite":
        return fresh_sqlite(tmp_path / "crm.db"), list(_WORDS)
    definition = _TEXTS[kind]
    if is_oracle_mysql():
        definition = definition.replace("unicode_nopad_ci", "0900_ai_ci")
    url = _defined(request.getfixturevalue("upgraded"), **{column: definition})
    return url, [*_WORDS, *([] if "NOT NULL" in definition else [None])]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sqlite", "Open Closed"),
        ("text", "OPEN CLOSED"),
        ("text by bytes", "open closed"),
        ("text without padding", "Open Closed"),
    ],
)
async def test_what_is_written_is_a_word_of_the_crm(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, words: str
) -> None:
    """In the letters of its default; and a word that says it already stays."""
    url, _ = _with_texts(request, tmp_path, "status", kind)
    stored = ["Pending", "RESOLVED", " closed", "OPEN"]
    _insert(url, "status", list(stored))
    is_open, is_closed = words.split()
    async with open_desk(url) as desk:
        assert await _set_all(desk, len(stored), "Closed") == [
            *(is_closed, "RESOLVED", " closed", is_closed),
        ]
        assert await _set_all(desk, len(stored), "Open") == [is_open] * 4
        assert set((await _agree(desk)).values()) == {"Open"}
        assert await _set_all(desk, len(stored), "Closed") == [is_closed] * 4


async def test_a_list_without_our_word_gets_the_crms(upgraded: str) -> None:
    """Its client would refuse a word that its own list lacks; so the upgrade adds none."""
    url = _defined(upgraded, status="ENUM('open','resolved') NOT NULL")
    assert schema_problem(url) is None
    assert upgrade(url) == []
    _insert(url, "status", ["open", "resolved"])
    async with open_desk(url) as desk:
        assert await _set_all(desk, 2, "Closed") == ["resolved", "resolved"]
        assert await _set_all(desk, 2, "Open") == ["open", "open"]
        told = [(SOURCES[1], conversation_change(3, status="resolved"))]

        async def write(c: Connection) -> None:
            streams, working_set = await load_working_set(c, told)
            working_set.apply(told[0][1], told[0][0], 10**15)
            await save_working_set(c, working_set, streams, 10**15)

        await desk.database.transaction(write)
        rows = await desk.database.fetch_all(
            "SELECT status FROM social_conversations WHERE platform = 'chatwoot'"
        )
        assert list(rows) == [("resolved",)]


async def _set_all(desk: Desk, count: int, status: str) -> list[str]:
    """An agent opens or closes all of them; what is stored then."""

    async def change(working_set: WorkingSet, entry: TrackedConversation) -> TrackedConversation:
        row = replace(entry.row, status=status)
        working_set.set_conversation(entry, row, 10**15, 10**15)
        return entry

    for number in range(1, count + 1):

        async def write(c: Connection) -> list[EventBatch]:
            return (await edit_conversation(c, 1, number, change, 10**15))[1]  # noqa: B023

        desk.batches += await desk.database.transaction(write)
    rows = await desk.database.fetch_all("SELECT status FROM social_conversations ORDER BY id")
    return [str(row[0]) for row in rows]


@pytest.mark.parametrize("kind", ["sqlite", *_TEXTS])
async def test_who_wrote_it_is_the_same_everywhere(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """In thread, preview, count of the customer's messages and events."""
    url, _ = _with_texts(request, tmp_path, "sender_type", kind)
    words: list[str | None] = [
        *("customer", "CUSTOMER", "Customer ", " customer", "AGENT", "agent ", "bot", "cüstomer")
    ]
    words += [""] if kind in ("sqlite", "text without padding") else [None]
    _insert(url, "status", ["Open"] * len(words))
    _change(url, "social_messages", "sender_type", "conversation_id", words)
    async with open_desk(url) as desk:
        await desk.follow()

        async def read(c: Connection) -> list[tuple[str, str, int, int]]:
            found = []
            for number in range(1, len(words) + 1):
                [message] = await threads.read_messages(c, 1, number, limit=9)
                [(row, _)] = await lists.read_listed(c, 1, 7, [number], Filters())
                assert row.preview is not None
                of_customer = await threads.read_of_customers(c, [number])
                assert len(of_customer) == row.inbound_count
                counted = await threads.count_inbound(c, message)
                found.append(
                    (message.sender_type, row.preview.sender_type, row.inbound_count, counted)
                )
            return found

        shown = await desk.database.read(read)
        told = {
            event["data"]["message"]["conversationId"]: event["data"]["message"]["senderType"]
            for batch in desk.batches
            for event in map(json.loads, batch.bodies)
            if "message" in event["data"]
        }
    for number, (word, one) in enumerate(zip(words, shown, strict=True), 1):
        is_customer = one[0] == "customer"
        who = "customer" if is_customer else "agent"
        assert one == (who, who, is_customer, is_customer), word
        assert told[number] == who
        if word != "cüstomer":
            assert is_customer == ((word or "").strip().lower() == "customer"), word


def _change(url: str, table: str, column: str, key: str, words: Sequence[str | None]) -> None:
    """As the CRM, in the row of each number."""
    sql = f"UPDATE {table} SET {column} = {{0}} WHERE {key} = {{0}}"
    rows = [(word, number) for number, word in enumerate(words, 1)]
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executemany(sql.format("?"), rows)
            connection.commit()
        return
    with crm_session(url) as session, session.cursor() as cursor:
        cursor.executemany(sql.format("%s"), rows)
        session.commit()


@pytest.mark.parametrize("kind", ["sqlite", *_TEXTS])
async def test_a_platform_is_found_as_it_is_shown(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url, _ = _with_texts(request, tmp_path, "platform", kind)
    words = ["facebook", "FACEBOOK", " Facebook ", "whatsapp", "", "chatwoot", "Chatwoot"]
    _insert(url, "status", ["Open"] * len(words))
    _change(url, "social_conversations", "platform", "id", words)
    async with open_desk(url) as desk:

        async def read(c: Connection) -> None:
            shown = {
                row.id: row.platform
                for row, _ in await lists.list_conversations(c, 1, 7, Filters(), 99)
            }
            for platform in ("facebook", "chatwoot"):
                found = await lists.list_ids(c, 1, Filters(platform=platform))
                assert set(found) == {one for one, word in shown.items() if word == platform}
            assert shown[3] == "facebook"

        await desk.database.read(read)


def test_a_text_without_a_default_is_written_as_ours_is() -> None:
    """MariaDB's catalogue says NULL there, in capitals; that is no word of the CRM's."""
    words = status_words("varchar(40)", "NULL", is_nullable=True)
    assert (words.open, words.closed) == ("Open", "Closed")
