"""`upgrade` makes every database ours and takes nothing from anyone: empty, the CRM's, half-way;
SQLite and MariaDB.
"""

import datetime as dt
import json
import threading

import pytest

from server.db.migrations import (
    backfill,
    schema_problem,
    shape,
    upgrade,
)
from server.db.migrations.upgrade_connection import connected
from server.db.schema.tables import metadata
from server.errors import ConfigurationError, DatabaseUnavailable
from tests import crm
from tests.crm.killed import Interrupted, killed_after_writes
from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB
from tests.kit.ports import free_port

# (integration, Chatwoot's number) of each conversation of the fixture that gets one
_LINKS = {2: (3, 101), 4: (3, 102), 6: (3, 103), 10: (3, 104), 12: (3, 105)}


@pytest.fixture
def crm_url(database_url: str) -> str:
    """A database with the CRM's tables and rows."""
    crm.load(database_url)
    return database_url


def test_an_empty_database_gets_all_tables(database_url: str) -> None:
    """Every table, told once each, and the triggers; a second run has nothing to do."""
    assert schema_problem(database_url) is not None
    *tables, triggers = upgrade(database_url)
    assert sorted(tables) == sorted(f"created table {table}" for table in metadata.tables)
    assert triggers.startswith("created triggers")
    assert schema_problem(database_url) is None
    assert upgrade(database_url) == []


def test_no_row_of_the_crm_is_lost_or_changed(crm_url: str) -> None:
    """All rows with all documented values, Bengali, emoji and zero dates included; only an empty
    last_message_at is filled.
    """
    before = {table: crm.rows(crm_url, table) for table in crm.DOCUMENTED}
    upgrade(crm_url)
    before["social_conversations"][3]["last_message_at"] = "2024-03-03 09:45:00"
    for table, rows in before.items():
        after = [
            {
                name: value.removesuffix(".000000") if name.endswith("_at") else value
                for name, value in row.items()
            }
            for row in crm.rows(crm_url, table)
        ]
        assert after == rows


def test_conversations_are_linked(crm_url: str) -> None:
    """The newest of duplicates gets the key, of a tie the lowest id; ambiguous and foreign ones
    stay without.
    """
    done = upgrade(crm_url)
    assert "5 conversations linked to integration 3" in done
    assert _links(crm_url) == _LINKS


def test_columns_are_filled(crm_url: str) -> None:
    """Status, count and preview come from what the CRM wrote."""
    upgrade(crm_url)
    rows = {row["id"]: row for row in crm.execute(crm_url, "SELECT * FROM social_conversations")}
    assert {
        id_: row["omni_inbound_count"] for id_, row in rows.items() if row["omni_inbound_count"]
    } == {
        1: 1,
        2: 2,
        4: 3,
        5: 1,
        8: 1,
        12: 1,
    }
    assert {
        id_: row["omni_last_inbound_at"] for id_, row in rows.items() if row["omni_last_inbound_at"]
    } == _last_inbound(crm_url)
    assert [rows[id_]["omni_chatwoot_status"] for id_ in (1, 3, 5, 15)] == [
        "open",
        "resolved",
        None,
        None,
    ]
    assert json.loads(rows[2]["omni_preview"]) == {
        "content": "hello? \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 it's me",
        "senderType": "customer",
        "hasAttachments": False,
    }
    assert json.loads(rows[4]["omni_preview"])["content"] == ""
    whole = crm.execute(crm_url, "SELECT content FROM social_messages WHERE id = 11")[0]["content"]
    assert json.loads(rows[8]["omni_preview"])["content"] == whole[:160] != whole
    assert rows[6]["omni_preview"] is None


def _last_inbound(url: str) -> dict[int, int]:
    """Conversation -> microseconds of the customer's last message, worked out here."""
    found: dict[int, int] = {}
    for row in crm.rows(url, "social_messages"):
        if row["sender_type"] == "customer" and "1970-01-02" < str(row["created_at"]) < "9999":
            at = dt.datetime.fromisoformat(row["created_at"]).replace(tzinfo=dt.UTC)
            micros = round(at.timestamp() * 1_000_000)
            found[row["conversation_id"]] = max(micros, found.get(row["conversation_id"], 0))
    assert found
    return found


