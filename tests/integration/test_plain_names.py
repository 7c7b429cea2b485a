"""Databases of versions whose tables and columns had no prefix: renamed, without a row lost, and
nothing of the CRM's with them.
"""

from pathlib import Path

import pytest

from server.db.migrations import put_triggers_back, schema_problem, upgrade
from server.errors import ConfigurationError
from tests import crm
from tests.crm.killed import Interrupted, killed_after_writes
from tests.crm.plain_names import picture, take_back
from tests.kit.company import Company
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.servers import QUICK


@pytest.fixture
def older_url(database_url: str) -> str:
    """The CRM's database as such a version upgraded it, with rows in a table of ours."""
    crm.load(database_url)
    upgrade(database_url)
    crm.execute(
        database_url, "INSERT INTO omni_inbox_streams (company_id, epoch, head) VALUES (7, 'e', 12)"
    )
    crm.execute(
        database_url,
        "INSERT INTO omni_agents (company_id, subject, name, created_at, updated_at) VALUES (7, "
        "'s', 'Asha', 1, 1)",
    )
    crm.execute(
        database_url,
        "UPDATE social_conversations SET omni_seq = 12, omni_labels = '[\"vip\"]' WHERE id = 2",
    )
    return database_url


def test_they_are_renamed_with_all_they_hold(older_url: str) -> None:
    """Every table, column and index is there as an upgrade of today makes it; readiness asks for
    it.
    """
    before, rows = (
        picture(older_url),
        crm.execute(older_url, "SELECT * FROM social_conversations ORDER BY id"),
    )
    take_back(older_url)
    assert "omni_" in str(schema_problem(older_url))
    done = upgrade(older_url)
    assert "renamed table agents to omni_agents" in done
    assert "renamed column social_messages.seq to omni_seq" in done
    assert [sentence for sentence in done if sentence.startswith(("added", "created table"))] == []
    assert picture(older_url) == before
    assert crm.execute(older_url, "SELECT * FROM social_conversations ORDER BY id") == rows
    assert schema_problem(older_url) is None
    assert upgrade(older_url) == []


def test_what_the_crm_calls_so_stays_as_it_is(mariadb: MariaDB) -> None:
    """Columns and tables of its own with names that ours had: their type, their comment or their
    place says whose they are.
    """
    url = mariadb.create_database()
    crm.load(url)
    crm.execute(
        url, "ALTER TABLE social_conversations ADD COLUMN channel VARCHAR(64) NULL AFTER status"
    )
    upgrade(url)
    take_back(url)  # which gives our `channel` no other name: the CRM's has it
    crm.execute(
        url,
        "ALTER TABLE social_messages DROP COLUMN agent_id, ADD COLUMN agent_id INT NULL COMMENT "
        "'who wrote'",
    )
    crm.execute(url, "DROP TABLE invitations")
    crm.execute(
        url,
        "CREATE TABLE invitations (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(191), "
        "accepted TINYINT(1))",
    )
    crm.execute(url, "INSERT INTO invitations (email) VALUES ('a@example.com')")
    crm.execute(url, "UPDATE social_conversations SET channel = 'phone'")
    done = upgrade(url)
    renamed = [sentence for sentence in done if sentence.startswith("renamed")]
    assert not [one for one in renamed if ".channel " in one or " invitations " in one]
    assert "renamed column social_conversations.priority to omni_priority" in renamed
    assert {
        row["channel"] for row in crm.execute(url, "SELECT channel FROM social_conversations")
    } == {"phone"}
    assert crm.execute(url, "SELECT email FROM invitations") == [{"email": "a@example.com"}]
    names = crm.execute(url, "SELECT * FROM social_messages LIMIT 1")[0].keys()
    assert {"agent_id", "omni_agent_id"} <= names
    assert schema_problem(url) is None


def test_a_renaming_killed_after_every_single_statement(mariadb: MariaDB) -> None:
    """Run after run goes one step further and ends where an undisturbed one does."""
    url = mariadb.create_database()
    crm.load(url)
    upgrade(url)
    whole = picture(url)
    take_back(url)
    runs = 0
    while True:
        runs += 1
        try:
            with killed_after_writes(1):
                upgrade(url)
        except Interrupted:
            assert runs < 30, "the upgrade does not get on"
        else:
            break
    assert runs > 4
    assert picture(url) == whole


def test_triggers_are_not_put_where_names_are_others(older_url: str) -> None:
    """A process of today's version finds those of then missing. SQLite would take a trigger that
    names a column which is not there, and refuse every write and the renaming itself.
    """
    take_back(older_url)
    with pytest.raises(ConfigurationError, match="omni_seq"):
        put_triggers_back(older_url)
    upgrade(older_url)
    assert put_triggers_back(older_url) == []
    assert schema_problem(older_url) is None


async def test_a_process_of_the_other_version_keeps_webhooks_meanwhile(tmp_path: Path) -> None:
    """Its tables have other names: what it takes is in its spool, and in the journal once the names
    are right.
    """
    url = f"sqlite:///{tmp_path / 'omni.db'}"
    omni = Omni(tmp_path, database_url=url, env=QUICK)
    omni.prepare()
    omni.start()
    try:
        async with Company(omni) as company:
            await company.post(company.message(1, "before"))
            await company.conversation_with(1)
            take_back(url)
            await company.post(company.message(2, "while the names are others"))
            upgrade(url)
            whole = await company.conversation_with(2)
            assert [message["content"] for message in whole["messages"]] == [
                "before",
                "while the names are others",
            ]
    finally:
        omni.kill9()
