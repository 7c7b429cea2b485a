"""Sync: what Chatwoot had before our webhook existed, fetched whole; again without doubles; on
through whatever goes wrong.
"""

import asyncio
import json
from typing import Any

import pytest

from server.core.times import wall_now_us
from server.lab.chatwoot_sim import ChatwootSim, seed
from server.lab.chatwoot_sim.model import ACTIVITY, INCOMING
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually


@pytest.fixture(autouse=True)
async def _no_round_beside(shop: Company) -> None:
    """Reconcile has just been here: what it would fetch meanwhile would be missing from the counts
    of the sync.
    """
    await shop.change_integration(walked_at=wall_now_us())


@pytest.fixture(autouse=True)
def history(sim: ChatwootSim) -> None:
    """A week of a shop, one message of it deleted, nobody told of it."""
    talks = seed(sim)
    sim.delete_message(
        next(message for message in talks[3].messages if message.message_type == INCOMING)
    )


def _expected(sim: ChatwootSim) -> dict[int, Any]:
    """What must be here, by Chatwoot's numbers."""
    return {
        one.display_id: {
            "status": "Closed" if one.status == "resolved" else "Open",
            "chatwootStatus": one.status,
            "externalUserName": one.contact.name,
            "labels": one.labels,
            "priority": one.priority,
            "assignee": one.assignee.id if one.assignee else None,
            "messages": {
                message.id: (
                    message.content or "",
                    "customer" if message.message_type == INCOMING else "agent",
                    message.private,
                    bool(message.content_attributes.get("deleted")),
                    [attachment.id for attachment in message.attachments],
                )
                for message in one.messages
                if message.message_type != ACTIVITY
            },
        }
        for one in sim.conversations.values()
    }


async def _shown(shop: Company) -> dict[int, Any]:
    """What is here, in the same form."""
    shown = {}
    for row in await shop.conversations():
        assert row["chatwootConversationId"] not in shown
        shown[row["chatwootConversationId"]] = {
            "status": row["status"],
            "chatwootStatus": row["chatwootStatus"],
            "externalUserName": row["externalUserName"],
            "labels": row["labels"],
            "priority": row["priority"],
            "assignee": row["assignee"]["id"] if row["assignee"] else None,
            "messages": {
                message["chatwootMessageId"]: (
                    message["content"],
                    message["senderType"],
                    message["private"],
                    message["deleted"],
                    [attachment["id"] for attachment in message["attachments"]],
                )
                for message in await shop.thread(row["id"])
            },
        }
    return shown


