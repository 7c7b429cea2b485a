"""Records requests for what is another company's. They are answered as if it did not exist; the
asking company's audit log and the server's log have a line. Checked only after an answer was "not
found", so that ordinary requests pay nothing.
"""

import itertools
import time

from server import log
from server.access.authentication import Principal, actor_of
from server.core.bounded_dict import BoundedDict
from server.core.identifiers import parse_digits
from server.core.times import SECOND, wall_now_us
from server.db.access import audit_log
from server.db.access.audit_log import NO_ORIGIN, Actor
from server.db.engine.database import Connection, Database
from server.errors import DatabaseUnavailable

_logger = log.get(__name__)
_AGAIN_SECONDS = 3_600.0
_MAX_REMEMBERED = 20_000
# as addresses of pages name them
_KINDS_ON_PAGES = {"c": "conversations"}


class ForeignAccessLog:
    """Writes one line an hour for each agent and thing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # agent and thing -> when, monotonic seconds
        self._recorded_at: BoundedDict[tuple[int, str, int], float] = BoundedDict(_MAX_REMEMBERED)

    async def record_request(self, principal: Principal, method: str, path: str) -> None:
        """Records a request that was answered "not found", where its address names something of
        another company. Never raises.
        """
        named = _named(path)
        if named is None:
            return
        await self._record(actor_of(principal), method, *named)

    async def record_frame(
        self, company_id: int, agent_id: int, agent_name: str, conversation_id: int
    ) -> None:
        """Records a frame that names a conversation of another company. Never raises."""
        await self._record(
            Actor(company_id, agent_name, agent_id, NO_ORIGIN),
            "socket",
            "conversations",
            conversation_id,
        )

    async def _record(self, actor: Actor, method: str, kind: str, number: int) -> None:
        """Writes once an hour for each agent and thing: a page that asks every five seconds must
        not fill the log, nor lock rows for it.
        """
        key, now = (actor.agent_id or 0, kind, number), time.monotonic()
        if now - self._recorded_at.get(key, float("-inf")) < _AGAIN_SECONDS:
            return
        self._recorded_at[key] = now
        self._recorded_at.move_to_end(key)

        async def write(connection: Connection) -> bool:
            owner = await audit_log.read_owner(connection, kind, number)
            if owner is None or owner == actor.company_id:
                return False
            since_us = wall_now_us() - int(_AGAIN_SECONDS * SECOND)
            if await audit_log.has_foreign_attempt(
                connection, actor.agent_id or 0, kind, number, since_us
            ):
                return False  # another process has written it
            await audit_log.append_act(
                connection, actor, audit_log.FOREIGN_REFUSED, f"{method} {kind} {number}"
            )
            return True

        try:
            if await self._database.transaction(write, attempts=1):
                about = {
                    "company_id": actor.company_id,
                    "agent_id": actor.agent_id,
                    "kind": kind,
                    "number": number,
                }
                _logger.warning("refused what is another company's", **about)
        except DatabaseUnavailable:
            self._recorded_at.pop(key, None)  # the next attempt is noted


def _named(path: str) -> tuple[str, int] | None:
    """(kind, number) of the last thing of ours that an address names: `/api/conversations/17/read`,
    `/admin/people/3/disable`, `/inbox/c/17`.
    """
    parts = path.strip("/").split("/")
    for name, number in reversed(list(itertools.pairwise(parts))):
        kind = _KINDS_ON_PAGES.get(name, name)
        if kind in audit_log.OWNERS and (row_id := parse_digits(number)) is not None:
            return kind, row_id
    return None
