"""Whether the server behind a connection still takes writes: asked now and then of each connection
that is used.

After a graceful switchover the old primary is read-only, and its connections live on: what is read
there grows old, and nobody who only reads is told. A look costs a round trip, so it is made at most
every few seconds, before a call.
"""

import time
from collections.abc import Callable

from server.db.engine.sql_connection import Connection

IS_READ_ONLY = "@@GLOBAL.read_only"
_CHECK_INTERVAL_SECONDS = 5.0


class PrimaryWatch:
    """Of one connection. `is_read_only` as it was seen last: such a connection is given up at the
    next look, as a new one may lead elsewhere. To an administrator's account `read_only` is no
    hindrance; then that is all that comes of it.
    """

    def __init__(
        self,
        *,
        is_asked: bool,
        is_read_only: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_asked = is_asked
        self._monotonic = monotonic
        self._checked_at = monotonic()
        self.is_read_only = is_read_only
        self.was_demoted = False

    @property
    def is_due(self) -> bool:
        """Whether the last check is long enough ago for another one."""
        return self._is_asked and self._monotonic() - self._checked_at > _CHECK_INTERVAL_SECONDS

    async def check(self, connection: Connection) -> None:
        """Raises what the connection raises."""
        found = await connection.fetch_value(f"SELECT {IS_READ_ONLY}")
        is_read_only = found is not None and says_read_only(found)
        self.was_demoted = is_read_only and not self.is_read_only
        self.is_read_only = is_read_only
        self._checked_at = self._monotonic()


def says_read_only(value: object) -> bool:
    """A number, or since MariaDB 12 a word."""
    return str(value).upper() not in ("0", "OFF")
