"""The socket of Chatwoot's agents as a second source: quicker than webhooks, and never the only
one.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from server.db.migrations import upgrade
from server.lab.chatwoot_sim import ChatwootSim
from tests.faults.figures import sized
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.servers import QUICK

LISTENS = {
    "CHATWOOT_SOCKETS": "true",
    "CHATWOOT_SOCKET_WAIT_SECONDS": "0.1",
    "WEBHOOK_MAX_BYTES": "130000",
}
pytestmark = pytest.mark.xdist_group("agents' socket")  # they share the servers of this file


@pytest.fixture(scope="module", params=["embedded", "production"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Omni]:
    """A server that listens, on SQLite and memory, then on MariaDB and Redis; nothing may leave a
    traceback in its log.
    """
    directory = tmp_path_factory.mktemp("listening")
    url, bus = f"sqlite:///{directory / 'omni.db'}", "memory://"
    if request.param == "production":
        url, bus = (
            request.getfixturevalue("shared_mariadb").create_database(),
            request.getfixturevalue("shared_redis").url,
        )
    upgrade(url)
    omni = Omni(directory, database_url=url, broadcast_url=bus, env=QUICK | LISTENS)
    omni.start()
    yield omni
    said = omni.log
    omni.kill9()
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]


@pytest.fixture
async def heard(shop: Company, sim: ChatwootSim) -> Company:
    """A company whose Chatwoot is listened to, and calls by webhook as well."""
    register(shop, sim)
    await eventually(lambda: sim.cable.subscriptions, limit=30)
    return shop


def register(company: Company, sim: ChatwootSim) -> None:
    sim.add_webhook(f"{company.omni.base_url}/api/webhooks/chatwoot", secret="")


async def texts(company: Company) -> list[str]:
    found = [await company.thread(one["id"]) for one in await company.conversations()]
    return [message["content"] for thread in found for message in thread]


async def is_at_rest(company: Company) -> bool:
    rows = await company.rows(
        "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE state = 'received'"
    )
    return int(rows[0][0]) == 0


async def test_news_comes_while_webhooks_wait_and_the_webhook_only_confirms(
    heard: Company, sim: ChatwootSim
) -> None:
    """By the time the webhook comes there is nothing to tell of the message; every seq is there
    once.
    """
    sim.switches.set(holds_webhooks=True)
    async with heard.socket() as agent:
        sim.customer_says("Lea", "Is anybody there?")
        sim.customer_says("Lea", "Hello?")
        await agent.wait_until(
            lambda: sum(e.kind == "message.created" for e in agent.events) == 2, limit=30
        )
        assert sim.webhooks.counters.sent == 0
        sim.switches.set(holds_webhooks=False)
        await sim.webhooks.flushed()
        await eventually(lambda: is_at_rest(heard), limit=30)
        await agent.wait_for_seq(await heard.head())
        assert [e.kind for e in agent.events if e.kind.startswith("message.")] == [
            "message.created"
        ] * 2
        assert [e.seq for e in agent.events] == list(range(1, len(agent.events) + 1))
    assert await texts(heard) == ["Is anybody there?", "Hello?"]
    rows = await heard.rows(
        "SELECT headers, state FROM omni_webhook_deliveries WHERE integration_id = :i",
        i=heard.integration_id,
    )
    by_socket = [row for row in rows if "omni-source" in (row[0] or "")]
    assert len(by_socket) >= 2
    assert len(rows) - len(by_socket) >= 2
    assert {row[1] for row in rows} <= {"done", "ignored"}


async def test_without_webhooks_everything_is_heard(shop: Company, sim: ChatwootSim) -> None:
    """What customers and agents do: written, edited, deleted, closed, assigned."""
    await eventually(lambda: sim.cable.subscriptions, limit=30)
    conversation = sim.customer_says("Lea", "first").conversation
    reply = sim.agent_says(conversation, "secodn")
    await eventually(lambda: _has(shop, ["first", "secodn"]), limit=30)
    sim.edit_message(reply, "second")
    gone = sim.customer_says("Lea", "third")
    await eventually(lambda: _has(shop, ["first", "second", "third"]), limit=30)
    sim.delete_message(gone)
    sim.assign(conversation, sim.admin)
    sim.set_labels(conversation, ["vip"])
    sim.set_status(conversation, "resolved")

    async def is_as_in_chatwoot() -> bool:
        [row] = await shop.conversations()
        assert (row["status"], row["labels"], row["externalUserName"]) == ("Closed", ["vip"], "Lea")
        assert row["assignee"]["id"] == sim.admin.id
        thread = await shop.thread(row["id"])
        return [one["deleted"] for one in thread] == [False, False, True]

    await eventually(is_as_in_chatwoot, limit=30)
    assert {command["command"] for command in sim.cable.heard} == {"subscribe"}, (
        "the owner is never kept online"
    )

    async def is_said() -> bool:
        async with shop.omni.client(shop.token(9, role="admin")) as admin:
            status = (await admin.get("/api/status")).json()
        assert status["plots"]["webhooks"]["newest"] == {"webhooks": 0}, (
            "what the socket tells is no webhook"
        )
        [told] = status["integrations"]
        socket = told["sources"]["socket"]
        return (
            socket["state"] == "live"
            and socket["behindMs"] is not None
            and "is heard" in told["socketText"]
        )

    await eventually(is_said, limit=30)


async def test_a_rename_is_shown_at_once(heard: Company, sim: ChatwootSim) -> None:
    """In every conversation of the contact, and as an event; before their next message."""
    contact = sim.customer_says("Lea", "Hello").conversation.contact
    await eventually(lambda: _has(heard, ["Hello"]), limit=30)
    async with heard.socket() as agent:
        sim.update_contact(contact, name="Léa Moreau", email="lea@example.org")

        async def is_renamed() -> bool:
            [row] = await heard.conversations()
            return bool(
                row["externalUserName"] == "Léa Moreau"
                and row["contact"]["email"] == "lea@example.org"
            )

        await eventually(is_renamed, limit=30)
        await agent.wait_for_seq(await heard.head())
        assert {c["externalUserName"] for c in agent.model.conversations.values()} == {"Léa Moreau"}
        [row] = await heard.conversations()
        assert [one["senderName"] for one in await heard.thread(row["id"])] == ["Léa Moreau"]
        assert [e.kind for e in agent.events if e.kind == "message.updated"], (
            "older bubbles are told, too"
        )


async def test_a_merge_moves_conversations_to_the_kept_contact(
    heard: Company, sim: ChatwootSim
) -> None:
    kept = sim.customer_says("Lea", "one").conversation.contact
    gone = sim.customer_says("Leo", "two").conversation.contact
    await eventually(lambda: _has(heard, ["one", "two"]), limit=30)
    sim.merge_contacts(kept, gone)

    async def is_merged() -> bool:
        return {row["contact"]["id"] for row in await heard.conversations()} == {kept.id}

    await eventually(is_merged, limit=30)


async def test_bad_frames_end_nothing(heard: Company, sim: ChatwootSim) -> None:
    """Huge, broken, of wrong types, of another account, of another inbox: the same connection goes
    on.
    """
    other = sim.add_inbox("Not ours", account=sim.account)
    connects = sim.cable.connects
    good: dict[str, Any] = {
        "id": 1,
        "account_id": sim.account.id,
        "inbox_id": sim.inbox.id,
        "message_type": 0,
    }
    for message in (
        {
            "event": "message.created",
            "data": {**good, "content": "x" * 150_000, "conversation_id": 7, "created_at": 5},
        },
        {
            "event": "message.created",
            "data": {
                **good,
                "account_id": 3,
                "content": "foreign",
                "conversation_id": 7,
                "created_at": 5,
            },
        },
        {
            "event": "message.created",
            "data": {
                **good,
                "inbox_id": None,
                "content": "nowhere",
                "conversation_id": 7,
                "created_at": 5,
            },
        },
        {
            "event": "message.created",
            "data": {**good, "conversation_id": {"a": []}, "content": 7, "created_at": "soon"},
        },
        {
            "event": "message.created",
            "data": {
                **good,
                "inbox_id": other.id,
                "content": "not ours",
                "conversation_id": 8,
                "created_at": 5,
            },
        },
        {
            "event": "conversation.updated",
            "data": {"account_id": sim.account.id, "inbox_id": sim.inbox.id},
        },
        {
            "event": "conversation.typing_on",
            "data": {"account_id": sim.account.id, "conversation": 5, "user": "me"},
        },
        {
            "event": "contact.updated",
            "data": {"account_id": sim.account.id, "id": "none", "name": ["a"]},
        },
        {"event": {"a": 1}, "data": 3},
        "text",
        None,
    ):
        sim.cable.shout(json.dumps({"identifier": "x", "message": message}))
    for text in (
        "",
        "{",
        "[" * 50_000,
        "\x00",
        '{"type": 5}',
        '{"message": {"event": "message.created"}}',
    ):
        sim.cable.shout(text)
    sim.customer_says("Lea", "after all that")
    await eventually(lambda: _has(heard, ["after all that"]), limit=30)
    assert sim.cable.connects == connects


async def test_a_flood_is_bounded_and_ends(heard: Company, sim: ChatwootSim) -> None:
    """Thousands of frames at once: the server answers others meanwhile, and what it leaves out
    comes by webhook.
    """
    data = {
        "account_id": sim.account.id,
        "inbox_id": sim.inbox.id,
        "status": "open",
        "id": 1,
        "updated_at": 5.0,
    }
    text = json.dumps(
        {
            "identifier": "x",
            "message": {"event": "conversation.updated", "data": data | {"pad": "x" * 2_000}},
        }
    )
    began = time.monotonic()
    for _ in range(8_000):
        sim.cable.shout(text)
    sim.customer_says("Lea", "through the flood")

    async def is_there() -> bool:
        return "through the flood" in await texts(heard)

    await eventually(is_there, limit=60)
    kept = await heard.rows(
        "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE integration_id = :i",
        i=heard.integration_id,
    )
    # a bucket and what fills it, and some webhooks
    most = 5_000 + 200 * (time.monotonic() - began) + 100
    assert int(kept[0][0]) <= most


async def test_frames_that_mean_nothing_are_read_slowly(heard: Company, sim: ChatwootSim) -> None:
    """They leave nothing in the journal, and reading them costs time that is everybody's: after a
    burst their sender waits.
    """
    before, began = await _bad_frames(heard), time.monotonic()
    for _ in range(25_000):
        sim.cable.shout("{" + " " * 150)

    async def are_read() -> bool:
        return await _bad_frames(heard) - before > 14_000

    await eventually(are_read, limit=120)
    assert time.monotonic() - began >= 3.5, "a burst of 10,000 and 1,000 a second"
    sim.customer_says("Lea", "through the flood")
    await eventually(lambda: _has(heard, ["through the flood"]), limit=60)


async def test_a_frame_of_very_many_values_is_not_taken_apart(
    shop: Company, sim: ChatwootSim
) -> None:
    """No frame of Chatwoot's has as many, and reading them keeps everybody waiting; the next one is
    heard.
    """
    await eventually(lambda: sim.cable.subscriptions, limit=30)
    data = {
        "account_id": sim.account.id,
        "inbox_id": sim.inbox.id,
        "status": "open",
        "id": 1,
        "updated_at": 5.0,
    }
    message = {"event": "conversation.updated", "data": data | {"pad": [1] * 60_000}}
    sim.cable.shout(json.dumps({"message": message}, separators=(",", ":")))
    sim.customer_says("Lea", "after all that")
    await eventually(lambda: _has(shop, ["after all that"]), limit=60)
    of_pad = (
        "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE integration_id = :i AND body LIKE "
        "'%1,1,1,1,1%'"
    )
    assert (await shop.rows(of_pad, i=shop.integration_id))[0][0] == 0


async def _bad_frames(company: Company) -> float:
    async with company.omni.client() as http:
        text = (await http.get("/metrics")).text
    found = re.search(r'^omni_inbox_socket_frames_total\{outcome="bad"\} (\S+)', text, re.M)
    return float(found[1]) if found else 0.0


async def test_a_refused_socket_changes_nothing_but_speed(shop: Company, sim: ChatwootSim) -> None:
    sim.switches.set(refuses_sockets=True, ping_seconds=0.05)
    register(shop, sim)
    sim.customer_says("Lea", "by webhook")
    await eventually(lambda: _has(shop, ["by webhook"]), limit=30)
    assert not sim.cable.subscriptions

    async def is_said() -> bool:
        async with shop.omni.client() as http:
            sources = (await http.get("/readyz")).json()["sources"]
        [own] = [one for one in sources if one["integrationId"] == shop.integration_id]
        return own["socket"]["state"] == "refused" and own["webhook"]["lastAt"] is not None

    await eventually(is_said, limit=60)


async def test_a_socket_that_is_cut_again_and_again_loses_and_doubles_nothing(
    heard: Company, sim: ChatwootSim
) -> None:
    """In the middle of everything, with webhooks that come late and in any order; with
    OMNI_TEST_FULL=1 every 3 s.
    """
    sim.switches.set(
        cuts_sockets_after=sized(0.3, 3.0),
        shuffle_window=5,
        shuffle_seconds=0.05,
        webhook_job_seconds=0.02,
    )
    connects = sim.cable.connects
    sim.cable.cut()
    expected = [f"{number}" for number in range(60)]
    for text in expected:
        sim.customer_says("Lea", text)
        await eventually(lambda: not sim.cable._jobs, limit=30)
        if text.endswith("9"):
            await _connects_again(sim)
    sim.switches.set(cuts_sockets_after=0.0)
    await sim.webhooks.flushed()
    await eventually(lambda: _has(heard, expected), limit=30)
    assert sim.cable.connects > connects + 3
    async with heard.socket(cursor=None) as agent:
        await agent.wait_for_seq(await heard.head())
    rows = await heard.rows(
        "SELECT COUNT(*), COUNT(DISTINCT seq) FROM omni_inbox_events WHERE company_id = :c",
        c=heard.id,
    )
    assert rows[0][0] == rows[0][1] == await heard.head()


async def test_each_company_hears_its_own_inboxes(server: Omni, sim: ChatwootSim) -> None:
    """Two companies on one Chatwoot account: an administrator's token hears every inbox, the
    company gets its own.
    """
    second = sim.add_inbox("Second", account=sim.account)
    async with (
        Company(server, chatwoot=sim) as one,
        Company(server, chatwoot=sim, numbers=(sim.account.id, second.id)) as other,
    ):
        await eventually(lambda: len(sim.cable.subscriptions) == 2, limit=30)
        sim.customer_says("Lea", "to the first")
        sim.customer_says("Leo", "to the second", inbox_id=second.id)
        await eventually(lambda: _has(one, ["to the first"]), limit=30)
        await eventually(lambda: _has(other, ["to the second"]), limit=30)
        await eventually(lambda: is_at_rest(one), limit=30)
        assert (await texts(one), await texts(other)) == (["to the first"], ["to the second"])


async def test_it_can_be_switched_off(heard: Company, sim: ChatwootSim) -> None:
    """By the administrators' call: the connection ends within moments, and comes back when it is
    switched on.
    """
    async with heard.omni.client(heard.token(9, role="admin")) as admin:
        off = await admin.patch(
            f"/api/integrations/{heard.integration_id}", json={"isSocketActive": False}
        )
        assert (off.status_code, off.json()["isSocketActive"]) == (200, False), off.text
        await eventually(lambda: not sim.cable.subscriptions, limit=30)
        sim.customer_says("Lea", "by webhook")
        await eventually(lambda: _has(heard, ["by webhook"]), limit=30)
        await admin.patch(
            f"/api/integrations/{heard.integration_id}", json={"isSocketActive": True}
        )
        await eventually(lambda: sim.cable.subscriptions, limit=30)


async def _connects_again(sim: ChatwootSim) -> None:
    before = sim.cable.connects
    await eventually(lambda: sim.cable.connects > before, limit=30)


async def _has(company: Company, expected: list[str]) -> bool:
    found = await texts(company)
    assert sorted(found) == sorted(expected), f"{len(found)} of {len(expected)}: {found[:10]}"
    return True


async def test_a_look_in_chatwoot_is_shown_at_once_and_a_customer_s_look_reads_nothing(
    heard: Company, sim: ChatwootSim
) -> None:
    """Where Chatwoot writes a line of it, which comes by no webhook. `conversation.read` is the
    customer's look at our answer.
    """
    conversation = sim.customer_says("Lea", "Is anybody there?").conversation
    await eventually(lambda: _has(heard, ["Is anybody there?"]), limit=30)
    async with heard.socket() as agent:
        sim.customer_looks(conversation)
        sim.set_priority(conversation, "high")
        await agent.wait_for(lambda e: e.data["conversation"]["priority"] == "high", 30)
        assert [one["unreadCount"] for one in await heard.conversations()] == [1]
        sim.switches.set(writes_views=True, holds_webhooks=True)
        sim.mark_seen(conversation)
        event = await agent.wait_for(lambda e: e.kind == "conversation.read", 30)
        assert (event.data["agentId"], event.data["readCount"]) == (None, 1)
        assert [one["unreadCount"] for one in await heard.conversations()] == [0]
    assert await texts(heard) == ["Is anybody there?"], "the line is no message"


async def test_a_changed_number_is_asked_about(heard: Company, sim: ChatwootSim) -> None:
    """Newer Chatwoots say that some number of unread messages has changed, of which conversation
    not; many such words are one question.
    """
    conversations = [
        sim.customer_says(name, "Hello").conversation for name in ("Lea", "Leo", "Lia")
    ]
    await eventually(lambda: _has(heard, ["Hello"] * 3), limit=30)
    sim.switches.set(tells_unread_changes=True, holds_webhooks=True)
    before = len(sim.questions.log)
    for conversation in conversations:
        sim.mark_seen(conversation)

    async def all_read() -> bool:
        return [one["unreadCount"] for one in await heard.conversations()] == [0, 0, 0]

    await eventually(all_read, limit=30)
    asked = [one for one in list(sim.questions.log)[before:] if "status=open" in one]
    assert 1 <= len(asked) <= 2


async def test_a_deleted_contact_s_conversations_are_gone_and_a_merged_one_s_are_not(
    heard: Company, sim: ChatwootSim
) -> None:
    """Both are told as deletions; only what Chatwoot answers with 404 is gone, and that is seen at
    once.
    """
    found = {
        name: sim.customer_says(name, "Hello").conversation for name in ("Goes", "Kept", "Merged")
    }
    await eventually(lambda: _has(heard, ["Hello"] * 3), limit=30)
    async with heard.socket() as agent:
        sim.merge_contacts(found["Kept"].contact, found["Merged"].contact)
        sim.tell_contact_deleted(found["Kept"].contact)  # a false word: it is still there
        sim.delete_contact(found["Goes"].contact)
        event = await agent.wait_for(lambda e: e.data["conversation"]["goneAt"] is not None, 30)
        assert event.data["conversation"]["externalUserName"] == "Goes"
    assert {row["externalUserName"] for row in await heard.conversations(status="Open")} == {"Kept"}
    gone = [row for row in await heard.conversations() if row["goneAt"]]
    assert [(row["externalUserName"], row["status"]) for row in gone] == [("Goes", "Closed")]


async def test_an_agent_who_writes_in_chatwoot_is_shown(heard: Company, sim: ChatwootSim) -> None:
    """With their name, at once, until they stop; a note is written like a reply. Of what is typed
    here nothing comes back.
    """
    sim.switches.set(holds_webhooks=True)
    conversation = sim.customer_says("Lea", "Hello").conversation
    await eventually(lambda: _has(heard, ["Hello"]), limit=30)
    colleague = sim.add_user("Bo Agent", account=sim.account)
    [row] = await heard.conversations()
    async with heard.socket() as agent:
        await agent.wait_for_frame("presence")
        for number, (on, private) in enumerate(((True, False), (False, False), (True, True))):
            sim.typing(conversation, colleague, on=on, private=private)
            told = await agent.wait_for_frame("typing", known=number)
            assert told == {
                "type": "typing",
                "conversationId": row["id"],
                "who": "agent",
                "name": "Bo Agent",
                "on": on,
            }
        sim.typing(conversation, sim.admin, on=True)  # the owner of the token that listens
        sim.typing(conversation, conversation.contact, on=True)
        assert (await agent.wait_for_frame("typing", known=3))["who"] == "customer"
