"""The socket from `hello` on: what is told, what is replayed, and what is a reset; over our
protocol and over plain ASGI.
"""

import asyncio
from collections.abc import Callable

import pytest

from server.core.identifiers import MAX_SAFE_INTEGER
from server.core.times import SECOND, wall_now_us
from server.db.state import eventlog
from tests.integration.sockets.clients import head_after
from tests.kit.company import Company
from tests.kit.eventually import eventually


async def test_hello_is_answered_by_welcome(company: Company) -> None:
    """Every field of the protocol; without a cursor a snapshot is asked for."""
    async with company.socket() as agent:
        welcome = agent.welcome
        assert set(welcome) >= {
            "session",
            "agent",
            "companyId",
            "mode",
            "reason",
            "cursor",
            "pingMs",
            "now",
            "expiresAt",
        }
        assert (welcome["mode"], welcome["reason"], welcome["companyId"], welcome["pingMs"]) == (
            "reset",
            "new",
            company.id,
            1000,
        )
        assert set(welcome["agent"]) == {"id", "name", "role"}
        assert welcome["expiresAt"].endswith("Z")
        assert (
            welcome["cursor"]
            == (await company.http.get("/api/conversations")).headers["inbox-cursor"]
        )


async def test_an_event_holds_its_objects_as_rest_gives_them(company: Company) -> None:
    """Seq, kind, both times, and the whole conversation and message."""
    async with company.socket() as agent:
        await company.post(company.message(1))
        event = await agent.wait_for(lambda e: e.kind == "message.created")
    whole = await company.conversation_with(1)
    (message,) = whole.pop("messages")
    del whole["readCount"], whole["unreadCount"]
    assert event.data == {"conversation": whole, "message": message}
    assert event.at == message["createdAt"]
    assert event.received_at.endswith("Z")
    assert event.seq == whole["seq"] == await company.head()


async def test_a_client_at_the_head_missed_nothing(company: Company) -> None:
    """mode `live`, and the next event follows."""
    async with company.socket() as agent:
        cursor = agent.cursor
    async with company.socket(cursor=cursor) as agent:
        assert (agent.welcome["mode"], agent.welcome["reason"]) == ("live", None)
        await company.post(company.message(1))
        await agent.wait_for_seq(await head_after(company, 1))


async def test_a_client_behind_is_replayed_to(company: Company) -> None:
    """mode `replay`, all events after its cursor, then `live`."""
    async with company.socket() as agent:
        cursor = agent.cursor
    await company.post_all([company.message(n) for n in range(1, 31)])
    head = await head_after(company, 30)
    async with company.socket(cursor=cursor) as agent:
        assert (agent.welcome["mode"], agent.welcome["cursor"]) == (
            "replay",
            f"{str(cursor).partition('.')[0]}.{head}",
        )
        live = await agent.wait_for_frame("live")
        assert live["cursor"] == agent.cursor == agent.welcome["cursor"]
        types = [
            frame["type"] for frame in agent.frames if frame["type"] not in ("ping", "presence")
        ]
        assert types == ["welcome", *["event"] * head, "live"]


async def test_pings_carry_the_head_and_are_answered(company: Company) -> None:
    """Every interval; the kit checks that a client that heard everything is never behind one."""
    async with company.socket() as agent:
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")
        ping = await agent.wait_for_frame("ping", known=1)
        assert set(ping) >= {"id", "cursor", "now"}
        assert agent.is_open
        ids = [frame["id"] for frame in agent.frames_of("ping")]
        assert len(set(ids)) == len(ids)
        assert agent.frames_of("ping")[-1]["cursor"] == agent.cursor


async def test_unknown_types_and_fields_are_ignored(company: Company) -> None:
    """A newer client, with words we do not know yet."""
    async with company.socket() as agent:
        await agent.send("dance", steps=[1, 2])
        await agent.send("typing", conversationId=1, on=True)
        await agent.send("pong", id=1, cursor=agent.cursor, mood="good")
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")
        assert agent.is_open


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "closed"])
async def test_500_webhooks_while_a_client_comes_and_goes(company: Company, is_cut: bool) -> None:
    """Resumed by its cursor again and again: each event once, in order, and what it holds is what a
    snapshot says.
    """
    async with company.socket() as agent, asyncio.TaskGroup() as group:
        for first in range(1, 501, 100):
            group.create_task(_send(company, range(first, first + 100)))
        for seq in range(40, 500, 50):
            await agent.wait_for_seq(seq, limit=20)
            agent.cut() if is_cut else await agent.close()
            await agent.wait_closed()
            assert (await agent.resume())["mode"] != "reset"
        head = await head_after(company, 500, limit=20)
        await agent.wait_for_seq(head, limit=20)
    assert [event.seq for event in agent.events] == list(range(1, head + 1))
    snapshot = {row["id"]: row["seq"] for row in await company.conversations()}
    assert {number: row["seq"] for number, row in agent.model.conversations.items()} == snapshot


