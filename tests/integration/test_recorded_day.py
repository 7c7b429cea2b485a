"""A day of a running Chatwoot played over a bad line, then compared with what its REST said in the end, field by field."""

import asyncio
import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from server.db.migrations import upgrade
from server.dev.chatwoot_sim import serving
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.recorded_chatwoot import RecordedChatwoot
from tests.kit.servers import QUICK

pytestmark = pytest.mark.xdist_group("recorded day")
Json = dict[str, Any]


@pytest.fixture(scope="module", params=["embedded", "production", "by webhooks alone"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Omni]:
    directory = tmp_path_factory.mktemp("day")
    url, bus = f"sqlite:///{directory / 'omni.db'}", "memory://"
    if request.param == "production":
        url, bus = request.getfixturevalue("shared_mariadb").create_database(), request.getfixturevalue("shared_redis").url
    upgrade(url)
    listens = "false" if request.param == "by webhooks alone" else "true"
    env = QUICK | {"CHATWOOT_SOCKETS": listens, "CHATWOOT_SOCKET_WAIT_SECONDS": "0.1"}
    omni = Omni(directory, database_url=url, broadcast_url=bus, env=env)
    omni.start()
    yield omni
    said = omni.log
    omni.kill9()
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]


async def test_after_a_bad_day_nothing_differs(server: Omni) -> None:
    """5 % of the webhooks lost, 5 % doubled, all out of order and late; then one sync."""
    sim = RecordedChatwoot()
    async with serving(sim), Company(server, chatwoot=sim, webhook_secret=sim.secret) as company:
        listens = server.env["CHATWOOT_SOCKETS"] == "true"
        await eventually(lambda: bool(sim.cable.subscriptions) == listens, limit=30)
        rng = random.Random(7)
        url = f"{server.base_url}/api/webhooks/chatwoot"
        async with company.socket() as agent:
            lost = await sim.play(url, rng, late_seconds=3.0, lost=0.05, doubled=0.05)
            assert lost > 20
            await eventually(lambda: _is_at_rest(company), limit=60)
            before = len(await _messages(company))
            answer = await company.http.post("/api/chatwoot/sync", json={}, timeout=60)
            assert answer.status_code == 200, answer.text
            [outcome] = answer.json()["integrations"]
            assert outcome["errors"] == []
            await agent.wait_for_seq(await company.head())
            first = agent.events[0].seq
            assert [event.seq for event in agent.events] == list(range(first, first + len(agent.events)))
        assert await _differences(company, sim) == []
        told = len(await _messages(company))
        assert outcome["messages"]["created"] == told - before, "what was lost is counted"
        if listens:
            assert told == before, "the socket has brought what no webhook did"


async def _is_at_rest(company: Company) -> bool:
    await asyncio.sleep(0)
    rows = await company.rows("SELECT COUNT(*) FROM webhook_deliveries WHERE state = 'received'")
    return int(rows[0][0]) == 0


async def _messages(company: Company) -> list[int]:
    rows = await company.rows(
        "SELECT m.chatwoot_message_id FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id "
        "WHERE c.company_id = :company AND c.chatwoot_conversation_id NOT IN (7, 8)",  # deleted in Chatwoot
        company=company.id,
    )
    return [int(row[0]) for row in rows]


async def _differences(company: Company, sim: RecordedChatwoot) -> list[str]:
    """Every field that both tell."""
    here = {one["chatwootConversationId"]: one for one in await company.conversations(limit="100")}
    found = []
    for theirs in sim.told:
        number = theirs["id"]
        ours = here.get(number)
        if ours is None:
            found.append(f"{number}: not here")
            continue
        found += _unlike(f"{number}", _conversation(theirs), {name: ours[name] for name in _conversation(theirs)})
        thread = await _whole_thread(company, ours["id"])
        mine = {one["chatwootMessageId"]: one for one in thread}
        wanted = {one["id"]: one for one in sim.messages_of(number) if one["message_type"] != 2}
        if mine.keys() != wanted.keys() or len(thread) != len(wanted):
            found.append(f"{number}: messages {sorted(mine.keys() ^ wanted.keys())}, {len(thread)} of {len(wanted)}")
        for key in mine.keys() & wanted.keys():
            found += _unlike(f"{number}/{key}", _message(wanted[key]), _of_ours(mine[key]))
    return found


async def _whole_thread(company: Company, conversation_id: int) -> list[Json]:
    found = await company.thread(conversation_id)
    while found:
        older = await company.get(f"/api/conversations/{conversation_id}/messages", params={"before": found[0]["id"]})
        if not older["messages"]:
            break
        found = older["messages"] + found
    return found


def _conversation(theirs: Json) -> Json:
    meta, sender = theirs["meta"], theirs["meta"]["sender"]
    assignee = meta.get("assignee")
    return {
        "chatwootStatus": theirs["status"],
        "status": "Closed" if theirs["status"] == "resolved" else "Open",
        "labels": theirs["labels"],
        "priority": theirs["priority"],
        "canReply": theirs["can_reply"],
        "channel": meta["channel"],
        "externalUserName": sender["name"],
        "contact": {
            "id": sender["id"],
            "email": sender["email"],
            "phone": sender["phone_number"],
            "identifier": sender["identifier"],
        },
        "assignee": {"id": assignee["id"], "name": assignee["name"]} if assignee else None,
    }


def _message(theirs: Json) -> Json:
    deleted = theirs["content_attributes"].get("deleted") is True
    return {
        "content": theirs["content"] or "",
        "private": theirs["private"],
        "deleted": deleted,
        "senderType": "customer" if theirs["message_type"] == 0 else "agent",
        "senderName": (theirs.get("sender") or {}).get("name"),
        "createdAt": theirs["created_at"],
        "contentType": theirs["content_type"],
        "attachments": sorted((one["id"], one["file_type"], one["data_url"]) for one in theirs.get("attachments", ())),
    }


def _of_ours(mine: Json) -> Json:
    moment = datetime.fromisoformat(mine["createdAt"].replace("Z", "+00:00"))
    names = ("content", "private", "deleted", "senderType", "senderName", "contentType")
    return {name: mine[name] for name in names} | {
        "createdAt": int(moment.timestamp()),
        "attachments": sorted((one["id"], one["type"], one["url"]) for one in mine["attachments"]),
    }


def _unlike(where: str, theirs: Json, ours: Json) -> list[str]:
    return [f"{where} {name}: {theirs[name]!r} there, {ours[name]!r} here" for name in theirs if theirs[name] != ours[name]]


