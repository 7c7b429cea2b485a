"""Every kind of message that a running Chatwoot made, through the whole server: webhooks in, REST
and the agents' socket out, and the same again by a sync into an empty database.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.db.migrations import upgrade
from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.kind_catalogue import INBOXES, KINDS
from server.lab.chatwoot_sim.kind_player import inbox_of, play_kind
from server.lab.chatwoot_sim.model import ACTIVITY
from tests.kit.client_model import ClientModel, Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.servers import QUICK
from tests.kit.webhook import WEBHOOK_PATH

# numbers of our own, when we heard of a thing, who has read it, and a name that webhooks alone have
_OURS = {
    *("id", "seq", "conversationId", "messageId", "companyId", "integrationId", "updatedAt"),
    *("readCount", "unreadCount", "inboxName"),
}
# REST's times are whole seconds
_TIMES = {"createdAt", "lastMessageAt", "replyUntil", "at"}
# what REST alone knows of a message that came by webhook
_KNOWN_LATER = (
    r"\.attachments\[\d\]\.(width|height): None != \d+$",  # a picture is measured afterwards
    r"\.content: 'Please rate .*' != 'Are you satisfied\?'$",  # of a survey, the agent's own words
)
# what webhooks alone know: REST does not name the campaign, whose text is no preview
_NOT_IN_REST = (
    r"\.senderKind: 'campaign' != 'agent'$",
    r"\.preview\.content: 'Hello, is anyone there\?' != 'Winter shawls are here!'$",
    r"\.preview\.\w+: 'customer' != 'agent'$",
)


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[Omni]:
    """A server with a database of its own, in which nothing is yet."""
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    upgrade(url)
    omni = Omni(tmp_path, database_url=url, broadcast_url="memory://", env=QUICK)
    omni.start()
    yield omni
    said = omni.log
    omni.kill9()
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]


async def _connect_all(company: Company, sim: ChatwootSim) -> None:
    for inbox in INBOXES:
        number = inbox_of(sim, inbox).id
        if number != company.inbox_id:
            await company.connect_inbox(number)
    await company.tell_server()


async def _is_at_rest(company: Company) -> bool:
    rows = await company.rows(
        "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE state = 'received'"
    )
    return int(rows[0][0]) == 0


async def _shown(company: Company) -> dict[tuple[int, int], Json]:
    """Every message by Chatwoot's numbers, with the conversation's own fields at message 0."""
    found: dict[tuple[int, int], Json] = {}
    for row in await company.conversations():
        number = row["chatwootConversationId"]
        found[number, 0] = _without_ours(row)
        for message in await company.thread(row["id"]):
            found[number, message["chatwootMessageId"]] = _without_ours(message)
    return found


def _without_ours(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: one[:19] if one and name in _TIMES else _without_ours(one)
            for name, one in value.items()
            if name not in _OURS
        }
    return [_without_ours(one) for one in value] if isinstance(value, list) else value


async def _heard_while_played(company: Company, sim: ChatwootSim) -> ClientModel:
    """What an agent's client holds that was there from the beginning."""
    async with company.socket() as agent:
        for kind in KINDS:
            play_kind(sim, kind)
        await sim.webhooks.flushed()
        await eventually(lambda: _is_at_rest(company), limit=60)
        await agent.wait_for_seq(await company.head())
        model = ClientModel()
        for event in agent.events:
            model.apply(event)
        return model


async def _sync(company: Company) -> list[Json]:
    answer = await company.http.post("/api/chatwoot/sync", json={}, timeout=120)
    assert answer.status_code == 200, answer.text
    outcomes: list[Json] = answer.json()["integrations"]
    assert [one["errors"] for one in outcomes] == [[]] * len(INBOXES)
    return outcomes


async def test_every_kind_comes_whole_by_each_road(
    shop: Company, sim: ChatwootSim, empty_server: Omni
) -> None:
    await _connect_all(shop, sim)
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    by_events = await _heard_while_played(shop, sim)
    by_webhooks = await _shown(shop)
    wanted = {
        (one.conversation.display_id, one.id)
        for one in sim.messages.values()
        if one.message_type != ACTIVITY
    }
    assert {key for key in by_webhooks if key[1]} == wanted
    by_socket = {
        one["chatwootMessageId"]: _without_ours(one) for one in by_events.messages.values()
    }
    assert by_socket == {key[1]: one for key, one in by_webhooks.items() if key[1]}

    assert sum(one["messages"]["created"] for one in await _sync(shop)) == 0
    after = await _shown(shop)
    assert _unexplained(by_webhooks, after, _KNOWN_LATER) == []
    head = await shop.head()
    await _sync(shop)
    assert await shop.head() == head, "a second sync has nothing to say"
    assert {one.repaired_count for one in await shop.integrations()} == {0}

    async with Company(empty_server, chatwoot=sim) as other:
        await _connect_all(other, sim)
        assert sum(one["messages"]["created"] for one in await _sync(other)) == len(wanted)
        assert _unexplained(after, await _shown(other), _NOT_IN_REST) == []


def _unexplained(one: Any, other: Any, known: tuple[str, ...]) -> list[str]:
    return [
        line
        for line in _differences(one, other)
        if not any(re.search(pattern, line) for pattern in known)
    ]


def _differences(one: Any, other: Any, path: str = "") -> list[str]:
    """`path: one != other`, at every depth."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys(), key=str)
        return [
            line
            for name in names
            for line in _differences(one.get(name), other.get(name), f"{path}.{name}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for n, (a, b) in pairs for line in _differences(a, b, f"{path}[{n}]")]
    return [] if one == other else [f"{path}: {one!r} != {other!r}"]
