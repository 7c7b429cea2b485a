"""An integration whose row another program has changed: known at once, and where its token or its
address is another one, proved anew.

What Chatwoot showed to the token before says nothing of the new one, nor of other numbers:
deliveries come for it again once it is proved.
"""

from collections.abc import Sequence

from server import log
from server.core.state.crm_changes import MOVED, RowChange
from server.db.access import audit_log, integration_rows
from server.db.access.audit_log import server_actor
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import Unavailable
from server.integrations.directory import Directory

_ACTOR = "crm"
_logger = log.get(__name__)


class CrmIntegrations:
    """Takes back the proof of integrations whose token or address was changed in the database."""

    def __init__(self, database: Database, vault: Vault, directory: Directory) -> None:
        self._database = database
        self._vault = vault
        self._directory = directory

    async def on_changed(self, changes: Sequence[RowChange]) -> None:
        """Handles changed rows, before their notes are deleted. Raises DatabaseUnavailable."""
        for integration_id in sorted({one.row_id for one in changes if one.act == MOVED}):
            # awaited at once
            if await self._database.transaction(lambda c: self._unprove(c, integration_id)):  # noqa: B023
                _logger.warning(
                    "integration changed by another program: it is proved anew",
                    integration_id=integration_id,
                )
        try:
            await self._directory.refresh()
        except Unavailable:
            _logger.info(
                "integrations not read again", integrations=sorted({one.row_id for one in changes})
            )

    async def _unprove(self, connection: Connection, integration_id: int) -> bool:
        """Whether it was proved until now."""
        overview = await integration_rows.read_overview(
            connection, self._vault, integration_id, None
        )
        if overview is None or not overview.integration.is_proved:
            return False
        await integration_rows.write_integration(
            connection, self._vault, integration_id, {"proved_at": None}
        )
        actor = server_actor(overview.integration.company_id, _ACTOR)
        await audit_log.append_act(
            connection, actor, "integration.unproved", f"integration {integration_id}"
        )
        return True
