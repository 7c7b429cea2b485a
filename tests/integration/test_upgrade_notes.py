"""What an upgrade says beforehand of nullable companies, cascades and tokens, and what it says when
the server refuses it half-way.
"""

from pathlib import Path

import pytest

from server.db.migrations import plan, schema_problem, upgrade
from server.errors import ConfigurationError
from tests import crm
from tests.crm import prisma
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni

_USERS = "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY)"
_COMPANY_KEY = "social_conversations_company_id_fkey"
_NO_TRIGGER = "fires no trigger for what such a key changes"


@pytest.fixture
def url(mariadb: MariaDB) -> str:
    """The database as Prisma made it, with rows."""
    url = mariadb.create_database()
    prisma.load(url)
    return url


def test_a_company_that_may_be_missing_is_noted(url: str) -> None:
    assert not any("takes NULL" in sentence for sentence in plan(url).warnings)
    crm.execute(url, "ALTER TABLE social_conversations MODIFY company_id INT NULL")
    [said] = [sentence for sentence in plan(url).warnings if "takes NULL" in sentence]
    assert said.startswith("Column social_conversations.company_id ")
    assert "shown to nobody" in said


@pytest.mark.parametrize(
    ("table", "column", "rule", "said"),
    [
        ("social_messages", "author_id", "ON DELETE CASCADE", "(ON DELETE CASCADE)"),
        (
            "social_messages",
            "author_id",
            "ON DELETE CASCADE ON UPDATE CASCADE",
            "(ON DELETE CASCADE)",
        ),
        # no column that agents see
        ("social_messages", "author_id", "ON DELETE SET NULL ON UPDATE CASCADE", None),
        ("social_messages", "author_id", "ON DELETE RESTRICT", None),
        ("social_conversations", "company_id", "ON DELETE SET NULL", "(ON DELETE SET NULL)"),
        ("social_conversations", "company_id", "ON UPDATE CASCADE", "(ON UPDATE CASCADE)"),
        (
            "social_conversations",
            "company_id",
            "ON DELETE CASCADE ON UPDATE SET NULL",
            "(ON DELETE CASCADE, ON UPDATE SET NULL)",
        ),
    ],
)
def test_a_foreign_key_by_which_the_database_changes_what_agents_see_is_noted(
    url: str, table: str, column: str, rule: str, said: str | None
) -> None:
    """No trigger runs for it; a key that changes other columns alone, or refuses, is not worth a
    word.
    """
    crm.execute(url, f"ALTER TABLE social_conversations DROP FOREIGN KEY {_COMPANY_KEY}")
    crm.execute(url, "ALTER TABLE social_conversations MODIFY company_id INT NULL")
    crm.execute(url, _USERS)
    if column not in ("company_id",):
        crm.execute(url, f"ALTER TABLE {table} ADD COLUMN {column} INT NULL")
    assert _cascades(url) == []
    parent = "companies" if column == "company_id" else "users"
    crm.execute(
        url,
        f"ALTER TABLE {table} ADD CONSTRAINT k1 FOREIGN KEY ({column}) REFERENCES {parent} (id) "
        f"{rule}",
    )
    if said is None:
        assert _cascades(url) == []
    else:
        [sentence] = _cascades(url)
        assert sentence.startswith(f"The foreign key k1 of {table} to {parent} {said}: ")


def test_messages_that_go_with_their_conversation_are_no_news(url: str) -> None:
    """The conversation's own trigger notes it."""
    before = _cascades(url)
    crm.execute(
        url, "ALTER TABLE social_messages DROP FOREIGN KEY social_messages_conversation_id_fkey"
    )
    crm.execute(
        url,
        "ALTER TABLE social_messages ADD FOREIGN KEY (conversation_id) REFERENCES "
        "social_conversations (id) ON DELETE CASCADE",
    )
    assert _cascades(url) == before


def test_the_plan_says_that_tokens_are_encrypted_and_nothing_else_of_their_rows_moves(
    url: str, tmp_path: Path
) -> None:
    """Also on the days when nothing else is to be done, and not where there is nothing to
    encrypt.
    """
    omni = Omni(tmp_path, database_url=url)
    clear = Omni(tmp_path, database_url=url, env={"SECRET_KEY": ""})
    crm.execute(
        url,
        "ALTER TABLE integrations MODIFY updated_at DATETIME(3) NOT NULL DEFAULT NOW(3) ON "
        "UPDATE NOW(3), "
        "ADD COLUMN seen_by_the_crm TIMESTAMP NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP",
    )
    crm.execute(
        url,
        "UPDATE integrations SET updated_at = '2026-01-02 03:04:05.678', seen_by_the_crm = "
        "'2026-01-02 03:04:05'",
    )
    step = "will: encrypt integrations.access_token of 1 Chatwoot row with SECRET_KEY"
    assert "encrypt" not in clear.cli("db", "upgrade", "--plan").stdout
    assert step in omni.cli("db", "upgrade", "--plan").stdout
    clear.prepare()
    found = omni.cli("db", "upgrade", "--plan").stdout
    assert found.splitlines()[-1].startswith(step)
    before = crm.execute(url, "SELECT updated_at, seen_by_the_crm FROM integrations")
    assert str(before[0]["updated_at"]) == "2026-01-02 03:04:05.678000"
    assert "1 tokens and secrets encrypted" in omni.cli("db", "upgrade").stdout
    assert crm.execute(url, "SELECT updated_at, seen_by_the_crm FROM integrations") == before
    assert "encrypt" not in omni.cli("db", "upgrade", "--plan").stdout


def test_a_refusal_half_way_says_that_the_upgrade_can_be_run_again(
    mariadb: MariaDB, url: str
) -> None:
    """An account that may add columns and no indexes; with the right the next run goes on."""
    name = url.rpartition("/")[2]
    user = f"half_{name}"[:32]
    mariadb.sql(f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'")
    mariadb.sql(
        f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, REFERENCES ON `{name}`.* TO "
        f"'{user}'@'%'"
    )
    with pytest.raises(ConfigurationError) as caught:
        upgrade(url.replace("//omni:", f"//{user}:"))
    assert "1142" in caught.value.message
    assert "What was done before stays" in caught.value.message
    assert "run again" in caught.value.message
    assert schema_problem(url) is not None
    upgrade(url)
    assert schema_problem(url) is None


def test_triggers_alone_are_in_the_plan_of_a_database_without_conversations(
    mariadb: MariaDB,
) -> None:
    """What is filled is no step there, so no other step may be taken for it."""
    url = mariadb.create_database()
    upgrade(url)
    assert plan(url).steps == []
    [row] = crm.execute(
        url,
        "SELECT trigger_name AS name FROM information_schema.triggers WHERE trigger_schema = "
        "DATABASE() "
        "AND event_object_table = 'social_messages' AND event_manipulation = 'INSERT'",
    )
    crm.execute(url, f"DROP TRIGGER {row['name']}")
    [step] = plan(url).steps
    assert step.startswith("create triggers on social_messages")


def _cascades(url: str) -> list[str]:
    return [sentence for sentence in plan(url).warnings if _NO_TRIGGER in sentence]
