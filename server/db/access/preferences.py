"""What an agent has chosen for themselves: one column of `agents`, which no other process needs to
hear of.
"""

from server.core.state.preference_rules import Preferences, encode_preferences, parse_preferences
from server.db.engine.database import Connection


async def read_preferences(connection: Connection, agent_id: int) -> Preferences:
    """Return the agent's preferences; defaults where none are stored or the agent is gone."""
    stored = await connection.fetch_value(
        "SELECT preferences FROM omni_agents WHERE id = :id", {"id": agent_id}
    )
    return parse_preferences(stored)


async def write_preferences(
    connection: Connection, agent_id: int, preferences: Preferences
) -> None:
    """Replace the agent's stored preferences."""
    await connection.execute(
        "UPDATE omni_agents SET preferences = :preferences WHERE id = :id",
        {"preferences": encode_preferences(preferences), "id": agent_id},
    )
