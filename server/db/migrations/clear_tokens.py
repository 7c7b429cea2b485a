"""Access tokens that `db upgrade` will encrypt: the one value that it writes into a column the CRM
may read as well.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, inspect

from server.db.access.vault import Vault


def step(connection: Connection, vault: Vault) -> Iterator[str]:
    """One sentence, or none where every token is sealed with the newest key already. The three
    tables have passed `fit`.
    """
    if not inspect(connection).has_table("integrations"):
        return
    rows = connection.exec_driver_sql(
        "SELECT access_token FROM integrations WHERE provider = 'chatwoot'"
    ).all()
    count = sum(
        not vault.is_current(stored) and vault.try_open(stored) is not None for (stored,) in rows
    )
    if count:
        yield (
            f"encrypt integrations.access_token of {count:,} Chatwoot "
            f"{'row' if count == 1 else 'rows'} with SECRET_KEY, "
            "after which the CRM cannot read it; no other value of the CRM's in these rows changes"
        )
