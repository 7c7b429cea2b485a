"""An integration whose Chatwoot is the simulated one, as unit tests of background services
need it.
"""

from server.core.times import wall_now_us
from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.lab.chatwoot_sim import ChatwootSim

COMPANY = 1


async def add_integration(database: Database, sim: ChatwootSim, inbox_id: int | None = None) -> int:
    """Returns its number. The inbox is the simulated one's own unless another is given."""
    values = {
        "company_id": COMPANY,
        "account_id": sim.account.id,
        "inbox_id": sim.inbox.id if inbox_id is None else inbox_id,
        "base_url": sim.base_url,
        "access_token": sim.admin.access_token,
        "webhook_secret": None,
        "unsigned": "accepted",
        "proved_us": 2,
    }
    return await database.transaction(
        lambda c: integration_rows.add_integration(c, Vault(""), values, wall_now_us())
    )
