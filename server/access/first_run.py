"""The first run: while the database has neither people nor integrations, one process shows an
address with a key, by which the first administrator is made.

The key lives in the memory of the process that shows it; the database has its hash, so that every
process takes it, and that of several processes one alone shows an address. It is good once, and
ends with its process.
"""

import asyncio
import contextlib
import hashlib
import secrets
from types import TracebackType
from typing import Self

from rich.console import Console

from server import log
from server.access.authentication import Access
from server.access.people_administration import checked_email, checked_name
from server.core.identifiers import MAX_SAFE_INTEGER
from server.core.times import SECOND
from server.db.access import agent_rows, audit_log, setup_keys
from server.db.access.audit_log import Actor, Origin
from server.db.engine.database import Connection, Database
from server.errors import (
    BadRequest,
    Conflict,
    DatabaseUnavailable,
    DuplicateRow,
    Forbidden,
)
from server.problems import Problem

_EVERY_SECONDS = 15.0
_RETRY_SECONDS = 1.0  # while the database or its tables are not there yet
_SILENT_US = 45 * SECOND  # a process not heard for so long is gone, and its key with it
_logger = log.get(__name__)
_console = Console(stderr=True, soft_wrap=True, highlight=False)


class SetUp:
    """`address` is the page's, at which the key is used. `is_needed` is true once it is known that
    the server has neither people nor integrations.
    """

    def __init__(self, database: Database, access: Access, address: str) -> None:
        self._database = database
        self._access = access
        self.address = address
        self._key = secrets.token_urlsafe(32)
        self._is_shown = False
        self.is_needed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Our key ends with us; the next process need not wait until we are missed."""
        if self._is_shown:
            with contextlib.suppress(DatabaseUnavailable):
                await self._database.transaction(
                    lambda c: setup_keys.drop_key(c, _hash(self._key)), attempts=1
                )

    async def run(self) -> None:
        """Shows the address, for as long as the server is not in use and no other process shows its
        own.
        """
        while True:
            seconds = _EVERY_SECONDS
            try:
                self.is_needed, is_kept = await self._database.transaction(self._keep)
            except DuplicateRow:  # another process shows its own
                self.is_needed, is_kept = True, False
            except DatabaseUnavailable:
                seconds, is_kept = _RETRY_SECONDS, self._is_shown
            else:
                if not self.is_needed:
                    await asyncio.Event().wait()  # a service that ends would be started again
            if is_kept and not self._is_shown:
                self._show()
            self._is_shown = is_kept
            await asyncio.sleep(seconds)

    async def check(self, key: str, address: str) -> None:
        """Checks a key. Raises Conflict when the server is in use, Forbidden for a key that is not
        the one that counts, TooManyRequests.
        """
        if key:
            self._access.limits.check(address)
        since_us = self._database.clock.now_us() - _SILENT_US

        async def read(connection: Connection) -> tuple[bool, bool]:
            return await setup_keys.is_in_use(connection), await setup_keys.is_key(
                connection, _hash(key), since_us
            )

        is_over, is_right = await self._database.read(read)
        self.is_needed = not is_over
        if is_over:
            raise _over()
        if not is_right:
            raise _wrong()

    async def complete(
        self, key: str, company_id: int, name: str, email: str, password: str, origin: Origin
    ) -> str:
        """Makes the first administrator. Returns a new session's cookie.

        Raises Conflict, Forbidden, BadRequest, DuplicateRow, TooManyRequests.
        """
        await self.check(key, origin.address)
        if not 0 < company_id <= MAX_SAFE_INTEGER:
            raise BadRequest(Problem.of("set_up.company_number"))
        email, name = checked_email(email), checked_name(name)
        hashed, now_us = await self._access.passwords.hash(password), self._database.clock.now_us()

        async def write(connection: Connection) -> int:
            if await setup_keys.is_in_use(connection):
                raise _over()
            if not await setup_keys.drop_key(connection, _hash(key)):
                raise _wrong()
            agent_id = await agent_rows.add_agent(
                connection, company_id, email, name, "admin", hashed, now_us
            )
            actor = Actor(company_id, email, agent_id, origin)
            await audit_log.append_act(
                connection, actor, "agent.set-up", f"agent {agent_id}", role="admin"
            )
            return agent_id

        agent_id = await self._database.transaction(write)
        self.is_needed = False
        _logger.info("the first administrator was made", company_id=company_id, agent_id=agent_id)
        cookie, _ = await self._access.open_session(agent_id, origin)
        return cookie

    async def _keep(self, connection: Connection) -> tuple[bool, bool]:
        """Whether the page is needed, and our key is the one that counts. Raises DuplicateRow."""
        if await setup_keys.is_in_use(connection):
            return False, False
        return True, await setup_keys.keep_key(
            connection, _hash(self._key), self._database.clock.now_us(), _SILENT_US
        )

    def _show(self) -> None:
        link = f"{self.address}?key={self._key}"
        _logger.warning(
            "there is no administrator yet; open this address to become the first one", address=link
        )
        _console.print(
            "\nThere is no administrator yet. Open this address to become the first one:\n"
        )
        _console.print(f"    {link}\n", markup=False)
        _console.print("It works once, and only while this process runs.\n")


def _over() -> Conflict:
    return Conflict(Problem.of("set_up.over"))


def _wrong() -> Forbidden:
    return Forbidden(Problem.of("set_up.wrong_key"))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
