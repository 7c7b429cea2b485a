"""Much history, in every disorder of time, is fetched whole; after a bulk act reconcile comes to
its end.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from server.core.state import edit_turns
from server.db.engine.database import Database
from server.incoming.reconcile import Reconcile
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.settings import Settings
from tests.faults.figures import sized, told
from tests.tools.history.world import (
    ACCOUNT,
    INBOX,
    World,
    delete_some,
    filled,
)
from tests.unit.databases import fresh_sqlite


@asynccontextmanager
async def _world(tmp_path: Path, conversations: int, messages: int) -> AsyncIterator[World]:
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    filled(sim, conversations, messages)
    async with (
        serving(sim),
        Database(fresh_sqlite(tmp_path / "omni.db")) as database,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        yield World(sim, database, http)


async def test_all_of_it_comes_and_nothing_is_asked_for_in_vain(tmp_path: Path) -> None:
    """The short form of `python -m tests.tools.history`: nothing missing, and the comparison
    afterwards says the same.
    """
    async with _world(tmp_path, 80, 2_500) as world:
        one = await world.add()
        figures, outcome = await world.measured("sync", one)
        assert (figures.missing, outcome.errors) == (0, [])
        assert figures.requests < 4 * 80
        figures, outcome = await world.measured("verify", one, writes=False)
        assert not outcome.comparison.is_incomplete
        assert outcome.comparison.messages_there == figures.there


async def test_nothing_is_missed_while_conversations_go(tmp_path: Path) -> None:
    """Deletions and messages during the walk: what was there all the while is here."""
    async with _world(tmp_path, 60, 300) as world:
        one, done = await world.add(), asyncio.Event()
        before = world.there()
        async with asyncio.TaskGroup() as group:
            group.create_task(delete_some(world.sim, done, 0.05))
            outcome = await world.sync.run(one)
            done.set()
        assert outcome.errors == []
        rows = await world.database.fetch_all(
            "SELECT omni_chatwoot_message_id FROM social_messages"
        )
        assert {number for _, number in before & world.there()} <= {int(row[0]) for row in rows}


@pytest.mark.timeout(sized(120, 1_200))
async def test_reconcile_ends_after_a_bulk_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All conversations are touched at once: `updated_within` fails, is not asked again and again,
    and a lost message is found.

    With OMNI_TEST_FULL=1 they are 3,000, and rows take Chatwoot as long as they were seen to take.
    """
    count = int(sized(60, 3_000))
    monkeypatch.setattr(edit_turns, "MAX_UNCHANGED", int(sized(20, 300)))
    async with _world(tmp_path, count, 2 * count) as world:
        one = await world.add()
        await world.sync.run(one)
        settings = Settings(reconcile_grace_seconds=0.0, reconcile_active_hours=0.0)
        reconcile = Reconcile(
            world.database, world.directory, world.ingester, world.client_of, settings
        )
        await world.database.transaction(
            lambda c: c.execute(
                "UPDATE integrations SET omni_reconciled_at = :at",
                {"at": int((time.time() - 60) * 1e6)},
            )
        )
        for talk in world.sim.conversations.values():
            world.sim.set_status(talk, "resolved", by=world.sim.admin)
        lost = next(iter(world.sim.conversations.values()))
        world.sim.customer_says(lost.contact, "lost", conversation=lost)
        world.sim.switches.set(row_seconds=0.02, rack_timeout_seconds=sized(0.05, 15.0))
        world.sim.questions.log.clear()
        began = time.monotonic()
        ended = await reconcile.reconcile(one)
        told(
            "bulk act",
            conversations=count,
            seconds=time.monotonic() - began,
            requests=len(world.sim.questions.log),
        )
        assert ended is not None, "the round came to its end"
        assert await world.missing() == 0
        rows = await world.database.fetch_all(
            "SELECT COUNT(*) FROM social_conversations WHERE omni_chatwoot_status = 'resolved'"
        )
        assert rows[0][0] >= count - 1
        asked = sum("updated_within" in question for question in world.sim.questions.log)
        began, before = time.monotonic(), len(world.sim.questions.log)
        assert await reconcile.reconcile(one) is not None
        told(
            "the round after it",
            seconds=time.monotonic() - began,
            requests=len(world.sim.questions.log) - before,
        )
        edited = list(world.sim.conversations.values())[-1].messages[0]
        world.sim.edit_message(edited, "edited behind our back")
        # each round reads some of those that have not changed
        for _ in range(count // edit_turns.MAX_UNCHANGED + 2):
            before = len(world.sim.questions.log)
            assert await reconcile.reconcile(one) is not None
            read = sum(
                "/messages" in question for question in list(world.sim.questions.log)[before:]
            )
            assert read <= edit_turns.MAX_UNCHANGED + 1
            rows = await world.database.fetch_all(
                "SELECT content FROM social_messages WHERE omni_chatwoot_message_id = :id",
                {"id": edited.id},
            )
            if rows[0][0] == "edited behind our back":
                break
        else:
            pytest.fail("the edit has not been found by the time that all have had their turn")
        assert sum("updated_within" in question for question in world.sim.questions.log) == asked, (
            "left in peace"
        )
        assert not world.sim.questions.most_at_once
