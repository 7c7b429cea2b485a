"""The database answers, and says no: what is written waits or is refused in words, and all heals by
itself once the cause is gone.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from server.db import migrations
from tests.faults.refusing_database import CASES, MAX_USER_CONNECTIONS, Case, Place
from tests.kit.company import Company
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import PLAIN_USER, MariaDB, has_mariadb
from tests.kit.omni import Omni
from tests.kit.servers import QUICK
from tests.kit.socket_client import AgentSocket

pytestmark = pytest.mark.xdist_group("refusals")  # they share a server whose settings they change
_HEALED_SECONDS = 10.0  # promised
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, shared_mariadb: MariaDB) -> Iterator[Place]:
    assert has_mariadb()
    # begun with 0, it cannot be changed
    mariadb = MariaDB(options={"max-user-connections": str(MAX_USER_CONNECTIONS)})
    try:
        mariadb.start()
        name = mariadb.create_database().rsplit("/", 1)[1]
        migrations.upgrade(mariadb.url(name))
        omni = Omni(
            tmp_path_factory.mktemp("refusals"),
            database_url=mariadb.plain_url(name),
            env={**QUICK, "DATABASE_WAIT_SECONDS": "2"},
        )
        try:
            omni.start()
            yield Place(mariadb, omni, name)
        finally:
            omni.kill9()
    finally:
        mariadb.close()


@dataclass
class Probes:
    """Somebody who asks all the time, as agents do; what they were answered."""

    company: Company
    conversation_id: int
    answers: list[tuple[str, httpx.Response]]
    webhooks: int = 0

    async def run(self, stopped: asyncio.Event) -> None:
        path = f"/api/conversations/{self.conversation_id}"
        while not stopped.is_set():
            number = next(_numbers)
            for name, answer in (
                (
                    "list",
                    await self.company.http.get(
                        "/api/conversations", headers={"If-None-Match": f'"{number}"'}
                    ),
                ),
                ("thread", await self.company.http.get(f"{path}/messages")),
                (
                    "reply",
                    await self.company.http.post(
                        f"{path}/reply", json={"content": f"reply {number}"}
                    ),
                ),
            ):
                self.answers.append((name, answer))
            await self.company.post(self.company.message(10_000 + number))
            self.webhooks += 1
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def probing(probes: Probes) -> AsyncIterator[None]:
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(probes.run(stopped))
        try:
            yield
        finally:
            stopped.set()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_database_says_no(place: Place, case: Case) -> None:
    """503 with a time to come again and never 500; `/readyz` has the server's words; sockets stay;
    within 10 s all is done.
    """
    log_before = len(place.omni.log)
    async with Company(place.omni) as company:
        await company.post(company.message(1))
        conversation_id = (await company.conversation_with(1))["id"]
        probes = Probes(company, conversation_id, [])
        async with company.socket() as agent:
            async with probing(probes):
                await asyncio.to_thread(case.break_it, place)
                try:
                    await eventually(lambda: _is_said(place, case.words), limit=20)
                    await eventually(
                        lambda: any(
                            name == "reply" and one.status_code == 503
                            for name, one in probes.answers
                        )
                    )
                finally:
                    await asyncio.to_thread(case.mend_it, place)
                mended_at, known = time.monotonic(), len(probes.answers)
                await eventually(lambda: _is_accepted(probes, known))
                healed_seconds = time.monotonic() - mended_at
            await eventually(
                lambda: _is_all_there(company, agent, conversation_id, probes), limit=30
            )
            assert agent.is_open
            if case.is_watched:
                await eventually(lambda: _is_quiet(place), limit=20)
    blamed = await asyncio.to_thread(
        place.sql,
        "SELECT id, state, reason FROM omni_webhook_deliveries WHERE attempts > 0 OR state <> "
        "'done'",
    )
    assert not blamed, "what was received is not at fault"
    _check(probes, place.omni.log[log_before:])
    assert healed_seconds < scaled(_HEALED_SECONDS)


async def _is_said(place: Place, words: tuple[str, ...]) -> bool:
    problems = await _problems(place)
    assert any(all(word in problem for word in words) for problem in problems), problems
    return True


async def _is_quiet(place: Place) -> bool:
    """But for the integrations, whose Chatwoot there is none."""
    problems = [one for one in await _problems(place) if "Chatwoot cannot be asked" not in one]
    assert not problems, problems
    return True


async def _problems(place: Place) -> list[str]:
    async with place.omni.client() as http:
        found: list[str] = (await http.get("/readyz")).json()["problems"]
    return found


async def _is_accepted(probes: Probes, known: int) -> bool:
    statuses = [answer.status_code for name, answer in probes.answers[known:] if name == "reply"]
    assert statuses[-1:] == [201], statuses
    return True


async def _is_all_there(
    company: Company, agent: AgentSocket, conversation_id: int, probes: Probes
) -> bool:
    """Every webhook and every reply that was accepted, in the store and at the agent, once."""
    messages = await company.thread(conversation_id)
    while len(page := await _older(company, conversation_id, messages[0]["id"])):
        messages = page + messages
    # 200: its COMMIT was made and the answer to that was lost, so that it was met as known when it
    # was tried again
    accepted = sum(
        answer.status_code in (200, 201) for name, answer in probes.answers if name == "reply"
    )
    customers = [one for one in messages if one["senderType"] == "customer"]
    replies = [one for one in messages if one["senderType"] == "agent"]
    # a connection that was cut at its COMMIT: one such reply is there or not, and its 503 said so
    unknown = sum(
        answer.status_code == 503 and answer.json()["code"] == "outcome_unknown"
        for _, answer in probes.answers
    )
    assert len(customers) == 1 + probes.webhooks
    assert accepted <= len(replies) <= accepted + unknown
    shown = {event.data["message"]["id"] for event in agent.events if event.data.get("message")}
    assert len(shown) >= probes.webhooks + accepted, len(shown)
    return True


async def _older(company: Company, conversation_id: int, before: int) -> list[dict[str, object]]:
    path = f"/api/conversations/{conversation_id}/messages"
    found: list[dict[str, object]] = (await company.get(path, params={"before": str(before)}))[
        "messages"
    ]
    return found


def _check(probes: Probes, log: str) -> None:
    for name, answer in probes.answers:
        assert answer.status_code in (200, 201, 304, 503), (
            f"{name}: {answer.status_code} {answer.text}"
        )
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["message"]
            assert "127.0.0.1" not in answer.text, "the server's words are for operators"
            assert PLAIN_USER not in answer.text
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