def test_running_again_finds_nothing_to_do(crm_url: str) -> None:
    """Nor does a third run."""
    assert schema_problem(crm_url) is not None
    assert upgrade(crm_url)
    assert schema_problem(crm_url) is None
    assert upgrade(crm_url) == []
    assert upgrade(crm_url) == []


def test_an_interrupted_upgrade_is_finished_later(crm_url: str) -> None:
    """Columns were added, values not yet filled: readiness says so, and the next run fills them."""
    with connected(crm_url) as connection:
        shape.complete(connection)
    assert "was not finished" in str(schema_problem(crm_url))
    done = upgrade(crm_url)
    assert not [
        sentence for sentence in done if sentence.startswith(("added", "created table", "widened"))
    ]
    assert _links(crm_url) == _LINKS
    assert schema_problem(crm_url) is None


@pytest.mark.timeout(scaled(600))  # more than a hundred upgrades, each of which looks at all tables
def test_an_upgrade_killed_after_every_single_statement(mariadb: MariaDB) -> None:
    """MySQL commits each of them: run after run goes one step further and ends where an undisturbed
    one does.
    """
    calm, disturbed = mariadb.create_database(), mariadb.create_database()
    for url in (calm, disturbed):
        crm.load(url)
    upgrade(calm)
    runs = 0
    while True:
        runs += 1
        try:
            with killed_after_writes(1):
                upgrade(disturbed)
        except Interrupted:
            assert runs < 200, "the upgrade does not get on"
        else:
            break
    assert runs > 20
    assert upgrade(disturbed) == []
    assert _picture(disturbed) == _picture(calm)


def test_an_interrupted_upgrade_of_sqlite_leaves_no_trace(tmp_path: object) -> None:
    """There it is one transaction."""
    url = f"sqlite:///{tmp_path}/crm.db"
    crm.load(url)
    before = crm.execute(url, "SELECT sql FROM sqlite_master")
    with pytest.raises(Interrupted), killed_after_writes(12):
        upgrade(url)
    assert crm.execute(url, "SELECT sql FROM sqlite_master") == before
    upgrade(url)
    assert _links(url) == _LINKS


def test_an_integration_added_later_is_linked(crm_url: str) -> None:
    """Running the upgrade again links the conversations that now have exactly one integration."""
    upgrade(crm_url)
    crm.execute(
        crm_url,
        "INSERT INTO integrations (id, company_id, provider, page_id, access_token) VALUES (9, "
        "3, 'chatwoot', '12', 't')",
    )
    assert upgrade(crm_url) == ["1 conversation linked to integration 9"]
    assert _links(crm_url) == {**_LINKS, 9: (9, 301)}


def test_a_number_that_is_taken_stays_with_its_conversation(crm_url: str) -> None:
    """A webhook made the conversation before the old rows were linked: it keeps the key, they stay
    readable.
    """
    with connected(crm_url) as connection:
        shape.complete(connection)
    crm.execute(
        crm_url,
        "INSERT INTO social_conversations (id, company_id, platform, omni_integration_id, "
        "omni_chatwoot_conversation_id, created_at)"
        " VALUES (50, 1, 'chatwoot', 3, 101, '2024-04-01 09:00:00')",
    )
    upgrade(crm_url)
    assert _links(crm_url) == {
        **{id_: key for id_, key in _LINKS.items() if id_ != 2},
        50: (3, 101),
    }


def test_what_the_inbox_has_written_is_kept(crm_url: str) -> None:
    """Filling touches only what is missing: a newer preview, status and count stay."""
    upgrade(crm_url)
    crm.execute(
        crm_url,
        "UPDATE social_conversations SET omni_preview = '{}', omni_chatwoot_status = 'snoozed', "
        "omni_inbound_count = 40 WHERE id = 2",
    )
    assert upgrade(crm_url) == []
    row = crm.execute(
        crm_url,
        "SELECT omni_preview, omni_chatwoot_status, omni_inbound_count FROM social_conversations "
        "WHERE id = 2",
    )[0]
    assert row == {
        "omni_preview": "{}",
        "omni_chatwoot_status": "snoozed",
        "omni_inbound_count": 40,
    }


