"""That a Chatwoot has given out numbers again: kept with its integration, so that every process
says so.
"""

from collections.abc import Iterable
from functools import partial

from server import log
from server.db.engine.database import Connection

_logger = log.get(__name__)


async def record_reuse(
    connection: Connection, reissued: Iterable[tuple[int, str, int]], now_us: int
) -> None:
    """`reissued`: (integration, conversation or message, Chatwoot's number)."""
    for integration_id, kind, number in reissued:
        connection.after_commit(
            partial(
                _logger.error,
                "number given out again",
                integration_id=integration_id,
                kind=kind,
                number=number,
            )
        )
        connection.pipeline(
            "UPDATE integrations SET omni_reissued_at = :now WHERE id = :id",
            {"now": now_us, "id": integration_id},
        )
