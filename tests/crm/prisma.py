"""A CRM's database as Prisma makes it, and what its values are."""

from pathlib import Path
from typing import Any

from tests import crm

_HERE = Path(__file__).parent
_DOCUMENTED = {
    **crm.DOCUMENTED,
    "social_conversations": crm.DOCUMENTED["social_conversations"].partition(", crm_owner")[0],
}


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
