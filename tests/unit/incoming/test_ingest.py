"""Ingest goes on, whatever one company's deliveries or one row of the journal are like."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.core.times import wall_now_us
from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.engine.sql_connection import Connection
from server.db.journal import journal
from server.db.journal.journal import Delivery
from server.db.migrations import upgrade
from server.errors import DuplicateRow
from server.incoming import suspects
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester
from server.incoming.ingest_transaction import IngestTransaction
from server.integrations.directory import Directory
from server.tasks import spawn, stop
from tests.faults.figures import sized
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import MariaDB
from tests.unit.db.state.test_streams import held

_ACCOUNT = 3


class Site:
    """Companies 1 and 2, each with an inbox of its own, and an ingester."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self.database = database
        self.directory = directory
        self.count = 0
        self.ingester = Ingester(database, directory, lambda batch: None, batch=300, attempts=2)

    async def append(self, company_id: int, *texts: str, hint: int | None = None) -> None:
        """One delivery each, in conversation 1 of the company."""
        deliveries = []
        for text in texts:
            self.count += 1
            body = _body(company_id, text, self.count)
            turn = company_id if hint is None else hint
            deliveries.append(
                Delivery(
                    f"{self.count:032d}", wall_now_us(), body, {}, company_id, True, company_id=turn
                )
            )
        await self.database.transaction(
            lambda c: journal.append_deliveries(c, deliveries), wait_seconds=scaled(30)
        )
        self.ingester.wake()

    async def texts(self, company_id: int) -> list[str]:
        """In the order they were taken in."""
        rows = await self.database.fetch_all(
            "SELECT m.content FROM social_messages m JOIN social_conversations c ON c.id = "
            "m.conversation_id "
            "WHERE c.company_id = :company_id ORDER BY m.omni_seq",
            {"company_id": company_id},
        )
        return [row[0] for row in rows]

    async def states(self) -> dict[str, int]:
        rows = await self.database.fetch_all(
            "SELECT state, COUNT(*) FROM omni_webhook_deliveries GROUP BY state"
        )
        return {row[0]: int(row[1]) for row in rows}

    async def shows(self, company_id: int, *texts: str) -> bool:
        assert await self.texts(company_id) == list(texts)
        return True


def _body(company_id: int, text: str, number: int) -> str:
    now = time.time()
    sender = {"id": 7, "name": "A customer", "type": "contact"}
    body = {
        "event": "message_created",
        "id": number,
        "content": text,
        "message_type": "incoming",
        "created_at": int(now),
        "account": {"id": _ACCOUNT},
        "inbox": {"id": 10 + company_id},
        "sender": sender,
        "conversation": {
            "id": company_id,
            "status": "open",
            "updated_at": now,
            "inbox_id": 10 + company_id,
            "meta": {"sender": sender},
        },
    }
    return json.dumps(body)


@asynccontextmanager
async def _site(url: str, *, runs: bool = True) -> AsyncIterator[Site]:
    await asyncio.to_thread(upgrade, url)
    vault = Vault("")
    async with Database(url, pool=6, wait_seconds=scaled(5)) as database:
        for company_id in (1, 2):
            values: dict[str, Any] = {
                "company_id": company_id,
                "account_id": _ACCOUNT,
                "inbox_id": 10 + company_id,
                "base_url": "http://127.0.0.1:9",
            }
            values |= {"access_token": "token", "webhook_secret": None, "proved_us": 2}
            with contextlib.suppress(DuplicateRow):  # hypothesis comes here again and again
                await database.transaction(
                    # awaited at once
                    lambda c: integration_rows.add_integration(c, vault, values, 1)  # noqa: B023
                )
        directory = Directory(database, vault, tolerance_seconds=300, require_signature=False)
        await directory.refresh()
        site = Site(database, directory)
        task = spawn(site.ingester.run(), "ingest") if runs else None
        try:
            yield site
        finally:
            if task is not None:
                await stop(task)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "_INITIAL_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(suspects, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(suspects, "_INITIAL_BACKOFF_SECONDS", 0.05)


