"""What an upgrade of a large CRM database costs the CRM beside it: `make bench-upgrade`.

A private MariaDB with the tables as Prisma makes them, a million messages, and a CRM that writes
twenty rows a second while `omni-inbox db upgrade` runs. Printed: how long each step took, and how
long the slowest of the CRM's writes waited in it.
"""

import argparse
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from server.db.migrations import schema_problem, upgrade
from tests import crm
from tests.crm import prisma
from tests.kit.mariadb import PASSWORD, USER, MariaDB

_EVERY_SECONDS = 0.05
_FILL = [
    "INSERT INTO social_conversations (id, company_id, platform, external_user_id, "
    "external_user_name, "
    "last_message_at, updated_at) SELECT seq + 10, 1, 'chatwoot', CONCAT('chatwoot_', seq, '_', "
    "seq + 1000), "
    "CONCAT('Customer ', seq), NOW(3), NOW(3) FROM seq_1_to_{conversations}",
    "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
    "SELECT 11 + seq MOD {conversations}, IF(seq MOD 3, 'customer', 'agent'), CONCAT('message ', "
    "seq, ' ', REPEAT('x', seq MOD 120)), "
    "NOW(3) - INTERVAL seq SECOND FROM seq_1_to_{messages}",
]


class _Writer(threading.Thread):
    """The CRM: a message and its conversation's time, twenty times a second. `waits`: step ->
    seconds of each write.
    """

    def __init__(self, server: MariaDB, database: str) -> None:
        super().__init__(daemon=True)
        self.step = "before"
        self.waits: dict[str, list[float]] = defaultdict(list)
        self.failed = 0
        self.written = 0
        self._is_over = threading.Event()
        self._port = server.port
        self._database = database

    def run(self) -> None:
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=self._port,
                user=USER,
                password=PASSWORD,
                database=self._database,
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            due = time.monotonic()
            while not self._is_over.is_set():
                step, began = self.step, time.monotonic()
                try:
                    cursor.execute(
                        "INSERT INTO social_messages (conversation_id, sender_type, content) "
                        "VALUES (3, 'customer', 'while it runs')"
                    )
                    cursor.execute(
                        "UPDATE social_conversations SET last_message_at = NOW(3), updated_at = "
                        "NOW(3) WHERE id = 3"
                    )
                    self.written += 1
                except pymysql.err.MySQLError:
                    self.failed += 1
                self.waits[step].append(time.monotonic() - began)
                due = max(due + _EVERY_SECONDS, time.monotonic() - 1)
                self._is_over.wait(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self._is_over.set()
        self.join(60)


@contextmanager
def _filled(messages: int) -> Iterator[tuple[MariaDB, str]]:
    server = MariaDB(options={"innodb-buffer-pool-size": "512M"})
    server.start()
    try:
        url = server.create_database()
        prisma.load(url)
        for statement in _FILL:
            crm.execute(
                url, statement.format(conversations=max(1, messages // 10), messages=messages)
            )
        yield server, url
    finally:
        server.close()


def measure(messages: int) -> int:
    """Print the figures. Returns how many of the CRM's writes failed or were lost."""
    with _filled(messages) as (server, url):
        count = int(crm.execute(url, "SELECT COUNT(*) AS n FROM social_messages")[0]["n"])
        writer = _Writer(server, url.rpartition("/")[2])
        writer.start()
        time.sleep(3)
        steps: dict[str, float] = {}
        began = time.monotonic()

        def progress(what: str, _done: int, _total: int) -> None:
            if what != writer.step:
                steps[what] = time.monotonic()
                writer.step = what

        progress("looking, making our tables", 0, 0)
        upgrade(url, progress)
        ended = time.monotonic()
        writer.step = "after"
        time.sleep(3)
        writer.stop()
        print(
            f"{count:,} messages, {messages // 10:,} conversations: upgraded in "
            f"{ended - began:.0f} s\n"
        )
        print(
            "| step | seconds | slowest write of the CRM, ms | p50, ms |\n| --- | ---: | ---: | "
            "---: |"
        )
        times = [*steps.values(), ended]
        spans = {what: times[place + 1] - at for place, (what, at) in enumerate(steps.items())}
        for step, waits in writer.waits.items():
            ordered = sorted(waits)
            seconds = f"{spans[step]:.1f}" if step in spans else ""
            print(
                f"| {step} | {seconds} | {ordered[-1] * 1e3:,.0f} | "
                f"{ordered[len(ordered) // 2] * 1e3:,.1f} |"
            )
        kept = int(crm.execute(url, "SELECT COUNT(*) AS n FROM social_messages")[0]["n"]) - count
        print(
            f"\n{writer.written} rows written beside it, {kept} kept, {writer.failed} failed; "
            f"problem: {schema_problem(url)}"
        )
        return writer.failed + abs(kept - writer.written)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    raise SystemExit(1 if measure(parser.parse_args().messages) else 0)


if __name__ == "__main__":
    main()
