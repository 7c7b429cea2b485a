"""A CRM's database as Prisma makes it, and what its values are."""

from pathlib import Path
from typing import Any

from tests import crm
from tests.kit.mariadb import MariaDB

_HERE = Path(__file__).parent
_DOCUMENTED = {
    **crm.DOCUMENTED,
    "social_conversations": crm.DOCUMENTED["social_conversations"].partition(", crm_owner")[0],
}

# columns and tables of the CRM's own with names that sound like ours, and columns narrower than
# what is stored
TAKEN = [
    "ALTER TABLE social_messages MODIFY content CHAR(100) COLLATE utf8mb4_bin NOT NULL",
    "ALTER TABLE social_conversations ADD COLUMN contact VARCHAR(100) NULL DEFAULT 'mine'",
    "ALTER TABLE social_conversations ADD COLUMN labels VARCHAR(255) NULL DEFAULT 'vip,late'",
    "ALTER TABLE social_conversations ADD COLUMN preview VARCHAR(100) NULL DEFAULT 'old one'",
    "ALTER TABLE social_conversations ADD COLUMN assignee INT NULL DEFAULT 7",
    (
        "ALTER TABLE social_conversations ADD COLUMN channel ENUM('messenger','whatsapp','web') "
        "NULL "
        "DEFAULT 'web'"
    ),
    "ALTER TABLE social_conversations ADD COLUMN priority TINYINT NOT NULL DEFAULT 0",
    "ALTER TABLE social_messages ADD COLUMN client_id INT NULL DEFAULT 5",
    (
        "ALTER TABLE social_messages ADD COLUMN agent_id INT NULL, ADD FOREIGN KEY (agent_id) "
        "REFERENCES companies (id)"
    ),
    "ALTER TABLE social_messages ADD COLUMN attachments JSON NULL",
    "ALTER TABLE integrations MODIFY access_token VARCHAR(100) NOT NULL",
    (
        "CREATE TABLE agents (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT, full_name "
        "VARCHAR(100), email VARCHAR(191))"
    ),
    (
        "CREATE TABLE invitations (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(191), accepted "
        "TINYINT(1))"
    ),
    (
        "CREATE TABLE canned_replies (id INT AUTO_INCREMENT PRIMARY KEY, company_id INT NOT NULL, "
        "title VARCHAR(100), content TEXT)"
    ),
    "CREATE TABLE audit_log (id BIGINT AUTO_INCREMENT PRIMARY KEY, company_id INT NOT NULL, at "
    "BIGINT NOT NULL, "
    "actor VARCHAR(50) NOT NULL, act VARCHAR(20) NOT NULL)",
    (
        "ALTER TABLE social_conversations MODIFY status ENUM('Open','Pending','ring :at 5 "
        "o''clock','Closed') NOT NULL DEFAULT 'Open'"
    ),
    "ALTER TABLE social_messages MODIFY sender_type ENUM('CUSTOMER','AGENT') NOT NULL",
]


def load(database_url: str) -> None:
    for statement in _HERE.joinpath("prisma_crm.sql").read_text("utf-8").split(";\n"):
        if statement.strip():
            crm.execute(database_url, statement)


def values(database_url: str, companies: str = "1, 2") -> dict[str, list[dict[str, Any]]]:
    """All documented values of these companies as the CRM reads them: times to the millisecond it
    wrote.
    """
    found = {}
    for table, columns in _DOCUMENTED.items():
        where = f"company_id IN ({companies})"
        if table == "social_messages":
            where = f"conversation_id IN (SELECT id FROM social_conversations WHERE {where})"
        rows = crm.execute(database_url, f"SELECT {columns} FROM {table} WHERE {where} ORDER BY id")
        found[table] = [
            {
                name: str(value)[:23] if name.endswith("_at") else value
                for name, value in row.items()
            }
            for row in rows
        ]
    return found


def definitions(database_url: str) -> str:
    """Everything the database says of its tables."""
    tables = sorted(next(iter(row.values())) for row in crm.execute(database_url, "SHOW TABLES"))
    return "\n".join(
        crm.execute(database_url, f"SHOW CREATE TABLE `{table}`")[0]["Create Table"]
        for table in tables
    )


def created(mariadb: MariaDB) -> str:
    """A database as Prisma made it, with rows; returns its URL."""
    url = mariadb.create_database()
    load(url)
    return url
