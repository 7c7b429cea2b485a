"""A database that Prisma made is upgraded with every value as it was, or refused with a sentence
and nothing changed.
"""

import asyncio
from contextlib import closing
from typing import Any

import pymysql
import pytest

from server.db.migrations import plan, schema_problem, upgrade
from server.errors import ConfigurationError
from tests import crm
from tests.crm import prisma
from tests.crm.killed import Interrupted, killed_after_writes
from tests.crm.prisma import TAKEN
from tests.kit.eventually import eventually
from tests.kit.mariadb import PASSWORD, USER, MariaDB

REFUSED = {
    (
        "ALTER TABLE integrations ADD COLUMN name VARCHAR(191) NOT NULL"
    ): "Column integrations.name takes no NULL",
    (
        "ALTER TABLE social_messages ADD CONSTRAINT c1 CHECK (CHAR_LENGTH(content) > 0)"
    ): "Constraint c1 of social_messages",
    (
        "ALTER TABLE social_messages MODIFY id VARCHAR(36) NOT NULL"
    ): "Column social_messages.id is varchar(36)",
    (
        "ALTER TABLE social_messages ADD UNIQUE KEY once (conversation_id, created_at)"
    ): "Unique key once (conversation_id, created_at)",
    (
        "ALTER TABLE social_messages ADD INDEX whole (content)"
    ): "Column social_messages.content is too short",
    (
        "ALTER TABLE social_conversations MODIFY status TINYINT NOT NULL"
    ): "Column social_conversations.status is tinyint",
    (
        "ALTER TABLE social_conversations MODIFY status ENUM('OPEN','CLOSED') COLLATE utf8mb4_bin "
        "NOT NULL"
    ): "has OPEN where",
    (
        "ALTER TABLE social_conversations CHANGE external_user_id externalUserId VARCHAR(191) NOT "
        "NULL"
    ): "has externalUserId where",
}


@pytest.fixture
def url(mariadb: MariaDB) -> str:
    """The database as Prisma made it, with rows."""
    return prisma.created(mariadb)


@pytest.mark.parametrize("statement", TAKEN)
def test_what_the_crm_calls_as_we_might_is_upgraded_and_kept(url: str, statement: str) -> None:
    """Each alone: all of its values and definitions are as before, and ours stand beside them."""
    crm.execute(url, statement)
    before, rows = prisma.values(url), _everything(url)
    upgrade(url)
    assert schema_problem(url) is None
    assert prisma.values(url) == before
    after = _everything(url)
    assert {
        table: [{name: row[name] for name in old[0]} for row in after[table]]
        for table, old in rows.items()
        if old
    } == {table: old for table, old in rows.items() if old}
    assert upgrade(url) == []


@pytest.mark.parametrize("statement", REFUSED)
def test_what_cannot_be_lived_with_is_refused_before_anything_is_changed(
    url: str, statement: str
) -> None:
    """With a sentence that names it; the plan says the same."""
    if statement.startswith("ALTER TABLE social_conversations CHANGE"):
        crm.execute(url, "DELETE FROM social_messages")
    crm.execute(url, statement)
    before = prisma.definitions(url)
    assert any(REFUSED[statement] in sentence for sentence in plan(url).refusals), plan(
        url
    ).refusals
    with pytest.raises(ConfigurationError) as caught:
        upgrade(url)
    assert REFUSED[statement] in caught.value.message
    assert prisma.definitions(url) == before


