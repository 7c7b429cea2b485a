"""Whether triggers can write their notes: tried by writing one into the same table by the same
statement.

The row that proves it stays until the next one. Without it the table was emptied or made anew, with
all that was noted in it.
"""

from server.core.state.crm_changes import INSERTED, PROVED, SERVER
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList
from server.db.schema.crm_triggers import ORDER_COMPARISON

_MAX_PROOFS = 1_000  # one for each process that proved at the same moment


async def has_proof(connection: Connection) -> bool:
    """For SQLite, whose triggers swallow no error: what was committed there was noted, as long as
    the table is the same.
    """
    return bool(await _read(connection))


async def prove(
    connection: Connection, now_us: int, *, has_refused: bool, longest_us: int | None = None
) -> str | None:
    """Write a note of our own in place of the one before, and order a comparison where notes of
    others may be missing.

    `has_refused`: some could not be written since the last proof. `longest_us`: nobody may have
    proved it for longer than that. Returns why a comparison was ordered, or None. Raises what the
    database raises.
    """
    if connection.dialect == "mysql":
        await _read_grants(connection)
    proofs = await _read(connection)
    reason = None
    if not proofs:
        reason = "the table of notes is new or was emptied"
    elif has_refused:
        reason = "notes could not be written for a while"
    elif longest_us is not None and now_us - max(at_us for _, at_us in proofs) > longest_us:
        reason = "nobody tried for a while whether notes can be written"
    if reason is not None:
        await connection.execute(ORDER_COMPARISON)
    # an INSERT, as an UPDATE in place is possible where a table can grow no more
    await connection.execute(
        "INSERT INTO omni_crm_changes (company_id, subject, act, row_id) VALUES (:place, "
        ":subject, :act, :now)",
        {"place": SERVER, "subject": PROVED, "act": INSERTED, "now": now_us},
    )
    old = IntList(proof_id for proof_id, _ in proofs)
    connection.pipeline("DELETE FROM omni_crm_changes WHERE id IN (:ids)", {"ids": old})
    return reason


async def _read_grants(connection: Connection) -> None:
    """A session keeps the rights that it had when it chose its database; a trigger's account has
    those of now.
    """
    name = await connection.fetch_value("SELECT DATABASE()")
    if name is not None:
        connection.pipeline("USE `{}`".format(str(name).replace("`", "``")))


async def _read(connection: Connection) -> list[tuple[int, int]]:
    """Ids and moments in microseconds."""
    rows = await connection.fetch_all(
        "SELECT id, row_id FROM omni_crm_changes WHERE company_id = :place AND subject = "
        ":subject ORDER BY id DESC LIMIT :limit",
        {"place": SERVER, "subject": PROVED, "limit": _MAX_PROOFS},
    )
    return [(proof_id, at_us) for proof_id, at_us in rows]
