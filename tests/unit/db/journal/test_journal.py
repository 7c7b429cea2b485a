"""The journal takes a delivery once and as it came, or says why it does not."""

import re
from pathlib import Path

import pytest

from server.db.engine.database import Connection, Database
from server.db.journal import journal, journal_reads
from server.db.journal.journal import Delivery
from server.db.migrations import upgrade
from server.db.state import eventlog

_SERVER = Path(journal.__file__).parents[2]


async def test_a_delivery_that_comes_twice_is_kept_once(database_url: str) -> None:
    """With its first content, also beside others in one statement."""
    upgrade(database_url)
    first = Delivery(uid="a", received_us=1, body="first", headers={})
    again = [
        Delivery(uid="b", received_us=2, body="b", headers={}),
        Delivery(uid="a", received_us=3, body="second", headers={}),
    ]
    async with Database(database_url, wait_seconds=30) as database:
        await database.transaction(lambda c: journal.append_deliveries(c, [first]))
        await database.transaction(lambda c: journal.append_deliveries(c, again))
        kept = await database.read(lambda c: journal_reads.peek_deliveries(c, 10))
    assert [(d.uid, d.body) for d in kept] == [("a", "first"), ("b", "b")]


async def test_what_is_too_long_is_refused_aloud(mariadb_url: str) -> None:
    """MySQL would cut it under IGNORE, and leave a row that nobody can read."""
    upgrade(mariadb_url)
    long = Delivery(uid="a", received_us=1, body="{}", headers={"x": "x" * 70_000})
    async with Database(mariadb_url, wait_seconds=30) as database:
        with pytest.raises(Exception, match="Data too long"):
            await database.transaction(lambda c: journal.append_deliveries(c, [long]))
        assert await database.read(lambda c: journal_reads.peek_deliveries(c, 10)) == []


async def test_a_row_that_cannot_be_read_is_named_beside_the_others(database_url: str) -> None:
    """It fails alone: what is read with it in one statement is read."""
    upgrade(database_url)
    kept = [Delivery(uid=uid, received_us=1, body="{}", headers={}) for uid in ("a", "b", "c")]
    async with Database(database_url, wait_seconds=30) as database:
        await database.transaction(lambda c: journal.append_deliveries(c, kept))
        await database.transaction(
            lambda c: c.execute(
                "UPDATE omni_webhook_deliveries SET headers = 'no JSON' WHERE uid = 'b'"
            )
        )
        waiting = await database.read(lambda c: journal_reads.read_oldest(c, 24))
    assert [one.uid for one in waiting.deliveries] == ["a", "c"]
    assert ["cannot be read" in one.reason for one in waiting.unreadable] == [True]
    assert len(set(waiting.ids)) == 3


async def test_large_bodies_are_not_read_together(database_url: str) -> None:
    """The first read takes small ones up to a large one, or a large one alone; in order, and none
    is passed over.
    """
    upgrade(database_url)
    large = "x" * (journal_reads.SMALL_BYTES + 1)
    bodies = ["a", "b", large, large, "c"]
    kept = [
        Delivery(uid=str(place), received_us=1, body=body, headers={})
        for place, body in enumerate(bodies)
    ]
    async with Database(database_url, wait_seconds=30) as database:
        await database.transaction(lambda c: journal.append_deliveries(c, kept))
        read = []
        for _ in bodies:
            waiting = await database.read(lambda c: journal_reads.read_oldest(c, 24))
            read.append(([one.uid for one in waiting.deliveries], waiting.is_full))
            done = waiting.ids
            # awaited at once
            await database.transaction(lambda c: journal.mark_done(c, done, 1, 1))  # noqa: B023
    assert read == [(["0", "1"], True), (["2"], True), (["3"], True), (["4"], False), ([], False)]


async def test_a_company_s_deliveries_are_bounded_in_bytes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when they are looked through for one that fails; one that is larger than all may come
    alone.
    """
    upgrade(database_url)
    kept = [
        Delivery(uid=str(place), received_us=1, body="x" * 400, headers={}, company_id=3)
        for place in range(5)
    ]
    async with Database(database_url, wait_seconds=30) as database:
        await database.transaction(lambda c: journal.append_deliveries(c, kept))
        monkeypatch.setattr(journal_reads, "TURN_BYTES", 1_000)
        assert len(await database.read(lambda c: journal_reads.read_ids(c, 3, 300))) == 2
        monkeypatch.setattr(journal_reads, "TURN_BYTES", 10)
        assert len(await database.read(lambda c: journal_reads.read_ids(c, 3, 300))) == 1


async def test_a_company_gets_its_row_once(database_url: str) -> None:
    """Its first epoch stays."""
    upgrade(database_url)

    async def lock(connection: Connection, company_ids: list[int], epoch: str) -> dict[int, str]:
        streams = await eventlog.lock_streams(connection, company_ids, epoch)
        return {company_id: stream.epoch for company_id, stream in streams.items()}

    async with Database(database_url, wait_seconds=30) as database:
        await database.transaction(lambda c: lock(c, [1], "one"))
        assert await database.transaction(lambda c: lock(c, [1, 2], "two")) == {1: "one", 2: "two"}


def test_no_statement_passes_over_errors() -> None:
    """IGNORE hides what is too long, missing or of a wrong kind, on both databases."""
    pattern = re.compile(
        r"\b(INSERT|UPDATE|DELETE|LOAD|REPLACE)\b[^\"']{0,20}\bIGNORE\b|\bOR IGNORE\b"
    )
    found = [
        str(path)
        for path in _SERVER.rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.fixture
def mariadb_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("mariadb").create_database()
    return url
