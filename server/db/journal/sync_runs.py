"""Full syncs that were asked for on a page: which process runs them, how far they are. One row an
integration, the same for all processes.
"""

import msgspec

from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Row
from server.problems import Text, decode, encode

_REPLACE = {
    "sqlite": "INSERT INTO omni_sync_runs (integration_id, state, asked_at, updated_at) VALUES "
    "(:id, "
    "'asked', :now, :now) "
    "ON CONFLICT (integration_id) DO UPDATE SET state = 'asked', asked_at = :now, updated_at = "
    ":now, problem = NULL "
    "WHERE omni_sync_runs.state NOT IN ('asked', 'running', 'stopping')",
    "mysql": "INSERT INTO omni_sync_runs (integration_id, state, asked_at, updated_at) VALUES "
    "(:id, "
    "'asked', :now, :now) "
    # assignments are made from left to right: `state` changes last, so that all look at the one
    # before
    "ON DUPLICATE KEY UPDATE asked_at = IF(state IN ('asked', 'running', 'stopping'), asked_at, "
    ":now), "
    "updated_at = IF(state IN ('asked', 'running', 'stopping'), updated_at, :now), "
    "problem = IF(state IN ('asked', 'running', 'stopping'), problem, NULL), "
    "state = IF(state IN ('asked', 'running', 'stopping'), state, 'asked')",
}
_SELECT = (
    "SELECT integration_id, state, started_at, updated_at, total, conversations, messages, "
    "created, problem, walked_before FROM omni_sync_runs "
)
_MAX_PROBLEM_CHARACTERS = 255
_MAX_RUNS = 20


class SyncRun(msgspec.Struct, frozen=True):
    """Times in microseconds."""

    integration_id: int
    state: str
    started_us: int | None
    updated_us: int
    total: int | None
    conversations: int
    messages: int
    created: int
    problem: Text | None
    walked_before: int = 0


async def ask_for_run(connection: Connection, integration_id: int, now_us: int) -> None:
    """Ask for a full sync; one that is under way goes on."""
    await connection.execute(_REPLACE[connection.dialect], {"id": integration_id, "now": now_us})


async def ask_to_stop(connection: Connection, integration_id: int, now_us: int) -> None:
    """Ask whatever process runs this full sync to stop; one that has ended is left as it is."""
    await connection.execute(
        "UPDATE omni_sync_runs SET state = 'stopping' WHERE integration_id = :id AND state IN "
        "('asked', 'running')",
        {"id": integration_id},
    )


async def read_run(connection: Connection, integration_id: int) -> SyncRun | None:
    """Return the integration's last full sync, however it ended; None if there was none."""
    row = await connection.fetch_one(
        f"{_SELECT} WHERE integration_id = :id", {"id": integration_id}
    )
    return _run(row) if row else None


async def read_waiting(connection: Connection, stale_us: int, impossible_us: int) -> list[SyncRun]:
    """Return syncs that no process has begun, and those whose process has not been heard of since,
    or was heard of at a moment that is still to come: a clock was wrong.
    """
    rows = await connection.fetch_all(
        f"{_SELECT} WHERE state = 'asked' OR (state IN ('running', 'stopping') AND (updated_at < "
        ":stale OR updated_at > :impossible)) "
        "ORDER BY asked_at LIMIT :limit",
        {"stale": stale_us, "impossible": impossible_us, "limit": _MAX_RUNS},
    )
    return [_run(row) for row in rows]


async def claim_run(connection: Connection, run: SyncRun, now_us: int) -> bool:
    """Whether it is ours now: of two processes that see it at once, one. What somebody wanted
    stopped is not begun again.
    """
    state = "stopped" if run.state == "stopping" else "running"
    taken = await connection.execute(
        "UPDATE omni_sync_runs SET state = :state, started_at = :now, updated_at = :now "
        "WHERE integration_id = :id AND state = :before AND updated_at = :seen",
        {
            "state": state,
            "now": now_us,
            "id": run.integration_id,
            "before": run.state,
            "seen": run.updated_us,
        },
    )
    return taken == 1 and state == "running"


async def write_progress(connection: Connection, run: SyncRun) -> str:
    """How far it came; ends it where `run.state` is an end. Returns the state as it is now:
    `stopping` when somebody asked for it.
    """
    state = await connection.fetch_value(
        "SELECT state FROM omni_sync_runs WHERE integration_id = :id", {"id": run.integration_id}
    )
    asked = "stopping" if state is None else str(state)
    await connection.execute(
        "UPDATE omni_sync_runs SET state = :state, updated_at = :updated, total = :total, "
        "conversations = :conversations, "
        "walked_before = :before, messages = :messages, created = :created, problem = :problem "
        "WHERE integration_id = :id",
        {
            "state": asked if run.state == "running" else run.state,
            "updated": run.updated_us,
            "total": run.total,
            "conversations": run.conversations,
            "before": run.walked_before,
            "messages": run.messages,
            "created": run.created,
            "problem": encode(run.problem, _MAX_PROBLEM_CHARACTERS),
            "id": run.integration_id,
        },
    )
    return asked


def _run(row: Row) -> SyncRun:
    found = SyncRun(*row)
    if not isinstance(found.problem, str):
        return found
    return msgspec.structs.replace(found, problem=decode(found.problem))