async def test_a_company_that_is_held_is_left_for_later(mariadb: MariaDB) -> None:
    """Another client holds company 1's row: company 2's messages come as usual, and company 1's
    afterwards, in order.
    """
    url = mariadb.create_database()
    async with _site(url) as site:
        await site.append(1, "a")
        await eventually(lambda: site.shows(1, "a"), limit=30)
        with held(mariadb, url, "SELECT * FROM omni_inbox_streams WHERE company_id = 1 FOR UPDATE"):
            for number in range(40):  # more than are taken whoever sent them
                await site.append(1, f"held-{number}")
            await site.append(2, "b")
            await eventually(lambda: site.shows(2, "b"), limit=30)
            assert await site.texts(1) == ["a"]
            await eventually(lambda: site.database.busy.locked(0.5), limit=30)
            assert set(site.database.busy.locked(0.5)) == {1}
            await site.append(2, "c")
            await eventually(lambda: site.shows(2, "b", "c"), limit=30)
            assert site.database.is_reachable
        await eventually(lambda: site.shows(1, "a", *(f"held-{n}" for n in range(40))), limit=30)


async def test_what_another_process_works_on_is_not_passed_by_what_came_after_it(
    mariadb: MariaDB,
) -> None:
    """It has claimed the first delivery and waits: the ones behind it stay where they are until it
    has gone.
    """
    url = mariadb.create_database()
    async with _site(url, runs=False) as site:
        await site.append(1, "first", "second")
        await site.append(2, "b")
        with held(mariadb, url, "SELECT * FROM omni_webhook_deliveries WHERE id = 1 FOR UPDATE"):
            task = spawn(site.ingester.run(), "ingest")
            await eventually(lambda: site.shows(2, "b"), limit=30)
            assert await site.texts(1) == []
        try:
            await eventually(lambda: site.shows(1, "first", "second"), limit=30)
        finally:
            await stop(task)


async def test_rows_held_below_the_stream_stop_their_company_alone(mariadb: MariaDB) -> None:
    """A console holds a conversation of company 1: nobody is blamed for that, and company 2 goes
    on.
    """
    url = mariadb.create_database()
    async with _site(url) as site:
        await site.append(1, "a")
        await site.append(2, "a")  # the console's locks reach to where its first row would be
        await eventually(lambda: site.shows(1, "a"), limit=30)
        await eventually(lambda: site.shows(2, "a"), limit=30)
        with held(
            mariadb, url, "SELECT * FROM social_conversations WHERE id = 1 OR id = 0 FOR UPDATE"
        ):
            await site.append(1, "held")
            for text in ("b", "c", "d"):
                await site.append(2, text)
            await eventually(lambda: site.shows(2, "a", "b", "c", "d"), limit=30)
        await eventually(lambda: site.shows(1, "a", "held"), limit=30)
        assert await site.states() == {"done": 6}


@pytest.mark.parametrize("hint", [None, 0])
async def test_companies_take_turns(database_url: str, hint: int | None) -> None:
    """A backlog of company 1 is not worked off before company 2 has its turn; its order is kept,
    also of what nobody had judged.
    """
    async with _site(database_url, runs=False) as site:
        texts = [f"{number}" for number in range(int(sized(3_000, 30_000)))]
        await site.append(1, *texts[:200], hint=hint)
        await site.append(1, *texts[200:])
        await site.append(2, "b")
        order: list[int] = []
        site.ingester._announcements._publish = lambda batch: order.append(batch.company_id)
        task = spawn(site.ingester.run(), "ingest")
        try:
            await eventually(lambda: site.shows(1, *texts), limit=sized(60, 600))
            await eventually(lambda: site.shows(2, "b"), limit=30)
        finally:
            await stop(task)
        if hint is None:
            assert order.index(2) <= 3 < len(order) - 1, "company 2 waited for all of company 1"


def _failing(
    error: Callable[[], Exception],
) -> Callable[[Any, Connection, Any, list[IncomingChange]], Any]:
    original = IngestTransaction._apply

    async def apply(
        self: Any, connection: Connection, locked: Any, told: list[IncomingChange]
    ) -> Any:
        if any(
            one.change.message is not None and one.change.message.content == "poison"
            for one in told
        ):
            raise error()
        return await original(self, connection, locked, told)

    return apply


