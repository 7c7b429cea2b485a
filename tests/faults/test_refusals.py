"""The database answers, and says no: what is written waits or is refused in words, and all heals by
itself once the cause is gone.

Each refusal is provoked on a real server of this file's own. What a lone server never says (a
Galera node without its cluster, InnoDB in read-only mode, a full table) is said by a trigger, with
the very number.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import httpx
import pymysql
import pytest

from server.db import migrations
from tests.kit.company import Company
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import (
    PASSWORD,
    PLAIN_USER,
    MariaDB,
    has_mariadb,
    is_oracle_mysql,
)
from tests.kit.omni import Omni
from tests.kit.servers import QUICK
from tests.kit.socket_client import AgentSocket

pytestmark = pytest.mark.xdist_group("refusals")  # they share a server whose settings they change
_HEALED_SECONDS = 10.0  # promised
_MANY = 200
_TX_READ_ONLY = "transaction_read_only" if is_oracle_mysql() else "tx_read_only"
_numbers = itertools.count(1)


class Place:
    """A database server whose settings may be changed, and a server of ours that uses it as a plain
    user.
    """

    def __init__(self, mariadb: MariaDB, omni: Omni, name: str) -> None:
        self.mariadb = mariadb
        self.omni = omni
        self.name = name
        self.held: pymysql.Connection[pymysql.cursors.Cursor] | None = None

    def sql(self, text: str, *parameters: object) -> list[dict[str, object]]:
        return self.mariadb.sql(text, *parameters, database=self.name)

    def drop_connections(self) -> None:
        self.mariadb.drop_connections(PLAIN_USER)

    def grant(self, what: str = "ALL") -> None:
        self.sql(f"GRANT {what} ON `{self.name}`.* TO '{PLAIN_USER}'@'%'")

    def revoke(self) -> None:
        self.sql(f"REVOKE ALL ON `{self.name}`.* FROM '{PLAIN_USER}'@'%'")

    def signal(self, number: int, words: str) -> None:
        """From now on the database says this to whoever writes a message."""
        for event in ("INSERT", "UPDATE"):
            self.sql(
                f"CREATE TRIGGER says_{event} BEFORE {event} ON social_messages FOR EACH ROW "
                f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{words}'"
            )

    def unsignal(self) -> None:
        for event in ("INSERT", "UPDATE"):
            self.sql(f"DROP TRIGGER IF EXISTS says_{event}")


@dataclass(frozen=True)
class Case:
    """`words`: what `/readyz` must say, the server's own among it."""

    name: str
    break_it: Callable[[Place], None]
    mend_it: Callable[[Place], None]
    words: tuple[str, ...]
    # until `/readyz` is quiet again, which takes some seconds: once for each kind
    is_watched: bool = False


def _read_only(place: Place) -> None:
    place.sql("SET GLOBAL read_only = 1")


def _writable(place: Place) -> None:
    place.sql("SET GLOBAL read_only = 0")


def _read_only_transactions(place: Place) -> None:
    place.sql(f"SET GLOBAL {_TX_READ_ONLY} = 1")
    place.drop_connections()


def _writable_transactions(place: Place) -> None:
    place.sql(f"SET GLOBAL {_TX_READ_ONLY} = 0")


