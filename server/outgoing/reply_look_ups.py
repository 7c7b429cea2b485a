"""Whether a reply whose outcome is unknown is at Chatwoot, and when it can no longer come there:
only then may it be sent again.

Chatwoot gives a request up some seconds after it has *begun* with it (rack-timeout), and one that
stood still begins late. So the certain time counts from its first answer after the attempt, not
from the attempt; it is asked again during that time and at its end. Reads may be quick while writes
still crawl out of a backlog. What crawls out shows: as long as replies appear there that were
missing at that first answer, the backlog is being worked off, and the certain time begins anew for
all that are still missing.
"""

from server.chatwoot import ChatwootClient, message_windows
from server.core.chatwoot.message_payloads import CLIENT_ID_KEY
from server.core.state.delivery import is_part
from server.core.state.entities import Json, Message
from server.core.times import SECOND
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.state import outbox
from server.integrations.directory import Directory

# an attempt that Chatwoot answered longer ago than this has no say any more
_LANDINGS_SECONDS = 3_600.0


class LookUps:
    """Searches Chatwoot for replies of unknown outcome."""

    def __init__(self, database: Database, directory: Directory, certain_seconds: float) -> None:
        self._database = database
        self._directory = directory
        self._certain_us = int(certain_seconds * SECOND)

    async def find(self, client: ChatwootClient, display_id: int, message: Message) -> Json | None:
        """The message with the reply's marker as Chatwoot has it, if it is there: of several that
        it made, the one with the text. Raises ChatwootError, DatabaseUnavailable.
        """
        part: Json | None = None
        floor = await self._database.read(lambda c: outbox.read_floor(c, message))
        async for rows in message_windows(client, display_id, low=(floor or 0) + 1):
            for item in rows:
                attributes = item.get("content_attributes")
                if (
                    isinstance(attributes, dict)
                    and attributes.get(CLIENT_ID_KEY) == message.client_id
                    and isinstance(item.get("id"), int)
                ):
                    if not is_part(message, item.get("content")):
                        return item
                    part = part or item
        return part

    async def read_stored(
        self, client: ChatwootClient, display_id: int, number: int
    ) -> Json | None:
        """The message with this number of Chatwoot's as it is there now; None where it is gone.
        Raises ChatwootError.
        """
        rows = await client.list_messages(display_id, number, number + 1)
        return next((row for row in rows if row.get("id") == number), None)

    async def wait_us(self, integration: Integration, answered_us: int) -> int:
        """How long it must be waited before Chatwoot is asked again about a reply it did not show;
        0: it will not come any more, if it has been asked since. `answered_us`: its first answer
        after the attempt.
        """
        address = integration.base_url
        of_one = [
            one.id for one in self._directory.integrations.values() if one.base_url == address
        ] or [integration.id]

        async def read(connection: Connection) -> tuple[int, int | None]:
            now_us = await self._database.clock.read(connection)
            since_us = now_us - int(_LANDINGS_SECONDS * SECOND)
            return now_us, await outbox.read_last_landing(connection, of_one, since_us, now_us)

        now_us, landed_us = await self._database.read(read)
        quiet_us = max(min(answered_us, now_us), landed_us or 0)
        left_us = quiet_us + self._certain_us - now_us
        return min(left_us, self._certain_us // 2) if left_us > 0 else 0
