"""What agents have chosen for themselves, as the API and the pages read and change it."""

from server.core.state.preference_rules import Preferences, change_preferences
from server.db.access.preferences import read_preferences, write_preferences
from server.db.engine.database import Connection, Database


class AgentPreferences:
    """Reads and changes the preferences of one agent at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, agent_id: int) -> Preferences:
        """Return all of an agent's preferences, the defaults among them. Raises
        DatabaseUnavailable.
        """
        return await self._database.read(lambda c: read_preferences(c, agent_id))

    async def change(self, agent_id: int, given: object) -> Preferences:
        """Store the preferences that are `given`, and return all. Raises BadRequest for what cannot
        be chosen, and DatabaseUnavailable.
        """

        async def write(connection: Connection) -> Preferences:
            after = change_preferences(await read_preferences(connection, agent_id), given)
            await write_preferences(connection, agent_id, after)
            return after

        return await self._database.transaction(write)