def _few_connections(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' WITH MAX_QUERIES_PER_HOUR 1")
    place.drop_connections()


def _any_connections(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' WITH MAX_QUERIES_PER_HOUR 0")


def _one_connection(place: Place) -> None:
    """Somebody else of the same user has taken the only one."""
    place.sql("SET GLOBAL max_user_connections = 1")
    while True:
        place.drop_connections()
        try:
            place.held = _connect(place)
        except pymysql.err.MySQLError:
            continue
        return


def _all_connections(place: Place) -> None:
    if place.held is not None:
        place.held.close()
    place.sql(f"SET GLOBAL max_user_connections = {_MANY}")


def _connect(place: Place) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(
        host="127.0.0.1",
        port=place.mariadb.port,
        user=PLAIN_USER,
        password=PASSWORD,
        database=place.name,
    )


def _new_password(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' IDENTIFIED BY 'another'")
    place.drop_connections()


def _old_password(place: Place) -> None:
    place.sql(f"ALTER USER '{PLAIN_USER}'@'%' IDENTIFIED BY '{PASSWORD}'")


def _no_rights(place: Place) -> None:
    place.revoke()
    place.drop_connections()


def _no_insert(place: Place) -> None:
    place.revoke()
    place.grant("SELECT, UPDATE, DELETE")
    place.drop_connections()


def _no_insert_of_messages(place: Place) -> None:
    """Everything else may still be written: the journal takes the webhooks, and nobody's message is
    to blame.
    """
    place.revoke()
    for row in place.sql(
        "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = %s", place.name
    ):
        rights = "SELECT, UPDATE" if row["t"] == "social_messages" else "ALL"
        place.sql(f"GRANT {rights} ON `{place.name}`.`{row['t']}` TO '{PLAIN_USER}'@'%'")
    place.drop_connections()


def _one_column(place: Place) -> None:
    place.revoke()
    for row in place.sql(
        "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = %s", place.name
    ):
        rights = "SELECT (id), INSERT, UPDATE" if row["t"] == "social_messages" else "ALL"
        place.sql(f"GRANT {rights} ON `{place.name}`.`{row['t']}` TO '{PLAIN_USER}'@'%'")
    place.drop_connections()


def _all_rights(place: Place) -> None:
    place.sql(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{PLAIN_USER}'@'%'")
    place.grant()


def _column_gone(place: Place) -> None:
    place.sql("ALTER TABLE social_messages RENAME COLUMN content TO was_content")


def _column_back(place: Place) -> None:
    place.sql("ALTER TABLE social_messages RENAME COLUMN was_content TO content")


def _table_gone(place: Place) -> None:
    place.sql("RENAME TABLE social_messages TO was_messages")


def _table_back(place: Place) -> None:
    place.sql("RENAME TABLE was_messages TO social_messages")


def _no_default(place: Place) -> None:
    place.sql("ALTER TABLE social_messages ADD COLUMN added_by_the_crm INT NOT NULL")


def _default_again(place: Place) -> None:
    place.sql("ALTER TABLE social_messages DROP COLUMN added_by_the_crm")


def _says(number: int, words: str, *, and_says: str = "") -> Case:
    return Case(
        f"{number}, said by a trigger",
        lambda place: place.signal(number, words),
        lambda place: place.unsignal(),
        (and_says or words, f"({number})"),
    )


CASES = [
    Case(
        "1290 read-only",
        _read_only,
        _writable,
        ("the database is read-only", "read-only option", "(1290)"),
        True,
    ),
    Case(
        "1792 read-only transactions",
        _read_only_transactions,
        _writable_transactions,
        ("read-only", "(1792)"),
    ),
    Case(
        "1226 a user's own limit",
        _few_connections,
        _any_connections,
        ("max_queries_per_hour", "(1226)"),
    ),
    Case(
        "1203 max_user_connections",
        _one_connection,
        _all_connections,
        ("max_user_connections", "(1203)"),
    ),
    Case("1045 another password", _new_password, _old_password, ("Access denied", "(1045)")),
    Case("1044 no rights at all", _no_rights, _all_rights, ("Access denied", "(1044)")),
    Case("1142 INSERT revoked", _no_insert, _all_rights, ("INSERT command denied", "(1142)"), True),
    Case(
        "1142 INSERT into one table",
        _no_insert_of_messages,
        _all_rights,
        ("INSERT command denied", "(1142)"),
    ),
    Case("1143 one column", _one_column, _all_rights, ("SELECT command denied", "(1143)")),
    Case(
        "1054 a column is gone",
        _column_gone,
        _column_back,
        ("column social_messages.content", "db upgrade"),
        True,
    ),
    Case("1146 a table is gone", _table_gone, _table_back, ("table social_messages", "db upgrade")),
    Case(
        "1364 a column without a default",
        _no_default,
        _default_again,
        ("added_by_the_crm", "default"),
    ),
    _says(1836, "Running in read-only mode"),
    _says(1047, "WSREP has not yet prepared node for application use"),
    _says(1114, "The table is full", and_says="no room"),
    _says(1021, "Disk full; waiting for someone to free some space", and_says="no room"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, shared_mariadb: MariaDB) -> Iterator[Place]:
    assert has_mariadb()
    # begun with 0, it cannot be changed
    mariadb = MariaDB(options={"max-user-connections": str(_MANY)})
    try:
        mariadb.start()
        name = mariadb.create_database().rsplit("/", 1)[1]
        migrations.upgrade(mariadb.url(name))
        omni = Omni(
            tmp_path_factory.mktemp("refusals"),
            database_url=mariadb.plain_url(name),
            env={**QUICK, "DATABASE_WAIT_SECONDS": "2"},
        )
        try:
            omni.start()
            yield Place(mariadb, omni, name)
        finally:
            omni.kill9()
    finally:
        mariadb.close()


@dataclass
class Probes:
    """Somebody who asks all the time, as agents do; what they were answered."""

    company: Company
    conversation_id: int
    answers: list[tuple[str, httpx.Response]]
    webhooks: int = 0

    async def run(self, stopped: asyncio.Event) -> None:
        path = f"/api/conversations/{self.conversation_id}"
        while not stopped.is_set():
            number = next(_numbers)
            for name, answer in (
                (
                    "list",
                    await self.company.http.get(
                        "/api/conversations", headers={"If-None-Match": f'"{number}"'}
                    ),
                ),
                ("thread", await self.company.http.get(f"{path}/messages")),
                (
                    "reply",
                    await self.company.http.post(
                        f"{path}/reply", json={"content": f"reply {number}"}
                    ),
                ),
            ):
                self.answers.append((name, answer))
            await self.company.post(self.company.message(10_000 + number))
            self.webhooks += 1
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def probing(probes: Probes) -> AsyncIterator[None]:
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(probes.run(stopped))
        try:
            yield
        finally:
            stopped.set()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_database_says_no(place: Place, case: Case) -> None:
    """503 with a time to come again and never 500; `/readyz` has the server's words; sockets stay;
    within 10 s all is done.
    """
    log_before = len(place.omni.log)
    async with Company(place.omni) as company:
        await company.post(company.message(1))
        conversation_id = (await company.conversation_with(1))["id"]
        probes = Probes(company, conversation_id, [])
        async with company.socket() as agent:
            async with probing(probes):
                await asyncio.to_thread(case.break_it, place)
                try:
                    await eventually(lambda: _is_said(place, case.words), limit=20)
                    await eventually(
                        lambda: any(
                            name == "reply" and one.status_code == 503
                            for name, one in probes.answers
                        )
                    )
                finally:
                    await asyncio.to_thread(case.mend_it, place)
                mended_at, known = time.monotonic(), len(probes.answers)
                await eventually(lambda: _is_accepted(probes, known))
                healed_seconds = time.monotonic() - mended_at
            await eventually(
                lambda: _is_all_there(company, agent, conversation_id, probes), limit=30
            )
            assert agent.is_open
            if case.is_watched:
                await eventually(lambda: _is_quiet(place), limit=20)
    blamed = await asyncio.to_thread(
        place.sql,
        "SELECT id, state, reason FROM omni_webhook_deliveries WHERE attempts > 0 OR state <> "
        "'done'",
    )
    assert not blamed, "what was received is not at fault"
    _check(probes, place.omni.log[log_before:])
    assert healed_seconds < scaled(_HEALED_SECONDS)


async def _is_said(place: Place, words: tuple[str, ...]) -> bool:
    problems = await _problems(place)
    assert any(all(word in problem for word in words) for problem in problems), problems
    return True


async def _is_quiet(place: Place) -> bool:
    """But for the integrations, whose Chatwoot there is none."""
    problems = [one for one in await _problems(place) if "Chatwoot cannot be asked" not in one]
    assert not problems, problems
    return True


async def _problems(place: Place) -> list[str]:
    async with place.omni.client() as http:
        found: list[str] = (await http.get("/readyz")).json()["problems"]
    return found


async def _is_accepted(probes: Probes, known: int) -> bool:
    statuses = [answer.status_code for name, answer in probes.answers[known:] if name == "reply"]
    assert statuses[-1:] == [201], statuses
    return True


async def _is_all_there(
    company: Company, agent: AgentSocket, conversation_id: int, probes: Probes
) -> bool:
    """Every webhook and every reply that was accepted, in the store and at the agent, once."""
    messages = await company.thread(conversation_id)
    while len(page := await _older(company, conversation_id, messages[0]["id"])):
        messages = page + messages
    # 200: its COMMIT was made and the answer to that was lost, so that it was met as known when it
    # was tried again
    accepted = sum(
        answer.status_code in (200, 201) for name, answer in probes.answers if name == "reply"
    )
    customers = [one for one in messages if one["senderType"] == "customer"]
    replies = [one for one in messages if one["senderType"] == "agent"]
    # a connection that was cut at its COMMIT: one such reply is there or not, and its 503 said so
    unknown = sum(
        answer.status_code == 503 and answer.json()["code"] == "outcome_unknown"
        for _, answer in probes.answers
    )
    assert len(customers) == 1 + probes.webhooks
    assert accepted <= len(replies) <= accepted + unknown
    shown = {event.data["message"]["id"] for event in agent.events if event.data.get("message")}
    assert len(shown) >= probes.webhooks + accepted, len(shown)
    return True


async def _older(company: Company, conversation_id: int, before: int) -> list[dict[str, object]]:
    path = f"/api/conversations/{conversation_id}/messages"
    found: list[dict[str, object]] = (await company.get(path, params={"before": str(before)}))[
        "messages"
    ]
    return found


def _check(probes: Probes, log: str) -> None:
    for name, answer in probes.answers:
        assert answer.status_code in (200, 201, 304, 503), (
            f"{name}: {answer.status_code} {answer.text}"
        )
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["message"]
            assert "127.0.0.1" not in answer.text, "the server's words are for operators"
            assert PLAIN_USER not in answer.text
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