async def _sync(shop: Company, **body: int) -> Json:
    answer = await shop.http.post("/api/chatwoot/sync", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    (outcome,) = answer.json()["integrations"]
    assert outcome["integrationId"] == shop.integration_id
    result: Json = outcome
    return result


def _message_count(sim: ChatwootSim) -> int:
    return sum(len(one["messages"]) for one in _expected(sim).values())


async def test_everything_comes_and_nothing_twice(shop: Company, sim: ChatwootSim) -> None:
    """Attachments, notes, deletions, statuses, labels; the second run creates nothing and makes no
    event.
    """
    first = await _sync(shop)
    assert first["errors"] == []
    assert first["conversations"]["created"] == len(sim.conversations)
    assert first["messages"]["created"] == _message_count(sim)
    assert await _shown(shop) == _expected(sim)
    head = await shop.head()
    second = await _sync(shop, integrationId=shop.integration_id)
    assert second["conversations"] == {"created": 0, "updated": 0}
    assert second["messages"] == {"created": 0, "skipped": _message_count(sim)}
    assert await shop.head() == head


async def test_the_command_does_the_same(shop: Company, sim: ChatwootSim) -> None:
    """`omni-inbox sync` beside a serving process: counts as JSON; the server's agents see it
    come.
    """
    async with shop.socket() as agent:
        done = await asyncio.to_thread(
            shop.omni.cli, "sync", "--integration-id", str(shop.integration_id)
        )
        assert done.returncode == 0, done.stderr
        (outcome,) = json.loads(done.stdout)["integrations"]
        assert outcome["messages"]["created"] == _message_count(sim)
        await agent.wait_for_seq(await shop.head())
    assert await _shown(shop) == _expected(sim)


async def test_the_command_compares_without_writing(shop: Company, sim: ChatwootSim) -> None:
    """`--verify`: what is missing, by conversation, and status 1; nothing is fetched. After a sync
    nothing is missing.
    """
    verify = ("sync", "--verify", "--integration-id", str(shop.integration_id))
    assert (await _sync(shop))["errors"] == []
    head = await shop.head()
    talk = next(iter(sim.conversations.values()))
    talk.messages[-1].created_at -= 100_000
    sim.customer_says(talk.contact, "not here", conversation=talk)
    sim.customer_says("Somebody else", "not here either")
    done = await asyncio.to_thread(shop.omni.cli, *verify)
    assert (done.returncode, await shop.head()) == (1, head), done.stderr
    (outcome,) = json.loads(done.stdout)["integrations"]
    count, messages = len(sim.conversations), _message_count(sim)
    own = len(_expected(sim)[talk.display_id]["messages"])
    assert outcome["comparison"] == {
        "conversations": {"there": count, "here": count - 1, "missing": 1},
        "messages": {"there": messages, "here": messages - 2, "missing": 2},
        "differences": [
            {"conversation": count, "there": 1, "here": 0, "missing": 1},
            {"conversation": talk.display_id, "there": own, "here": own - 1, "missing": 1},
        ],
    }
    await _sync(shop)
    done = await asyncio.to_thread(shop.omni.cli, *verify)
    assert done.returncode == 0, done.stderr


async def test_the_command_says_what_went_wrong(shop: Company, sim: ChatwootSim) -> None:
    """A refused token: a sentence in the JSON, exit status 1."""
    sim.switches.set(unauthorized=True)
    done = await asyncio.to_thread(
        shop.omni.cli, "sync", "--integration-id", str(shop.integration_id)
    )
    assert done.returncode == 1
    (outcome,) = json.loads(done.stdout)["integrations"]
    assert outcome["errors"]
    assert "Traceback" not in done.stderr


async def test_a_conversation_longer_than_a_page_comes_whole(
    shop: Company, sim: ChatwootSim
) -> None:
    """Chatwoot gives 100 messages at a time."""
    talk = sim.customer_says("Talkative", "line 0").conversation
    for number in range(1, 230):
        sim.customer_says(talk.contact, f"line {number}", conversation=talk)
    assert (await _sync(shop))["errors"] == []
    row = await shop.conversation_with(230, display_id=talk.display_id)
    assert [message["content"] for message in row["messages"]] == [
        f"line {number}" for number in range(230)
    ]
    assert row["inboundCount"] == 230


async def test_more_conversations_than_a_page_come_all(shop: Company, sim: ChatwootSim) -> None:
    """25 a page there."""
    for number in range(40):
        sim.customer_says(f"Customer {number}", "Hello")
    assert (await _sync(shop))["conversations"]["created"] == 60
    assert len(await shop.conversations()) == 60


async def test_what_webhooks_brought_is_not_doubled(shop: Company, sim: ChatwootSim) -> None:
    """The webhook is registered while the history is not here yet: live first, sync later, sync and
    live at once.
    """
    sim.add_webhook(f"{shop.omni.base_url}/api/webhooks/chatwoot", secret="")
    talks = list(sim.conversations.values())
    for talk in talks[:5]:
        sim.customer_says(talk.contact, "live", conversation=talk)
    await sim.webhooks.flushed()
    async with asyncio.TaskGroup() as group:
        syncing = group.create_task(_sync(shop))
        for talk in talks:
            sim.customer_says(talk.contact, "meanwhile", conversation=talk)
            await asyncio.sleep(0)
    assert syncing.result()["errors"] == []
    await sim.webhooks.flushed()

    async def same() -> bool:
        assert await _shown(shop) == _expected(sim)
        return True

    await eventually(same)


async def test_times_that_do_not_rise_hide_nothing(shop: Company, sim: ChatwootSim) -> None:
    """Imports, some channels, and two messages saved at once have times against their ids; the
    comparison says that all are here.
    """
    for name, order in {
        "old last": [*range(174), -900],
        "swapped": [n ^ 1 for n in range(240)],
        "reversed": range(1_100, 0, -1),
    }.items():
        talk = sim.customer_says(name, "0").conversation
        for number in range(1, len(order)):
            sim.customer_says(talk.contact, str(number), conversation=talk)
        for message, place in zip(talk.messages, order, strict=True):
            message.created_at += place - 5_000
    outcome = await _sync(shop)
    assert outcome["errors"] == []
    assert await _shown(shop) == _expected(sim)
    count, messages = len(sim.conversations), _message_count(sim)
    assert outcome["comparison"] == {
        "conversations": {"there": count, "here": count, "missing": 0},
        "messages": {"there": messages, "here": messages, "missing": 0},
        "differences": [],
    }


@pytest.mark.parametrize(
    "fault", ["page=2&", "page=1&", "sort_by=last_activity_at_desc", "/conversations/21/messages"]
)
async def test_one_question_that_always_fails(shop: Company, sim: ChatwootSim, fault: str) -> None:
    """Chatwoot answers 500 to one question and all others: only what nothing else can tell is
    missing, and that is said.
    """
    for number in range(40):
        sim.customer_says(f"Customer {number}", "Hello")
    sim.switches.set(fail_matching=fault)
    outcome = await _sync(shop)
    expected = _expected(sim)
    if "messages" in fault:
        assert any("conversation 21" in sentence for sentence in outcome["errors"])
        expected[21]["messages"] = {}
    else:
        assert outcome["errors"] == []
    assert await _shown(shop) == expected


async def test_rows_with_equal_times_hide_no_conversation(shop: Company, sim: ChatwootSim) -> None:
    """A bulk act gives them all one time: they stand differently from page to page."""
    for number in range(120):
        sim.customer_says(f"Customer {number}", "Hello")
    for one in sim.conversations.values():
        one.last_activity_at = sim.now()
    outcome = await _sync(shop)
    assert (outcome["errors"], outcome["comparison"]["conversations"]["missing"]) == ([], 0)
    assert len(await shop.conversations()) == len(sim.conversations)


BROKEN: dict[str, dict[str, object]] = {
    "500": {"fail_next": 1000},
    "truncated": {"truncate_next": 1000},
    "401": {"unauthorized": True},
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_chatwoot_that_breaks_in_the_middle(
    shop: Company, sim: ChatwootSim, case: str
) -> None:
    """The errors are told, what came stays, nothing is taken for deleted; the second run
    completes.
    """
    sim.switches.set(latency_seconds=0.02)
    async with asyncio.TaskGroup() as group:
        syncing = group.create_task(_sync(shop))
        await eventually(lambda: _has_some(shop, 4))
        sim.switches.set(**BROKEN[case])
    broken = syncing.result()
    assert broken["errors"]
    assert all(len(sentence) > 10 for sentence in broken["errors"])
    before = await _shown(shop)
    assert 4 <= len(before) <= len(sim.conversations)
    sim.switches.reset()
    mended = await _sync(shop)
    assert mended["errors"] == []
    created = broken["conversations"]["created"] + mended["conversations"]["created"]
    assert created == len(sim.conversations)
    assert broken["messages"]["created"] + mended["messages"]["created"] == _message_count(sim)
    assert await _shown(shop) == _expected(sim)


async def _has_some(shop: Company, count: int) -> bool:
    rows = await shop.rows(
        "SELECT COUNT(*) FROM social_conversations WHERE company_id = :c", c=shop.id
    )
    return int(rows[0][0]) >= count


@pytest.mark.parametrize(
    "switches",
    [{"limit_next": 1}, {"fail_next": 2}, {"truncate_next": 1}],
    ids=["429", "500", "truncated"],
)
async def test_a_passing_trouble_is_waited_out(
    shop: Company, sim: ChatwootSim, switches: dict[str, object]
) -> None:
    """Reads are tried again: the run ends without an error and complete."""
    sim.switches.set(**switches)
    assert (await _sync(shop))["errors"] == []
    assert await _shown(shop) == _expected(sim)


async def test_a_company_without_integrations_has_nothing_to_sync(shop: Company) -> None:
    """200 and an empty list; an integration that is not theirs is 404."""
    async with shop.omni.client(shop.omni.token(shop.id + 700_000)) as http:
        answer = await http.post("/api/chatwoot/sync")
        assert (answer.status_code, answer.json()) == (200, {"integrations": []})
        assert (
            await http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
        ).status_code == 404
