"""Life in a database that Prisma made: messages come and go, the CRM's rows stay as they are."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.errors import DuplicateRow
from server.lab.chatwoot_sim import ChatwootSim
from tests import crm
from tests.crm import prisma
from tests.crm.prisma import TAKEN
from tests.integration.integration_admin import admin, registered
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.servers import QUICK


@pytest.fixture
def url(mariadb: MariaDB) -> str:
    """The database as Prisma made it, with rows."""
    return prisma.created(mariadb)


@pytest.fixture
async def shop(url: str, sim: ChatwootSim, tmp_path: Path) -> AsyncIterator[Company]:
    """A company on a server of its own, in a CRM that has everything of the list at once."""
    for statement in TAKEN:
        crm.execute(url, statement)
    omni = Omni(tmp_path, database_url=url, env=QUICK)
    company = Company(omni, chatwoot=sim)
    crm.execute(url, f"INSERT INTO companies (id, name) VALUES ({company.id}, 'Eastwind')")
    omni.prepare()
    omni.start()
    try:
        async with company:
            yield company
    finally:
        omni.kill9()


async def test_messages_come_and_go_in_such_a_database(
    shop: Company, sim: ChatwootSim, url: str
) -> None:
    """Webhook in, list, thread, reply out, sync: and nothing of the CRM's is changed by it."""
    before = prisma.values(url)
    await registered(shop)
    sim.customer_says("Mira", "x" * 323)
    talk = await eventually(lambda: _only(shop))
    assert [message["content"] for message in await shop.thread(talk["id"])] == ["x" * 323]
    answer = await shop.http.post(
        f"/api/conversations/{talk['id']}/reply", json={"content": "y" * 285}
    )
    assert answer.status_code == 201, answer.text
    await eventually(lambda: "y" * 285 in _texts(sim))
    answer = await shop.http.post("/api/chatwoot/sync", json={}, timeout=60)
    assert answer.json()["integrations"][0]["errors"] == []
    for word in ("ring :at 5 o''clock", "Pending"):
        crm.execute(
            url, f"UPDATE social_conversations SET status = '{word}' WHERE id = {talk['id']}"
        )
        assert [row["status"] for row in await shop.conversations(status="Open")] == ["Open"]
    sim.customer_says("Mira", "and again")
    await eventually(lambda: _has_count(shop, talk["id"], 3))
    assert (await shop.get("/api/conversations/unread")) == {"Open": 1, "Closed": 0, "unsent": 0}
    [row] = crm.execute(
        url,
        "SELECT status, contact, labels, priority FROM social_conversations WHERE id = "
        f"{talk['id']}",
    )
    assert row == {"status": "Pending", "contact": "mine", "labels": "vip,late", "priority": 0}
    assert prisma.values(url) == before


async def test_status_words_of_a_text_are_shown_counted_found_and_written(
    url: str, sim: ChatwootSim, tmp_path: Path
) -> None:
    """`CLOSED` and `RESOLVED` are closed, whatever else is open: in list, filter, counts and
    events; what an agent does is written in the CRM's letters.
    """
    crm.execute(url, "ALTER TABLE social_conversations MODIFY status VARCHAR(20) DEFAULT 'OPEN'")
    omni = Omni(tmp_path, database_url=url, env=QUICK)
    company = Company(omni, chatwoot=sim)
    crm.execute(url, f"INSERT INTO companies (id, name) VALUES ({company.id}, 'Eastwind')")
    omni.prepare()
    omni.start()
    try:
        async with company:
            await _closed_and_opened(company, url)
    finally:
        omni.kill9()


