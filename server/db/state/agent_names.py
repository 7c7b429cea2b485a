"""The names of agents and teams beside the stored conversations and messages: finding those that
bear another, a batch at a time.
"""

from collections.abc import Iterable

from server.core.chatwoot.agent_names import CurrentNames, with_names
from server.core.state.entities import Message
from server.core.state.views import is_same_conversation_view
from server.db.engine.database import Connection
from server.db.schema.columns import CONVERSATIONS, MESSAGES, ids
from server.db.schema.crm_words import IS_AGENT

_MAX_MESSAGES = 500  # of a conversation, as of a contact's new name


async def find_other_names(
    connection: Connection,
    integration_id: int,
    names: CurrentNames,
    after: int,
    limit: int,
) -> tuple[list[int], int | None]:
    """Conversations of an integration with an assignee, a team or a sender of another name, of the
    next `limit` with an id above `after`; and the id to go on from, None at the end.
    """
    rows = await connection.fetch_all(
        f"SELECT {CONVERSATIONS.select[connection.dialect]} FROM social_conversations c WHERE "
        "c.omni_integration_id = :integration_id AND c.id > :after ORDER BY c.id LIMIT :limit",
        {"integration_id": integration_id, "after": after, "limit": limit},
    )
    read = [CONVERSATIONS.entity(row) for row in rows]
    found = {one.id for one in read if not is_same_conversation_view(one, with_names(one, names))}
    named, values = _is_called(names.senders)
    if read and values:
        found |= set(
            await connection.fetch_column(
                "SELECT DISTINCT m.conversation_id FROM social_messages m WHERE "
                f"m.conversation_id IN ({ids([one.id for one in read])}) AND {named}",
                values,
            )
        )
    return sorted(found), read[-1].id if len(read) == limit else None


async def read_of_agents(
    connection: Connection, conversation_id: int, former: Iterable[str]
) -> list[Message]:
    """The newest messages of a conversation whose senders have one of these names; not those that
    were written here.
    """
    named, values = _is_called(former)
    if not values:
        return []
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m WHERE "
        f"m.conversation_id = :id AND {named} ORDER BY m.created_at DESC, m.id DESC LIMIT :limit",
        {**values, "id": conversation_id, "limit": _MAX_MESSAGES},
    )
    return [MESSAGES.entity(row) for row in rows]


def _is_called(names: Iterable[str]) -> tuple[str, dict[str, object]]:
    values: dict[str, object] = {f"name{n}": name for n, name in enumerate(sorted(names))}
    places = ", ".join(f":{one}" for one in values)
    return (
        f"m.omni_agent_id IS NULL AND {IS_AGENT.format('m.sender_type')} AND "
        f"m.omni_sender_name IN ({places})",
        values,
    )