async def _send(company: Company, numbers: range) -> None:
    for number in numbers:
        await company.post(company.message(number, conversation_id=number % 7 + 1))


RESET_CURSORS: dict[str, tuple[Callable[[str, int], str], str]] = {
    "of another epoch": (lambda epoch, head: f"{epoch[::-1]}x.{head}", "epoch"),
    "ahead of the head": (lambda epoch, head: f"{epoch}.{head + 1}", "ahead"),
    "as far ahead as can be": (lambda epoch, head: f"{epoch}.{MAX_SAFE_INTEGER}", "ahead"),
}


@pytest.mark.parametrize("case", RESET_CURSORS)
async def test_a_cursor_that_does_not_fit_is_a_reset(company: Company, case: str) -> None:
    """Told with its reason; the events after the head follow."""
    make, reason = RESET_CURSORS[case]
    epoch, _, head = (
        (await company.http.get("/api/conversations")).headers["inbox-cursor"].partition(".")
    )
    async with company.socket(cursor=make(epoch, int(head))) as agent:
        assert (agent.welcome["mode"], agent.welcome["reason"]) == ("reset", reason)
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")


async def test_a_cursor_of_another_company_gives_nothing_of_it(company: Company) -> None:
    """Another company, another epoch: a reset, and then only our own events."""
    async with Company(company.omni) as other:
        await other.post_all([other.message(n, "theirs") for n in range(1, 6)])
        await head_after(other, 5)
        cursor = (await other.http.get("/api/conversations")).headers["inbox-cursor"]
        async with company.socket(cursor=f"{cursor.partition('.')[0]}.1") as agent:
            assert (agent.welcome["mode"], agent.welcome["reason"]) == ("reset", "epoch")
            await company.post(company.message(1, "ours"))
            await agent.wait_for(lambda e: e.kind == "message.created")
            assert {e.data["conversation"]["companyId"] for e in agent.events} == {company.id}


async def test_a_cursor_below_the_floor_is_a_reset(company: Company) -> None:
    """Asleep for days: the events are gone, a snapshot is asked for."""
    cursor = (await company.http.get("/api/conversations")).headers["inbox-cursor"]
    await company.post_all([company.message(n) for n in range(1, 11)])
    await head_after(company, 10)
    far = wall_now_us() + 3600 * SECOND
    await company.database.transaction(lambda c: eventlog.trim_events(c, company.id, far, 5))

    async def is_reset() -> bool:
        async with company.socket(cursor=cursor) as agent:
            return (agent.welcome["mode"], agent.welcome["reason"]) == ("reset", "too_old")

    await eventually(is_reset)
    epoch = cursor.partition(".")[0]
    async with company.socket(cursor=f"{epoch}.5") as agent:  # the floor itself is still good
        await agent.wait_for_frame("live")


async def test_read_marks_of_one_agent_reach_their_other_tabs(company: Company) -> None:
    """`conversation.read` with the agent it belongs to; the conversation itself stays as it is."""
    async with company.socket() as tab:
        await company.post_all([company.message(1), company.message(2)])
        row = await company.conversation_with(2)
        answer = await company.http.post(
            f"/api/conversations/{row['id']}/read", json={"messageId": row["messages"][0]["id"]}
        )
        assert (answer.json()["readCount"], answer.json()["unreadCount"]) == (1, 1)
        event = await tab.wait_for(lambda e: e.kind == "conversation.read")
    assert {name: event.data[name] for name in ("agentId", "readCount", "messageId")} == {
        "agentId": tab.welcome["agent"]["id"],
        "readCount": 1,
        "messageId": row["messages"][0]["id"],
    }
    assert event.data["conversation"]["seq"] == row["seq"]