@pytest.mark.parametrize(
    "error",
    [ValueError, MemoryError, ConnectionResetError, TimeoutError],
    ids=lambda kind: kind.__name__,
)
@pytest.mark.usefixtures("_quick")
async def test_a_batch_that_fails_is_halved_until_the_culprit_is_alone(
    database_url: str, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Whatever the failure is, while the database takes writes: it is tried again, then parked with
    its reason; the others go on.
    """
    monkeypatch.setattr(IngestTransaction, "_apply", _failing(lambda: error("broken")))
    async with _site(database_url) as site:
        await site.append(1, "one", "two", "poison", "three")
        await site.append(2, "b")
        await eventually(lambda: site.shows(2, "b"), limit=30)
        await eventually(lambda: site.shows(1, "one", "two", "three"), limit=30)

        async def is_parked() -> bool:
            assert await site.states() == {"done": 4, "dead": 1}
            return True

        await eventually(is_parked, limit=30)
        [row] = await site.database.fetch_all(
            "SELECT reason FROM omni_webhook_deliveries WHERE state = 'dead'"
        )
        assert row[0]
        await site.append(1, "four")
        await eventually(lambda: site.shows(1, "one", "two", "three", "four"), limit=30)


@pytest.mark.usefixtures("_quick")
async def test_a_database_that_is_away_blames_nobody(mariadb: MariaDB) -> None:
    """Killed under a batch, again and again: nothing is parked, and all of it is taken in."""
    async with _site(mariadb.create_database()) as site:
        texts = [f"{number}" for number in range(90)]
        for start in range(0, 90, 30):
            await site.append(1, *texts[start : start + 30])
            await asyncio.to_thread(mariadb.kill)
            await asyncio.to_thread(mariadb.start)
        await eventually(lambda: site.shows(1, *texts), limit=60)
        assert await site.states() == {"done": 90}


_ANY = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(["{", '{"a":', '{"a": 1}', "[]", ""]),
)
_COLUMNS = (
    "received_at",
    "integration_id",
    "is_verified",
    "headers",
    "body",
    "attempts",
    "next_attempt_at",
    "company_id",
    "uid",
)


@given(broken=st.lists(st.tuples(st.sampled_from(_COLUMNS), _ANY), min_size=1, max_size=6))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    [
        ("headers", '{"a":'),
        ("received_at", -1),
        ("received_at", 2**63 - 1),
        ("next_attempt_at", 2**62),
        ("attempts", -5),
    ]
)
@example(
    [
        ("body", b"\xff\xfe"),
        ("headers", b"\xff"),
        ("company_id", "x"),
        ("received_at", "soon"),
        ("next_attempt_at", "x"),
    ]
)
@pytest.mark.usefixtures("_quick")
def test_rows_that_cannot_be_read_hold_nobody_up(
    database_url: str, broken: list[tuple[str, Any]]
) -> None:
    """Broken in any column, by whatever hand: those before and behind them are taken in, and none
    waits for ever.
    """

    async def run() -> None:
        async with _site(database_url) as site:
            await site.database.transaction(
                lambda c: c.execute("DELETE FROM omni_webhook_deliveries")
            )
            await site.database.transaction(lambda c: c.execute("DELETE FROM social_messages"))
            await site.append(1, "before")
            for number, (column, value) in enumerate(broken):
                await _insert_broken(site, number, column, value)
            await site.append(1, "behind")

            async def all_ended() -> bool:
                assert {"before", "behind"} <= set(await site.texts(1))
                rows = await site.database.fetch_all(
                    "SELECT id FROM omni_webhook_deliveries WHERE state = 'received'"
                )
                assert not rows
                return True

            await eventually(all_ended, limit=60)

    asyncio.run(run())


async def _insert_broken(site: Site, number: int, column: str, value: Any) -> None:
    row: dict[str, Any] = {
        "uid": f"broken-{number}",
        "received_at": wall_now_us(),
        "body": _body(1, f"broken {number}", 10_000 + number),
    }
    row |= {column: value}
    names = ", ".join(row)
    try:
        await site.database.transaction(
            lambda c: c.execute(
                f"INSERT INTO omni_webhook_deliveries ({names}) VALUES "
                f"({', '.join(':' + n for n in row)})",
                row,
            )
        )
    except DuplicateRow:
        pass  # two rows of one uid: the journal's own key
    except Exception:
        if site.database.dialect == "sqlite":
            raise  # it takes anything; MySQL refuses what it can
