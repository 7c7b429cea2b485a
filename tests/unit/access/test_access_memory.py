"""What a process remembers of access: changes in the database are noticed, each once."""

from collections.abc import Collection
from pathlib import Path

import pytest

from server.access import access_memory
from server.access.authentication import Access
from server.core.times import wall_now_us
from server.db.access import agent_rows, agent_sessions
from server.db.access.agent_rows import Agent
from server.db.engine.database import Database
from server.errors import (
    DatabaseUnavailable,
    Unauthenticated,
)
from server.settings import Settings
from tests.unit.access.agent_tokens import SECRET, access_of, agent_token
from tests.unit.databases import fresh_sqlite


async def test_sessions_that_have_ended_are_told_together(tmp_path: Path) -> None:
    """Whoever is told walks through all sockets of the process: once for a look, however many have
    signed out since.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        ended: list[Collection[str]] = []
        access = access_of(database, ended)
        agent = (await access.authenticate_token(agent_token())).agent
        keys = {f"{number}" * 64 for number in range(5)}
        for key in keys:
            await database.transaction(
                lambda c, key=key: agent_sessions.add_session(c, key, agent.id, 1, 2)  # type: ignore[misc]
            )
            await database.transaction(lambda c, key=key: agent_sessions.revoke_session(c, key, 2))  # type: ignore[misc]
        await access.refresh_changed()
        assert [set(told) for told in ended] == [keys]


async def test_whose_row_changed_is_told_of_once(tmp_path: Path) -> None:
    """So that open sockets are judged by what it says now."""
    told: list[str] = []
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        settings = Settings(jwt_secret=SECRET, public_url="https://inbox.example.org")
        access = Access(
            database, settings, lambda agent: told.append(agent.role), lambda _keys: None
        )
        agent = (await access.authenticate_token(agent_token(role="admin"))).agent
        await access.refresh_changed()
        for n, role in enumerate(("admin", "agent", "agent", "admin"), start=1):
            change = (
                "UPDATE omni_agents SET role = :role, updated_at = updated_at + :n WHERE id = :id"
            )
            # awaited at once
            await database.transaction(
                lambda c: c.execute(change, {"role": role, "n": n, "id": agent.id})  # noqa: B023
            )
            await access.refresh_changed()
        assert told == ["agent", "admin"]


async def test_no_number_of_changes_hides_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand agents who are listed in one minute, and one who is disabled in it."""
    monkeypatch.setattr(access_memory, "_PAGE", 7)
    told: list[Agent] = []
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = Access(database, Settings(jwt_secret=SECRET), told.append, lambda _keys: None)
        agent = (await access.authenticate_token(agent_token())).agent
        await access.refresh_changed()
        now_us = wall_now_us()
        for number in range(30):
            # all in one microsecond, after the look
            await database.transaction(
                lambda c: agent_rows.get_or_create_agent(
                    c,
                    2,
                    f"n{number}",  # noqa: B023
                    "N",
                    "agent",
                    now_us + 1,
                )
            )
        await database.transaction(
            lambda c: agent_rows.update_access(
                c, agent.id, is_active=False, valid_after_us=0, now_us=now_us
            )
        )
        await access.refresh_changed()
        assert agent.id in {one.id for one in told if not one.is_active}
        with pytest.raises(Unauthenticated):
            await access.authenticate_token(agent_token())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("DELETE FROM omni_agents WHERE id = :id", "gone"),
        ("UPDATE omni_agents SET is_active = 0 WHERE id = :id", "gone"),
        ("UPDATE omni_agents SET valid_after = 4000000000000000 WHERE id = :id", "ended"),
        ("UPDATE omni_agents SET role = 'agent' WHERE id = :id", "agent"),
    ],
)
async def test_what_is_changed_by_hand_is_noticed(tmp_path: Path, change: str, status: str) -> None:
    """By a console, a script of the CRM, or as a company is removed: nobody sets `updated_at`
    then.
    """
    told: list[Agent] = []
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        connected: list[int] = []
        access = Access(
            database,
            Settings(jwt_secret=SECRET),
            told.append,
            lambda _keys: None,
            connected=lambda: connected,
        )
        agent = (await access.authenticate_token(agent_token(role="admin"))).agent
        connected.append(agent.id)
        await access.refresh_changed()
        told.clear()
        await database.transaction(lambda c: c.execute(change, {"id": agent.id}))
        await access.refresh_changed()
        assert [(one.id, one.is_active, one.valid_after_us > 0) for one in told] == [
            (agent.id, status != "gone", status == "ended")
        ]
        assert status == "gone" or [one.role for one in told] == [
            "agent" if status == "agent" else "admin"
        ]
        told.clear()
        await access.refresh_changed()
        assert told == [] or status == "gone"


async def test_a_database_that_went_back_is_read_anew(tmp_path: Path) -> None:
    """An older backup knows nothing of what was changed since: what it says of each agent
    counts.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = Access(
            database, Settings(jwt_secret=SECRET), lambda _agent: None, lambda _keys: None
        )
        agent = (await access.authenticate_token(agent_token())).agent
        far_us = wall_now_us() + 3_600_000_000  # that machine's clock was an hour ahead
        await database.transaction(
            lambda c: agent_rows.update_agent(c, agent.id, {"name": "Tomas"}, far_us)
        )
        await access.refresh_changed()
        await database.transaction(
            lambda c: c.execute(
                "UPDATE omni_agents SET updated_at = created_at, name = 'As it was'", {}
            )
        )
        await access.refresh_changed()
        assert (await access.authenticate_token(agent_token())).agent.name == "As it was"


async def test_a_role_is_taken_away_in_either_place(tmp_path: Path) -> None:
    """The CRM's word counts, until an administrator here has changed the role: from then on the
    lower of the two.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db")) as database:
        access = Access(
            database, Settings(jwt_secret=SECRET), lambda _agent: None, lambda _keys: None
        )

        async def roles() -> list[str]:
            return [
                (await access.authenticate_token(agent_token(role=role))).agent.role
                for role in ("admin", "agent", None)
            ]

        agent = (await access.authenticate_token(agent_token(role="agent"))).agent
        assert await roles() == ["admin", "agent", "agent"]
        for role, expected in (
            ("agent", ["agent", "agent", "agent"]),
            ("admin", ["admin", "agent", "admin"]),
        ):
            values = {"role": role}
            await database.transaction(lambda c: agent_rows.update_agent(c, agent.id, values, 1))  # noqa: B023
            await access.refresh_changed()
            assert await roles() == expected


async def test_without_the_database_memory_counts_for_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is read, and no event leaves, until it has been asked again; what shows how the
    server does goes on.
    """
    async with Database(fresh_sqlite(tmp_path / "auth.db"), wait_seconds=0.2) as database:
        access = Access(
            database, Settings(jwt_secret=SECRET), lambda _agent: None, lambda _keys: None
        )
        token = agent_token()
        await access.authenticate_token(token)
        assert access.is_current
        assert access.cached_principal(f"Bearer {token}") is not None
        later = access._freshness.read_clocks()[0] + 5
        monkeypatch.setattr(access._freshness, "_steady", lambda: later)
        assert not access.is_current
        assert access.cached_principal(f"Bearer {token}") is None
        (tmp_path / "auth.db").rename(tmp_path / "elsewhere.db")
        await database.__aexit__()
        with pytest.raises(DatabaseUnavailable):
            await access.authenticate_token(token)
        headers = {"authorization": f"Bearer {token}"}
        principal = await access.authenticate(headers, "GET", "203.0.113.9", is_for_operation=True)
        assert principal.agent.subject == "17"
