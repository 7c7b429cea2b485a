"""`external_user_id` where a CRM has a unique key on it: a value that is in use is not given again.

The key of a conversation is its integration and Chatwoot's number. After a contact merge the
documented text changes, and two Chatwoots of one company give out the same numbers: then a row
keeps the text it has, or gets its integration's number behind it.
"""

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from server import log
from server.core.state.entities import Conversation
from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.db.engine.driver_adapters import IntList
from server.db.engine.sql_connection import Connection

_logger = log.get(__name__)
_MAX_WARNED = 10_000
_warned: set[tuple[int, str]] = set()

Place = tuple[int, str]


async def keep_apart(connection: Connection, working_set: WorkingSet) -> None:
    """Give entries whose new text another row of their company has one that is free, and their
    events with them.
    """
    if not connection.crm.has_unique_external_id:
        return
    changed = [entry for entry in working_set.entries.values() if _is_changed(entry)]
    if not changed:
        return
    taken = await _read_taken(connection, changed)
    for entry in changed:
        place = _place(entry)
        holder = taken.setdefault(place, id(entry) if entry.row.id == 0 else entry.row.id)
        if holder not in (entry.row.id, id(entry)):
            _keep(connection, working_set, entry)


def _is_changed(entry: TrackedConversation) -> bool:
    row = entry.row
    return bool(row.external_user_id) and (
        row.id == 0 or row.external_user_id != entry.external_before
    )


def _place(entry: TrackedConversation) -> Place:
    return entry.row.company_id, (entry.row.external_user_id or "").casefold()


async def _read_taken(
    connection: Connection, entries: list[TrackedConversation]
) -> dict[Place, int]:
    wanted = {entry.row.external_user_id for entry in entries}
    names: Mapping[str, object] = {
        f"x{place}": text for place, text in enumerate(sorted(filter(None, wanted)))
    }
    rows = await connection.fetch_all(
        "SELECT company_id, external_user_id, id FROM social_conversations WHERE platform = "
        "'chatwoot' "
        "AND company_id IN (:companies) AND external_user_id IN "
        f"({', '.join(f':{name}' for name in names)})",
        {"companies": IntList({entry.row.company_id for entry in entries}), **names},
    )
    return {
        (int(company_id), str(text).casefold()): int(number) for company_id, text, number in rows
    }


def _keep(connection: Connection, working_set: WorkingSet, entry: TrackedConversation) -> None:
    row = entry.row
    kept = entry.external_before if row.id else f"{row.external_user_id}_{row.integration_id}"
    connection.after_commit(partial(_warn, row, kept))
    entry.row = replace(row, external_user_id=kept)
    for pending in working_set.pending_events:
        if pending.entry is entry:
            pending.conversation = replace(pending.conversation, external_user_id=kept)


def _warn(row: Conversation, kept: str | None) -> None:
    """Once for each text."""
    place = (row.company_id, row.external_user_id or "")
    if place in _warned or len(_warned) >= _MAX_WARNED:
        return
    _warned.add(place)
    _logger.warning(
        "external_user_id is another conversation's, and the CRM's key allows it once: this "
        "one has its own",
        company_id=row.company_id,
        conversation_id=row.chatwoot_conversation_id,
        taken=row.external_user_id,
        kept=kept,
    )
