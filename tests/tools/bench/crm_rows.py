"""Rows that the CRM writes itself: what following them costs beside a million messages, and how
late their events are.
"""

import statistics
import time

import pymysql
from sqlalchemy import make_url

from tests.tools.bench import machine
from tests.tools.bench.results import Result
from tests.tools.bench.servers import Bench, Running

_CONVERSATIONS = 20_000
_COMPANY, _OTHER = 1, 2


def crm_rows(bench: Bench) -> Result:
    """Idle, a row at a time, and a bulk update."""
    result = Result(
        "crm_rows", "Rows that another program writes, beside a million messages, MariaDB"
    )
    messages, bulk = bench.pick(1_000_000, 100_000), bench.pick(100_000, 10_000)
    running = bench.prepared(companies=2)
    crm = _Crm(running)
    crm.fill(messages)
    with bench.started(running):
        time.sleep(3.0)
        result.add(
            "a look when nothing was written",
            crm.microseconds("SELECT DISTINCT company_id FROM omni_crm_changes"),
            "µs",
        )
        cpu, database, seconds = running.cpu_seconds(), machine.cpu_seconds(bench.mariadb.pid), 10.0
        time.sleep(seconds)
        result.add(
            "CPU of the idle server, all its services",
            (running.cpu_seconds() - cpu) / seconds * 1e3,
            "ms/s",
        )
        result.add(
            "CPU of MariaDB meanwhile",
            (machine.cpu_seconds(bench.mariadb.pid) - database) / seconds * 1e3,
            "ms/s",
        )
        late = sorted(crm.late(_COMPANY, n) for n in range(1, 101))
        result.add(
            "from a row's commit to its event, p50", statistics.median(late) * 1e3, "ms", most=1_000
        )
        result.add("the same, p99", late[-2] * 1e3, "ms", most=2_000)
        started = time.monotonic()
        crm.run("UPDATE social_conversations SET status = 'Closed' WHERE company_id = 1")
        written = time.monotonic() - started
        crm.run(
            "UPDATE social_messages SET content = CONCAT(content, '.') WHERE conversation_id <= %s",
            bulk // (messages // _CONVERSATIONS),
        )
        beside = max(crm.late(_OTHER, _CONVERSATIONS + 1) for _ in range(5))
        result.add("another company's row beside a bulk update", beside * 1e3, "ms", most=2_000)
        crm.wait_until_taken(600)
        result.add(
            f"{_CONVERSATIONS + bulk:,} changed rows to events", time.monotonic() - started, "s"
        )
        result.add("of that, the CRM's own statement for 20,000 conversations", written, "s")
    result.notes.append(
        f"{messages:,} messages in 20,000 conversations. The follower looks twice a second, and "
        "takes 200 rows at once."
    )
    return result


class _Crm:
    """The CRM's connection."""

    def __init__(self, running: Running) -> None:
        at = make_url(running.database_url)
        self._connection = pymysql.connect(
            host=at.host,
            port=at.port or 3306,
            user=at.username,
            password=at.password or "",
            database=at.database,
            autocommit=True,
        )

    def run(self, sql: str, *parameters: object) -> tuple[tuple[object, ...], ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return tuple(cursor.fetchall())

    def fill(self, messages: int) -> None:
        """As if all of it had its events."""
        self.run("SET @omni_inbox = 1")
        self.run(
            "INSERT INTO social_conversations (id, company_id, platform, external_user_name, "
            "last_message_at, omni_seq) "
            f"SELECT seq, IF(seq > {_CONVERSATIONS}, 2, 1), 'facebook', 'N', '2026-01-01', 1 "
            f"FROM seq_1_to_{_CONVERSATIONS + 1}"
        )
        self.run(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at, "
            "omni_seq) "
            f"SELECT 1 + seq % {_CONVERSATIONS}, 'customer', REPEAT('word ', 20), '2026-01-01', "
            f"1 FROM seq_1_to_{messages}"
        )
        # and as if somebody had just tried whether notes can be written: else all is compared
        self.run(
            "INSERT INTO omni_crm_changes (company_id, subject, act, row_id) "
            "VALUES (-2, 6, 'I', UNIX_TIMESTAMP() * 1000000)"
        )
        self.run("SET @omni_inbox = NULL")

    def microseconds(self, sql: str) -> float:
        started = time.monotonic()
        for _ in range(500):
            self.run(sql)
        return (time.monotonic() - started) / 500 * 1e6

    def late(self, company_id: int, conversation_id: int) -> float:
        """Seconds from the commit of a message to the commit of its event."""
        before = self._head(company_id)
        self.run(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
            "VALUES (%s, 'customer', 'x', UTC_TIMESTAMP(6))",
            conversation_id,
        )
        started = time.monotonic()
        while self._head(company_id) <= before:
            time.sleep(0.002)
        return time.monotonic() - started

    def _head(self, company_id: int) -> int:
        rows = self.run("SELECT head FROM omni_inbox_streams WHERE company_id = %s", company_id)
        return int(str(rows[0][0])) if rows else 0

    def wait_until_taken(self, limit: float) -> None:
        until = time.monotonic() + limit
        while self.run(
            "SELECT 1 FROM omni_crm_changes WHERE company_id IS NULL OR company_id >= 0 LIMIT 1"
        ):
            if time.monotonic() > until:
                raise TimeoutError("changes of the CRM's are still waiting")
            time.sleep(0.2)