@pytest.mark.parametrize("kind", ["CHAR(36)", "BINARY(16)"])
def test_ids_that_are_uuids_are_refused_by_column_before_anything_is_changed(
    mariadb: MariaDB, kind: str
) -> None:
    """Of both tables, with foreign keys that point at them: all columns at once, in words."""
    url = mariadb.create_database()
    value = "REPEAT('a', 16)"
    reference = "REFERENCES social_conversations (id) ON DELETE CASCADE"
    for statement in (
        f"CREATE TABLE social_conversations (id {kind} PRIMARY KEY, company_id INT NOT NULL, "
        "platform VARCHAR(20) NOT NULL, external_user_id VARCHAR(191), external_user_name "
        "VARCHAR(191), status VARCHAR(20), last_message_at DATETIME(3), created_at DATETIME(3), "
        "updated_at DATETIME(3))",
        f"CREATE TABLE social_messages (id {kind} PRIMARY KEY, conversation_id {kind} NOT NULL, "
        "sender_type VARCHAR(20), content TEXT, created_at DATETIME(3), FOREIGN KEY "
        f"(conversation_id) {reference})",
        f"CREATE TABLE reminders (id INT PRIMARY KEY, talk {kind}, FOREIGN KEY (talk) {reference})",
        "INSERT INTO social_conversations (id, company_id, platform) VALUES "
        f"({value}, 1, 'facebook')",
        f"INSERT INTO social_messages (id, conversation_id) VALUES ({value}, {value})",
        f"INSERT INTO reminders VALUES (1, {value})",
    ):
        crm.execute(url, statement)
    before, rows = prisma.definitions(url), _everything(url)
    with pytest.raises(ConfigurationError) as caught:
        upgrade(url)
    for column in (
        "social_conversations.id",
        "social_messages.id",
        "social_messages.conversation_id",
    ):
        assert f"Column {column} is {kind.lower()}; the inbox works" in caught.value.message
    assert (prisma.definitions(url), _everything(url)) == (before, rows)


def test_a_binary_log_of_statements_is_refused_before_anything_is_changed() -> None:
    """The inbox writes at READ COMMITTED, which such a server refuses (1665); with MIXED it takes
    those writes, and what the triggers note.
    """
    server = MariaDB(options={"log-bin": "binlog", "binlog-format": "MIXED"})
    server.start()
    try:
        url = server.create_database()
        prisma.load(url)
        before = prisma.definitions(url)
        server.sql("SET GLOBAL binlog_format = 'STATEMENT'")
        with pytest.raises(ConfigurationError, match="binlog_format is STATEMENT"):
            upgrade(url)
        assert prisma.definitions(url) == before
        server.sql("SET GLOBAL binlog_format = 'MIXED'")
        upgrade(url)
        crm.execute(url, "UPDATE social_conversations SET status = 'Closed'")
        [noted] = crm.execute(url, "SELECT COUNT(*) AS n FROM omni_crm_changes WHERE subject = 1")
        assert noted["n"] > 0
        server.sql("SET GLOBAL binlog_format = 'STATEMENT'")
        assert "binlog_format is STATEMENT" in str(schema_problem(url))
    finally:
        server.close()


def test_the_plan_changes_nothing_and_says_what_will_be_done(url: str) -> None:
    before = prisma.definitions(url)
    found = plan(url)
    assert prisma.definitions(url) == before
    assert found.refusals == []
    text = "\n".join(found.steps)
    assert "widen column social_messages.content to mediumtext NOT NULL" in text
    assert "the table is copied" in text
    assert any(step.startswith("create tables: ") and "omni_agents" in step for step in found.steps)
    assert "add to integrations: omni_webhook_secret" in text
    upgrade(url)
    assert plan(url).steps == []


def test_a_column_that_a_foreign_key_holds_is_left_and_named(url: str) -> None:
    """Chatwoot's numbers fit; what does not is said."""
    crm.execute(url, "ALTER TABLE integrations ADD UNIQUE KEY u_page (page_id)")
    crm.execute(
        url,
        "CREATE TABLE page_rules (id INT AUTO_INCREMENT PRIMARY KEY, page_id VARCHAR(191) NOT "
        "NULL, "
        "FOREIGN KEY (page_id) REFERENCES integrations (page_id)) COLLATE utf8mb4_unicode_ci",
    )
    warnings = "\n".join(plan(url).warnings)
    assert (
        "Column integrations.page_id is left as it is (varchar(191)): the foreign key "
        "page_rules_ibfk_1 holds it"
    ) in warnings
    assert "Unique key u_page (page_id)" in warnings
    upgrade(url)
    assert schema_problem(url) is None