async def _closed_and_opened(shop: Company, url: str) -> None:
    crm.execute(
        url,
        "INSERT INTO social_conversations (company_id, platform, external_user_id, "
        "external_user_name, updated_at) VALUES "
        f"({shop.id}, 'facebook', 'page-user', 'Page User', UTC_TIMESTAMP(3))",
    )
    [row] = crm.execute(url, f"SELECT id FROM social_conversations WHERE company_id = {shop.id}")
    crm.execute(
        url,
        "INSERT INTO social_messages (conversation_id, sender_type, content) VALUES "
        f"({row['id']}, 'customer', 'Hello')",
    )
    of_row = f"social_conversations WHERE id = {row['id']}"

    async def says(shown: str) -> bool:
        listed = [one["status"] for one in await shop.conversations()]
        filtered = [one["status"] for one in await shop.conversations(status=shown)]
        counts = await shop.get("/api/conversations/unread")
        other = {"Open": "Closed", "Closed": "Open"}[shown]
        assert listed == [] or listed[0] in ("Open", "Closed")
        return (listed, filtered, counts) == ([shown], [shown], {shown: 1, other: 0, "unsent": 0})

    for word, shown in (
        ("CLOSED", "Closed"),
        ("PENDING", "Open"),
        ("RESOLVED", "Closed"),
        ("OPEN", "Open"),
    ):
        crm.execute(
            url, f"UPDATE social_conversations SET status = '{word}' WHERE id = {row['id']}"
        )
        await eventually(lambda: says(shown), limit=60)  # noqa: B023

    async def is_told() -> bool:
        streams = crm.execute(
            url, f"SELECT epoch FROM omni_inbox_streams WHERE company_id = {shop.id}"
        )
        told = await shop.get(f"/api/events?cursor={streams[0]['epoch']}.0")
        words = [one["data"]["conversation"]["status"] for one in told["events"]]
        assert set(words) <= {"Open", "Closed"}
        return words[-1:] == ["Open"]

    await eventually(is_told, limit=60)
    for shown, word in (("Closed", "CLOSED"), ("Open", "OPEN")):
        answer = await shop.http.patch(f"/api/conversations/{row['id']}", json={"status": shown})
        assert answer.status_code == 200, answer.text
        assert await says(shown)
        assert crm.execute(url, f"SELECT status FROM {of_row}") == [{"status": word}]


def _texts(sim: ChatwootSim) -> set[str | None]:
    return {message.content for talk in sim.conversations.values() for message in talk.messages}


async def _only(shop: Company) -> dict[str, Any] | None:
    found = [one for one in await shop.conversations() if one["preview"]]
    return found[0] if found else None


async def _has_count(shop: Company, conversation_id: int, count: int) -> bool:
    return len(await shop.thread(conversation_id)) == count


async def test_a_merged_contact_and_a_second_chatwoot_meet_the_crms_unique_key(
    shop: Company, url: str
) -> None:
    """On company, platform and external_user_id: rows keep the text they have, or get another;
    every message arrives.
    """

    def rows() -> dict[int, str]:
        sql = (
            "SELECT id, external_user_id FROM social_conversations WHERE company_id = "
            f"{shop.id} ORDER BY id"
        )
        return {row["id"]: row["external_user_id"] for row in crm.execute(url, sql)}

    await shop.outcome(await shop.post(shop.message(1, "before the merge", conversation_id=101)))
    [(number, before)] = rows().items()
    contact = before.split("_")[1]
    merged = f"chatwoot_{int(contact) + 1}_101"
    crm.execute(
        url,
        "INSERT INTO social_conversations (company_id, platform, external_user_id, "
        "external_user_name, updated_at) "
        f"VALUES ({shop.id}, 'chatwoot', '{merged}', 'made by the CRM', NOW(3))",
    )
    later = shop.message(2, "after the merge", conversation_id=101)
    text = json.dumps(later).replace(f'"id": {contact},', f'"id": {int(contact) + 1},')
    assert (await shop.outcome(await shop.post(text.encode()))).state == "done"
    assert rows()[number] == before
    assert [message["content"] for message in await shop.thread(number)] == [
        "before the merge",
        "after the merge",
    ]
    second = Company(shop.omni, numbers=(shop.account_id + 1, shop.inbox_id + 1))
    second.id = shop.id
    async with second:
        assert (
            await second.outcome(
                await second.post(second.message(1, "elsewhere", conversation_id=101))
            )
        ).state == "done"
    found = rows()
    assert len(found) == 3
    assert f"{before}_{second.integration_id}" in found.values()
    listed = {row["id"]: row["externalUserId"] for row in await shop.conversations()}
    assert listed == found


async def test_an_integration_that_meets_a_key_of_the_crm_or_loses_its_token(
    shop: Company, url: str
) -> None:
    """What cannot be added is said by the key's name; what takes no NULL is emptied when an
    integration is deleted.
    """
    crm.execute(url, "ALTER TABLE integrations ADD UNIQUE KEY one_page (provider, page_id)")
    values = {
        "company_id": 1,
        "account_id": 9,
        "inbox_id": shop.inbox_id,
        "base_url": "https://b.example.com",
        "access_token": "t",
    }
    with pytest.raises(DuplicateRow, match="unique key one_page of the CRM's table integrations"):
        await shop.database.transaction(
            lambda c: integration_rows.add_integration(
                c, Vault(""), values | {"webhook_secret": None}, 1
            )
        )
    async with admin(shop) as http:
        answer = await http.delete(f"/api/integrations/{shop.integration_id}")
    assert answer.status_code in (200, 204), answer.text
    [row] = crm.execute(
        url, f"SELECT access_token FROM integrations WHERE id = {shop.integration_id}"
    )
    assert row == {"access_token": ""}
