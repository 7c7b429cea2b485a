"""Presence of one process: one entry an agent, the whole to whoever missed something, nothing of
other companies.
"""

import asyncio
import time
from typing import Any

from server.close_codes import CloseCode
from server.core.state.presence_state import (
    SILENT_SECONDS,
    TYPING_SECONDS,
    AgentPresence,
    PresenceMessage,
    encode_presence_message,
)
from server.errors import DatabaseUnavailable
from server.live.broadcast import Broadcast
from server.live.bus import Bus
from server.live.connection import LiveConnection
from server.live.conversation_owners import ConversationOwners
from server.live.hub import Hub
from server.live.presence import Presence
from server.live.presence_channel import PresenceChannel
from server.live.presence_receiver import PresenceReceiver
from tests.kit.eventually import eventually
from tests.unit.sockets import Log, Socket, connect

OWN, FOREIGN = 17, 666


class Office:
    """A company's agents of one process, with what each socket was told."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.log = Log(self.hub, 1)
        self.look_ups: list[int] = []
        self.is_database_there = True
        channel = PresenceChannel(Bus("memory://"))
        self.broadcast = Broadcast(self.hub, channel)
        self.presence = Presence(self.hub, channel, ConversationOwners(self._company_of))
        self.receiver = PresenceReceiver(channel, self.broadcast, self.presence)

    def sit_down(self, agent_id: int, name: str = "") -> tuple[LiveConnection, Socket]:
        return connect(
            self.hub,
            self.log,
            1,
            agent_id=agent_id,
            agent_name=name or f"agent {agent_id}",
            colleagues=self.presence,
        )

    async def _company_of(self, conversation_id: int) -> int | None:
        self.look_ups.append(conversation_id)
        await asyncio.sleep(0)
        if not self.is_database_there:
            raise DatabaseUnavailable
        return {OWN: 1, 18: 1, FOREIGN: 2}.get(conversation_id)


def known(socket: Socket) -> dict[int, tuple[int | None, bool]]:
    """What a client holds that applied every presence frame: {agent: (viewing, typing)}."""
    held: dict[int, tuple[int | None, bool]] = {}
    for frame in socket.of_type("presence"):
        if frame["whole"]:
            held = {}
        held |= {one["id"]: (one["viewing"], one["typing"]) for one in frame["agents"]}
        for agent_id in frame["gone"]:
            held.pop(agent_id, None)
    return held


def online(socket: Socket) -> int:
    count: int = socket.of_type("presence")[-1]["online"]
    return count


def say(connection: LiveConnection, message: str) -> None:
    connection.on_text(message.encode())


def view(connection: LiveConnection, conversation_id: int | None) -> None:
    say(
        connection,
        f'{{"type":"viewing","conversationId":{"null" if conversation_id is None else conversation_id}}}',  # noqa: E501
    )


def type_in(connection: LiveConnection, conversation_id: int, *, on: bool = True) -> None:
    say(
        connection,
        f'{{"type":"typing","conversationId":{conversation_id},"on":{"true" if on else "false"}}}',
    )


async def becomes(socket: Socket, expected: dict[int, Any]) -> None:
    await eventually(lambda: bool(socket.of_type("presence")) and known(socket) == expected)


async def test_whoever_comes_is_told_the_whole_and_colleagues_are_told_of_them() -> None:
    """And when they leave. The first frame each socket gets is whole."""
    office = Office()
    _, first = office.sit_down(3)
    await becomes(first, {3: (None, False)})
    second, other = office.sit_down(4, "Tomas")
    await becomes(other, {3: (None, False), 4: (None, False)})
    await becomes(first, {3: (None, False), 4: (None, False)})
    assert [socket.of_type("presence")[0]["whole"] for socket in (first, other)] == [True, True]
    assert [frame["whole"] for frame in first.of_type("presence")[1:]] == [False]
    assert online(first) == online(other) == 2
    second.close(CloseCode.NORMAL)
    await becomes(first, {3: (None, False)})
    assert online(first) == 1


async def test_an_agent_is_one_whatever_number_of_tabs() -> None:
    """Closing one of two does not take them away; what the other looks at is what counts then."""
    office = Office()
    _, watcher = office.sit_down(3)
    one, _ = office.sit_down(4)
    two, _ = office.sit_down(4)
    view(one, OWN)
    view(two, 18)
    await becomes(watcher, {3: (None, False), 4: (18, False)})
    assert online(watcher) == 2
    two.close(CloseCode.NORMAL)
    await becomes(watcher, {3: (None, False), 4: (OWN, False)})
    one.close(CloseCode.NORMAL)
    await becomes(watcher, {3: (None, False)})


async def test_typing_ends_by_itself() -> None:
    """Six seconds after it was last said; the agent still looks there."""
    office = Office()
    _, watcher = office.sit_down(3)
    typist, _ = office.sit_down(4)
    type_in(typist, OWN)
    await becomes(watcher, {3: (None, False), 4: (OWN, True)})
    office.presence.tick(time.monotonic() + TYPING_SECONDS / 2)
    office.presence.tick(time.monotonic() + TYPING_SECONDS + 1)
    await becomes(watcher, {3: (None, False), 4: (OWN, False)})
    assert len([frame for frame in watcher.of_type("presence") if not frame["whole"]]) == 2


async def test_typing_is_seen_until_the_agent_stops_or_goes() -> None:
    """It implies looking there; saying so again within 2 s changes nothing, going elsewhere ends
    it.
    """
    office = Office()
    _, watcher = office.sit_down(3)
    typist, _ = office.sit_down(4)
    type_in(typist, OWN)
    await becomes(watcher, {3: (None, False), 4: (OWN, True)})
    type_in(typist, OWN)
    type_in(typist, OWN, on=False)
    await becomes(watcher, {3: (None, False), 4: (OWN, False)})
    type_in(typist, OWN)
    await becomes(watcher, {3: (None, False), 4: (OWN, True)})
    view(typist, 18)
    await becomes(watcher, {3: (None, False), 4: (18, False)})


async def test_conversations_of_other_companies_are_ignored() -> None:
    """Neither shown nor counted; one that does not exist is asked for once, and not for ever."""
    office = Office()
    _, watcher = office.sit_down(3)
    agent, _ = office.sit_down(4)
    view(agent, OWN)
    await becomes(watcher, {3: (None, False), 4: (OWN, False)})
    type_in(agent, FOREIGN)
    await eventually(lambda: FOREIGN in office.look_ups)
    type_in(agent, 999)
    await eventually(lambda: 999 in office.look_ups)
    view(agent, 18)
    await becomes(watcher, {3: (None, False), 4: (18, False)})
    assert not any(
        one["viewing"] in (FOREIGN, 999)
        for frame in watcher.of_type("presence")
        for one in frame["agents"]
    )
    assert office.look_ups == [OWN, FOREIGN, 999, 18]


async def test_of_what_comes_during_a_look_up_the_last_counts() -> None:
    """A quick click through the list ends where the agent is."""
    office = Office()
    _, watcher = office.sit_down(3)
    agent, _ = office.sit_down(4)
    for number in (OWN, 999, 18):
        view(agent, number)
    await becomes(watcher, {3: (None, False), 4: (18, False)})
    view(agent, OWN)
    view(agent, None)
    await becomes(watcher, {3: (None, False), 4: (None, False)})


async def test_without_the_database_looks_are_not_shown() -> None:
    """And are shown again afterwards; nothing breaks."""
    office = Office()
    _, watcher = office.sit_down(3)
    agent, _ = office.sit_down(4)
    office.is_database_there = False
    view(agent, OWN)
    await eventually(lambda: office.look_ups == [OWN])
    await becomes(watcher, {3: (None, False), 4: (None, False)})
    office.is_database_there = True
    view(agent, OWN)
    await becomes(watcher, {3: (None, False), 4: (OWN, False)})


async def test_a_slow_socket_is_told_the_whole_when_it_has_room() -> None:
    """What is dropped meanwhile is not missing afterwards."""
    office = Office()
    slow, socket = office.sit_down(3)
    _, quick = office.sit_down(5)
    await becomes(socket, {3: (None, False), 5: (None, False)})
    before = len(socket.of_type("presence"))
    slow.on_pause()
    agent, _ = office.sit_down(4)
    view(agent, OWN)
    everyone = {3: (None, False), 4: (OWN, False), 5: (None, False)}
    await becomes(quick, everyone)
    assert len(socket.of_type("presence")) == before
    slow.on_resume()
    await becomes(socket, everyone)
    assert socket.of_type("presence")[before]["whole"]


async def test_many_changes_of_a_moment_are_one_frame() -> None:
    """Fifty agents come, look and type at once: a watcher hears of it in two frames, not in 150."""
    office = Office()
    _, watcher = office.sit_down(1)
    await becomes(watcher, {1: (None, False)})
    before = len(watcher.of_type("presence"))
    for number in range(2, 52):
        agent, _ = office.sit_down(number)
        view(agent, OWN)
        type_in(agent, OWN)
    await eventually(
        lambda: known(watcher) == {1: (None, False)} | {n: (OWN, True) for n in range(2, 52)}
    )
    assert len(watcher.of_type("presence")) - before <= 2


async def test_a_customer_s_typing_goes_to_everyone_at_once() -> None:
    """Written as it comes."""
    office = Office()
    _, first = office.sit_down(3)
    _, second = office.sit_down(4)
    await eventually(lambda: first.of_type("presence") and second.of_type("presence"))
    office.broadcast.show_typing(1, {(OWN, None): True, (18, None): False})
    office.broadcast.show_typing(2, {(FOREIGN, None): True})
    told = [
        (frame["conversationId"], frame["who"], frame["on"]) for frame in first.of_type("typing")
    ]
    assert told == [(OWN, "customer", True), (18, "customer", False)]
    assert first.of_type("typing") == second.of_type("typing")


async def test_agents_of_a_process_that_is_silent_are_gone() -> None:
    """Its notes made them known; nobody says that it died."""
    office = Office()
    _, watcher = office.sit_down(3)
    message = PresenceMessage("elsewhere", (AgentPresence(9, "Rahim", OWN),), is_whole=True)
    office.receiver.receive(1, encode_presence_message(message))
    await becomes(watcher, {3: (None, False), 9: (OWN, False)})
    office.presence.tick(time.monotonic() + SILENT_SECONDS + 1)
    await becomes(watcher, {3: (None, False)})
    assert office.presence.online(1) == {3}


async def test_a_company_nobody_is_in_is_forgotten() -> None:
    """After a while; whoever asks for it again finds it empty."""
    office = Office()
    agent, _ = office.sit_down(3)
    agent.close(CloseCode.NORMAL)
    await eventually(
        lambda: (
            not office.presence._companies[1].board.here
            and office.presence._companies[1].timer is None
        )
    )
    office.presence.tick(time.monotonic() + 3_600)
    assert 1 not in office.presence._companies
    assert office.presence.online(1) == set()
