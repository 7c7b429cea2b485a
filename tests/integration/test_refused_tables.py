"""What the plan says of kinds of tables, columns and keys: what the upgrade could not finish is not
begun.
"""

import pytest

from server.db.migrations import plan, schema_problem, upgrade
from server.errors import ConfigurationError
from tests import crm
from tests.crm import prisma
from tests.kit.mariadb import MariaDB, is_oracle_mysql

_FREE = "ALTER TABLE social_messages DROP FOREIGN KEY social_messages_conversation_id_fkey"
_PARTITIONED = (
    [_FREE, "ALTER TABLE social_messages PARTITION BY HASH (id) PARTITIONS 3"],
    "Table social_messages is partitioned",
    "ALTER TABLE social_messages REMOVE PARTITIONING",
)
_VERSIONED = (
    ["ALTER TABLE integrations ADD SYSTEM VERSIONING"],
    "Table integrations is system-versioned",
    "ALTER TABLE integrations DROP SYSTEM VERSIONING",
)
_VIEW = (
    [
        _FREE,
        "RENAME TABLE social_messages TO messages",
        "CREATE VIEW social_messages AS SELECT * FROM messages",
    ],
    "social_messages is a view",
    "rename the table behind it to social_messages",
)
_LOOSE_VIEW = (
    [
        _FREE,
        "RENAME TABLE social_messages TO messages",
        "CREATE VIEW social_messages AS SELECT id, content AS body FROM messages",
        "RENAME TABLE messages TO elsewhere",
    ],
    "social_messages is a view",
    "rename the table behind it to social_messages",
)


def _generated(kind: str) -> tuple[list[str], str, str]:
    return (
        [
            "ALTER TABLE social_conversations DROP COLUMN external_user_name",
            "ALTER TABLE social_conversations ADD COLUMN external_user_name VARCHAR(191) "
            f"GENERATED ALWAYS AS (UPPER(external_user_id)) {kind}",
        ],
        "Column social_conversations.external_user_name is generated",
        "make it an ordinary column",
    )


@pytest.fixture
def url(mariadb: MariaDB) -> str:
    """The database as Prisma made it, with rows."""
    url = mariadb.create_database()
    prisma.load(url)
    return url


@pytest.mark.parametrize(
    ("statements", "named", "advice"),
    [
        pytest.param(*_PARTITIONED, id="partitioned"),
        pytest.param(
            *_VERSIONED,
            id="versioned",
            marks=pytest.mark.skipif(is_oracle_mysql(), reason="MariaDB's alone"),
        ),
        pytest.param(*_VIEW, id="view"),
        pytest.param(*_LOOSE_VIEW, id="view of a table that is gone"),
        pytest.param(*_generated("VIRTUAL"), id="virtual"),
        pytest.param(*_generated("STORED"), id="stored"),
    ],
)
def test_a_table_that_cannot_be_changed_or_written_is_refused_before_anything_is_changed(
    url: str, statements: list[str], named: str, advice: str
) -> None:
    """By name, with what to do; the plan says the same, and nothing else that would not be so."""
    for statement in statements:
        crm.execute(url, statement)
    before = _columns(url)
    [refusal] = plan(url).refusals
    assert refusal.startswith(named)
    assert advice in refusal
    with pytest.raises(ConfigurationError) as caught:
        upgrade(url)
    assert refusal in caught.value.message
    assert _columns(url) == before


@pytest.mark.skipif(is_oracle_mysql(), reason="MariaDB's alone")
def test_a_table_that_is_versioned_after_the_upgrade_is_not_refused(url: str) -> None:
    """Nothing of it is to be changed any more: readiness and the next upgrade have nothing against
    it.
    """
    upgrade(url)
    crm.execute(url, "ALTER TABLE integrations ADD SYSTEM VERSIONING")
    assert schema_problem(url) is None
    assert upgrade(url) == []
    crm.execute(url, "UPDATE integrations SET omni_proved_at = 1 WHERE id = 1")


def _columns(url: str) -> list[dict[str, object]]:
    """Of every table and view: also of one that has lost its table."""
    return crm.execute(
        url,
        "SELECT table_name, column_name, column_type, extra FROM information_schema.columns "
        "WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
    )
