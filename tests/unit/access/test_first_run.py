"""The set-up address, beside somebody else who makes an administrator in the same moment."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from server.access.authentication import Access
from server.access.first_run import SetUp
from server.access.passwords import Passwords
from server.db.access import agent_rows
from server.db.access.audit_log import NO_ORIGIN
from server.db.engine.database import Database
from server.errors import Conflict
from server.settings import Settings
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite


class SlowPasswords(Passwords):
    """The hash of a password takes a while: here until it is let go."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def hash(self, password: str) -> str:
        self.has_begun.set()
        await self.may_end.wait()
        return await super().hash(password)


async def test_who_was_first_while_the_password_was_hashed_stays_the_only_one(
    tmp_path: Path,
) -> None:
    """The address was good when it was asked; by the time of writing there is an administrator, and
    the key makes no second one.
    """
    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        settings = Settings(jwt_secret="s" * 32, public_url="https://inbox.example.org")
        access = Access(database, settings, lambda _agent: None, lambda _keys: None)
        access.passwords = slow = SlowPasswords(database, access.limits)
        set_up = SetUp(database, access, "https://inbox.example.org/set-up")
        running = asyncio.get_running_loop().create_task(set_up.run())
        try:
            await eventually(lambda: set_up._is_shown)
            late = asyncio.get_running_loop().create_task(
                set_up.complete(
                    set_up._key,
                    42,
                    "Late",
                    "late@example.org",
                    "a long password of hers",
                    NO_ORIGIN,
                )
            )
            await slow.has_begun.wait()
            await database.transaction(
                lambda c: agent_rows.add_agent(
                    c, 7, "first@example.org", "First", "admin", "hash", database.clock.now_us()
                )
            )
            slow.may_end.set()
            with pytest.raises(Conflict):
                await late
        finally:
            running.cancel()
        names = await database.fetch_all("SELECT name FROM omni_agents")
        assert [row[0] for row in names] == ["First"]