def test_tables_that_prisma_named_after_its_models_are_not_overlooked_in_silence(
    mariadb: MariaDB,
) -> None:
    url = mariadb.create_database()
    crm.execute(url, "CREATE TABLE SocialConversation (id INT PRIMARY KEY)")
    [warning] = plan(url).warnings
    assert "SocialConversation (looked for: social_conversations)" in warning


def test_a_trigger_of_the_crm_is_named(url: str) -> None:
    crm.execute(
        url,
        "CREATE TRIGGER touch BEFORE UPDATE ON social_conversations FOR EACH ROW SET "
        "NEW.updated_at = NOW(3)",
    )
    assert any("trigger touch" in sentence for sentence in plan(url).warnings)
    upgrade(url)
    [said] = [
        sentence for sentence in plan(url).warnings if sentence.startswith("The CRM's trigger")
    ]
    assert "trigger touch" in said  # and none of ours


def test_narrow_columns_are_named_by_readiness(url: str) -> None:
    """A CRM's own migration after ours may make them narrow again."""
    upgrade(url)
    crm.execute(url, "ALTER TABLE social_messages MODIFY content VARCHAR(191) NOT NULL")
    assert "social_messages.content (varchar(191)) too narrow" in str(schema_problem(url))


def test_an_upgrade_killed_after_every_single_statement(url: str) -> None:
    """No value of the CRM's is touched on the way, and it comes to its end."""
    before = prisma.values(url)
    runs = 0
    while True:
        runs += 1
        try:
            with killed_after_writes(4):
                upgrade(url)
        except Interrupted:
            assert runs < 60, "the upgrade does not get on"
            assert prisma.values(url) == before
        else:
            break
    assert runs > 5
    assert prisma.values(url) == before
    assert schema_problem(url) is None


async def test_a_long_transaction_of_the_crm_holds_up_the_upgrade_and_nobody_else(
    mariadb: MariaDB, url: str
) -> None:
    """Who waits for a table makes everybody behind it wait: the upgrade gives way, and goes on when
    the table is free.
    """
    name = url.rpartition("/")[2]

    def connected() -> Any:
        return pymysql.connect(
            host="127.0.0.1",
            port=mariadb.port,
            user=USER,
            password=PASSWORD,
            database=name,
            # a write that waits longer is refused (1205)
            init_command="SET SESSION lock_wait_timeout = 30",
        )

    async def waits() -> bool:
        sql = (
            "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'ALTER TABLE "
            "social_messages%%' AND state LIKE %s"
        )
        return bool(await asyncio.to_thread(mariadb.sql, sql, "%metadata lock%"))

    def write() -> None:
        writer.cursor().execute(
            "INSERT INTO social_messages (conversation_id, sender_type, content) VALUES (3, "
            "'customer', 'meanwhile')"
        )
        writer.commit()

    with closing(connected()) as holder, closing(connected()) as writer:
        # its transaction stays open
        holder.cursor().execute("SELECT COUNT(*) FROM social_messages")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(upgrade, url))
            await eventually(waits, limit=60)
            await asyncio.to_thread(write)
            assert "omni_seq" not in crm.execute(url, "SELECT * FROM social_messages LIMIT 1")[0]
            holder.rollback()
    assert schema_problem(url) is None
    assert crm.execute(
        url, "SELECT COUNT(*) AS n FROM social_messages WHERE content = 'meanwhile'"
    ) == [{"n": 1}]


def _everything(url: str) -> dict[str, list[dict[str, object]]]:
    tables = [next(iter(row.values())) for row in crm.execute(url, "SHOW TABLES")]
    return {
        table: [
            {
                name: str(value)[:23] if name.endswith("_at") else value
                for name, value in row.items()
            }
            for row in crm.execute(url, f"SELECT * FROM `{table}`")
        ]
        for table in tables
        if table.startswith(("social_", "integrations", "agents", "invitations", "canned", "audit"))
    }