def test_messages_without_a_conversation_are_kept(crm_url: str) -> None:
    """A CRM without the foreign key has some; we add no key that would refuse them."""
    if not crm_url.startswith("sqlite"):
        crm.execute(crm_url, "ALTER TABLE social_messages DROP FOREIGN KEY fk_message_conversation")
    crm.execute(
        crm_url,
        "INSERT INTO social_messages (id, conversation_id, sender_type, content) VALUES (99, "
        "4711, 'customer', 'orphan')",
    )
    upgrade(crm_url)
    assert crm.rows(crm_url, "social_messages")[-1]["content"] == "orphan"


def test_many_conversations_are_filled_page_by_page(
    crm_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of two rows give what one page gives, duplicates in different pages included."""
    monkeypatch.setattr(backfill, "_PAGE", 2)
    upgrade(crm_url)
    assert _links(crm_url) == _LINKS
    assert (
        crm.execute(
            crm_url, "SELECT COUNT(*) AS n FROM social_conversations WHERE omni_preview IS NOT NULL"
        )[0]["n"]
        == 6
    )


def test_the_crms_tables_without_rows(database_url: str) -> None:
    """A CRM just installed."""
    crm.load(database_url, is_with_rows=False)
    upgrade(database_url)
    assert schema_problem(database_url) is None
    assert upgrade(database_url) == []


def test_a_column_we_cannot_fill_is_told(crm_url: str) -> None:
    """The CRM's own NOT NULL column stays as it is: refused before anything is changed, and
    readiness says so later.
    """
    if crm_url.startswith("sqlite"):
        crm.execute(
            crm_url, "ALTER TABLE social_messages ADD COLUMN crm_code INT NOT NULL DEFAULT 0"
        )
    else:
        crm.execute(crm_url, "ALTER TABLE social_messages ADD COLUMN crm_code INT NOT NULL")
        with pytest.raises(
            ConfigurationError,
            match=r"nothing was changed:\nColumn social_messages\.crm_code takes no NULL",
        ):
            upgrade(crm_url)
        assert "omni_seq" not in crm.execute(crm_url, "SELECT * FROM social_messages")[0]
        crm.execute(crm_url, "ALTER TABLE social_messages DROP COLUMN crm_code")
    upgrade(crm_url)
    assert schema_problem(crm_url) is None
    if not crm_url.startswith("sqlite"):
        crm.execute(crm_url, "ALTER TABLE social_messages ADD COLUMN crm_code INT NOT NULL")
        assert "social_messages.crm_code" in str(schema_problem(crm_url))


def test_a_strangers_table_is_refused_before_anything_is_changed(crm_url: str) -> None:
    """A table that only shares the name is not taken over."""
    crm.execute(crm_url, "CREATE TABLE omni_inbox_events (id INT PRIMARY KEY, title VARCHAR(20))")
    with pytest.raises(ConfigurationError, match="omni_inbox_events without a column company_id"):
        upgrade(crm_url)
    assert (
        "omni_integration_id" not in crm.execute(crm_url, "SELECT * FROM social_conversations")[0]
    )


def test_the_crms_types_and_settings_on_mariadb(mariadb: MariaDB) -> None:
    """Times keep microseconds, long messages and every character fit; the CRM's own column is as it
    was.
    """
    url = mariadb.create_database()
    crm.load(url)
    upgrade(url)
    columns = _columns(url)
    assert columns["social_conversations.updated_at"] == ("datetime(6)", "NO", None)
    assert columns["social_conversations.crm_owner"] == ("varchar(50)", "YES", "utf8mb3")
    assert columns["social_conversations.external_user_name"] == ("varchar(255)", "NO", "utf8mb4")
    assert columns["social_messages.content"] == ("mediumtext", "YES", "utf8mb4")
    assert columns["integrations.access_token"] == ("text", "NO", "utf8mb4")
    content = "😀" * 150_000
    crm.execute(
        url,
        "INSERT INTO social_messages (id, conversation_id, sender_type, content, created_at) "
        "VALUES (70, 4, 'agent', :content, :at)",
        content=content,
        at="2024-05-01 10:00:00.123456",
    )
    row = crm.rows(url, "social_messages")[-1]
    assert (row["content"], row["created_at"]) == (content, "2024-05-01 10:00:00.123456")


@pytest.mark.parametrize("id_type", ["INT", "INT UNSIGNED", "BIGINT", "BIGINT UNSIGNED"])
def test_our_foreign_key_fits_the_crms_ids(mariadb: MariaDB, id_type: str) -> None:
    """A CRM that has conversations but no messages yet."""
    url = mariadb.create_database()
    crm.load(url)
    crm.execute(url, "DROP TABLE social_messages")
    crm.execute(
        url, f"ALTER TABLE social_conversations MODIFY COLUMN id {id_type} NOT NULL AUTO_INCREMENT"
    )
    assert "created table social_messages" in upgrade(url)
    types = _columns(url)
    assert types["social_messages.conversation_id"][0] == types["social_conversations.id"][0]
    assert upgrade(url) == []


def test_old_storage_is_converted(mariadb: MariaDB) -> None:
    """MyISAM knows no transactions: the promises stand on InnoDB."""
    url = mariadb.create_database()
    crm.load(url)
    crm.execute(url, "ALTER TABLE integrations ENGINE = MyISAM")
    upgrade(url)
    engines = crm.execute(
        url,
        "SELECT DISTINCT engine AS engine FROM information_schema.tables WHERE table_schema = "
        "DATABASE()",
    )
    assert engines == [{"engine": "InnoDB"}]


def test_two_upgrades_at_once(crm_url: str) -> None:
    """One does the work, the other waits and finds it done."""
    done: list[list[str]] = []
    threads = [threading.Thread(target=lambda: done.append(upgrade(crm_url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 2
    assert min(done, key=len) == []
    assert _links(crm_url) == _LINKS


def test_a_database_that_is_away_or_wrong(mariadb: MariaDB) -> None:
    """A server that does not answer may come back; a wrong password will not, and is not told."""
    with pytest.raises(DatabaseUnavailable):
        upgrade(f"mysql://omni:secret@127.0.0.1:{free_port()}/omni")
    with pytest.raises(ConfigurationError) as caught:
        upgrade(mariadb.url("nowhere").replace("secret", "wrong-password"))
    assert "wrong-password" not in caught.value.message


def test_a_newer_programs_database(database_url: str) -> None:
    """While a deploy rolls, the old program goes on serving; it only refuses to upgrade."""
    upgrade(database_url)
    crm.execute(database_url, "UPDATE omni_inbox_version SET version_num = '9999'")
    assert schema_problem(database_url) is None
    with pytest.raises(ConfigurationError, match="newer version"):
        upgrade(database_url)


def _links(url: str) -> dict[int, tuple[int, int]]:
    sql = """SELECT id, omni_integration_id, omni_chatwoot_conversation_id FROM social_conversations
    WHERE omni_integration_id IS NOT NULL OR omni_chatwoot_conversation_id IS NOT NULL"""
    return {
        row["id"]: (row["omni_integration_id"], row["omni_chatwoot_conversation_id"])
        for row in crm.execute(url, sql)
    }


def _columns(url: str) -> dict[str, tuple[str, str, str | None]]:
    """`table.column` -> (type, YES or NO for NULL, character set)."""
    sql = """SELECT table_name AS t, column_name AS c, column_type AS type, is_nullable AS n, character_set_name AS charset
    FROM information_schema.columns WHERE table_schema = DATABASE()"""  # noqa: E501
    return {
        f"{row['t']}.{row['c']}": (row["type"], row["n"], row["charset"])
        for row in crm.execute(url, sql)
    }


def _picture(url: str) -> object:
    """Everything: how each table is made (in whatever order its indexes were added), and what is in
    it.
    """
    sql = (
        "SELECT table_name AS n FROM information_schema.tables WHERE table_schema = DATABASE() "
        "ORDER BY 1"
    )
    names = [str(row["n"]) for row in crm.execute(url, sql)]
    made = [crm.execute(url, f"SHOW CREATE TABLE {name}")[0]["Create Table"] for name in names]
    lines = [sorted(line.strip(" ,") for line in text.splitlines()) for text in made]
    return lines, [crm.execute(url, f"SELECT * FROM {name} ORDER BY 1") for name in names]
