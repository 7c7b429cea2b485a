"""One message that the database does not take: it ends no batch, no sync, no round of reconcile; it
is said, and healed by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.conftest import Stack
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.servers import QUICK

_ENV = {**QUICK, "INGEST_ATTEMPTS": "2", "RECONCILE_SECONDS": "2", "RECONCILE_GRACE_SECONDS": "0"}
_WORDS = "not on a Friday"  # a rule of the CRM


class Rule:
    """Refuses messages with a word in their text, as a trigger of the CRM may."""

    def __init__(self, company: Company, stack: Stack) -> None:
        self._company = company
        self._is_mysql = stack.kind == "production"

    async def make(self) -> None:
        says = (
            f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{_WORDS}'"
            if self._is_mysql
            else f"SELECT RAISE(ABORT, '{_WORDS}')"
        )
        when = "NEW.content LIKE '%unwanted%'"
        for event in ("INSERT", "UPDATE"):
            head = f"CREATE TRIGGER rule_{event} BEFORE {event} ON social_messages FOR EACH ROW "
            body = (
                f"IF {when} THEN {says}; END IF"
                if self._is_mysql
                else f"WHEN {when} BEGIN {says}; END"
            )
            await self._company.execute(head + body)

    async def drop(self) -> None:
        for event in ("INSERT", "UPDATE"):
            await self._company.execute(f"DROP TRIGGER rule_{event}")


@pytest.fixture
def omni(stack: Stack, tmp_path: Path) -> Iterator[Omni]:
    server = Omni(
        tmp_path, database_url=stack.database_url, broadcast_url=stack.broadcast_url, env=_ENV
    )
    server.prepare()
    try:
        server.start()
        yield server
        assert "Traceback" not in server.log
    finally:
        server.kill9()


@pytest.fixture
async def crm(omni: Omni, sim: ChatwootSim) -> AsyncIterator[Company]:
    async with Company(omni, chatwoot=sim) as company:
        yield company


async def _problems(company: Company) -> list[str]:
    return list((await company.get("/readyz"))["problems"])


async def _is_said(company: Company, *words: str) -> bool:
    problems = await _problems(company)
    assert any(
        one.startswith(f"integration {company.integration_id}: ") and all(w in one for w in words)
        for one in problems
    ), problems
    return True


async def _is_quiet(company: Company) -> bool:
    problems = [one for one in await _problems(company) if "cannot be stored" in one]
    assert not problems, problems
    return True


async def test_a_webhook_and_a_reply_that_cannot_be_stored(omni: Omni, stack: Stack) -> None:
    """Those beside it are shown; it is told in words, and stored by itself once the rule is gone. A
    reply is a clear 422.
    """
    async with Company(omni) as crm:
        rule, texts = Rule(crm, stack), ["first", "unwanted", "third"]
        await rule.make()
        async with crm.socket() as agent:
            for number, text in enumerate(texts, 1):
                await crm.post(crm.message(number, text))
            conversation = await crm.conversation_with(2)
            await eventually(lambda: _is_said(crm, "cannot be stored", _WORDS), limit=30)
            [dead] = await eventually(
                lambda: crm.rows(
                    "SELECT id, reason FROM omni_webhook_deliveries WHERE state = 'dead'"
                ),
                limit=30,
            )

            # now and then it is tried again, and is not dead in that moment
            async def is_listed() -> bool:
                listed = (
                    await asyncio.to_thread(crm.omni.cli, "deliveries", "list", "--state", "dead")
                ).stdout
                return str(dead[0]) in listed and _WORDS in listed

            await eventually(is_listed, limit=30)
            status = await _status(crm)
            assert _WORDS in status["integrations"][0]["text"]
            answer = await crm.http.post(
                f"/api/conversations/{conversation['id']}/reply",
                json={"content": "an unwanted reply"},
            )
            assert (answer.status_code, answer.json()["code"]) == (422, "row_refused")
            assert _WORDS in answer.json()["message"]
            wanted = await crm.http.post(
                f"/api/conversations/{conversation['id']}/reply", json={"content": "another"}
            )
            assert wanted.status_code == 201
            await rule.drop()
            await eventually(
                lambda: _has_texts(crm, conversation["id"], [*texts, "another"]), limit=40
            )
            await eventually(lambda: _is_quiet(crm), limit=20)
            assert agent.is_open
        states = await crm.rows("SELECT DISTINCT state FROM omni_webhook_deliveries")
        assert [tuple(row) for row in states] == [("done",)]


async def test_a_sync_and_reconcile_leave_out_what_cannot_be_stored(
    crm: Company, stack: Stack, sim: ChatwootSim
) -> None:
    """Everything else is fetched and repaired; what was left out is named, and fetched again once
    the rule is gone.
    """
    rule = Rule(crm, stack)
    await rule.make()
    await crm.hold_reconcile()
    for talk in range(3):
        for number in range(5):
            sim.customer_says(
                f"Customer {talk}",
                "unwanted" if (talk, number) == (1, 2) else f"text {talk} {number}",
            )
    answer = await crm.http.post("/api/chatwoot/sync", json={}, timeout=60)
    assert answer.status_code == 200
    [outcome] = answer.json()["integrations"]
    assert outcome["messages"]["created"] == 14
    assert [
        error for error in outcome["errors"] if "cannot be stored" in error and _WORDS in error
    ], outcome["errors"]
    await eventually(lambda: _is_said(crm, "cannot be stored", _WORDS))
    for name in ("Customer 0", "Customer 1", "Customer 2"):  # whose webhooks are lost
        sim.customer_says(name, f"later of {name}")
        sim.customer_says(name, f"unwanted too, of {name}")
    await crm.change_integration(lease_until=0, walked_at=int((time.time() - 60) * 1e6))
    await eventually(lambda: _count(crm, 17), limit=40)
    await rule.drop()
    await eventually(lambda: _count(crm, 21), limit=60)
    await eventually(lambda: _is_quiet(crm), limit=60)


@pytest.mark.parametrize(
    "narrow",
    [
        "content VARCHAR(20)",
        "content MEDIUMTEXT, ADD CONSTRAINT short_content CHECK (CHAR_LENGTH(content) < 20)",
    ],
    ids=["column", "check"],
)
async def test_a_column_that_is_widened_takes_what_it_refused(
    tmp_path: Path, mariadb: MariaDB, narrow: str
) -> None:
    """The database's words name the column or the rule."""
    server = Omni(tmp_path, database_url=mariadb.create_database(), env=_ENV)
    server.prepare()
    server.start()
    try:
        async with Company(server) as company:
            await company.execute(f"ALTER TABLE social_messages MODIFY {narrow}")
            await company.post(
                company.message(1, "a text that is longer than the column, or than the rule allows")
            )
            await company.post(company.message(2, "a short text"))
            await company.conversation_with(1)
            await eventually(lambda: _is_said(company, "content"), limit=30)
            widened = (
                "DROP CONSTRAINT short_content"
                if "CHECK" in narrow
                else "MODIFY content MEDIUMTEXT"
            )
            await company.execute(f"ALTER TABLE social_messages {widened}")
            await eventually(lambda: _count(company, 2), limit=40)
    finally:
        server.kill9()
    assert "Traceback" not in server.log


async def _has_texts(company: Company, conversation_id: int, texts: list[str]) -> bool:
    assert sorted(one["content"] for one in await company.thread(conversation_id)) == sorted(texts)
    return True


async def _count(company: Company, count: int) -> bool:
    rows = await company.rows(
        "SELECT COUNT(*), COUNT(DISTINCT m.omni_chatwoot_message_id) FROM social_messages m "
        "JOIN social_conversations c ON c.id = m.conversation_id WHERE c.company_id = :company",
        company=company.id,
    )
    assert tuple(rows[0]) == (count, count)
    return True


async def _status(company: Company) -> dict[str, list[dict[str, str]]]:
    async with company.omni.client(company.token("boss", role="admin")) as http:
        found: dict[str, list[dict[str, str]]] = (await http.get("/api/status")).json()
    return found
