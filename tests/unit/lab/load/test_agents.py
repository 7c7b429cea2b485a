"""An agent of the harness against a server that lies: each lie is seen, and the line is mended as
the protocol says.
"""

import json
import random
import socket
from collections.abc import Callable, Iterator

import pytest

from server.core.wire.websocket_bytes import text_frame
from server.lab.load.agents import Target
from server.lab.load.counters import Counters
from server.lab.load.fleet import Fleet
from server.lab.load.loop import READ, Loop
from tests.kit.eventually import scaled
from tests.unit.lab.load.test_frames import event

COMPANY = 7


class Liar:
    """Speaks the server's half of the protocol for one agent at a time, and says what the test
    wants said.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._connection: socket.socket | None = None
        self.hellos: list[dict[str, object]] = []
        self.heard: list[dict[str, object]] = []
        loop.add(self._listener.fileno(), READ, self._on_connection)

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self._listener.getsockname()[1])

    def say(self, *frames: bytes) -> None:
        assert self._connection is not None
        self._connection.sendall(b"".join(frames))

    def tell(self, kind: str, **fields: object) -> None:
        self.say(text_frame(json.dumps({"type": kind, **fields}).encode()))

    def welcome(self, mode: str, cursor: str, company_id: int = COMPANY) -> None:
        self.tell("welcome", mode=mode, reason="new", cursor=cursor, companyId=company_id)

    def close(self, code: int) -> None:
        self.say(b"\x88\x02" + code.to_bytes(2))

    def end(self) -> None:
        for one in (self._connection, self._listener):
            if one is not None:
                self._loop.remove(one.fileno())
                one.close()

    def _on_connection(self, mask: int) -> None:
        if self._connection is not None:
            self._loop.remove(self._connection.fileno())
            self._connection.close()
        self._connection, _ = self._listener.accept()
        self._loop.add(self._connection.fileno(), READ, self._on_readable)

    def _on_readable(self, mask: int) -> None:
        assert self._connection is not None
        try:
            data = self._connection.recv(65_536)
        except ConnectionResetError:  # how an agent leaves
            data = b""
        if not data:
            self._loop.remove(self._connection.fileno())
        elif data.startswith(b"GET /ws"):
            self.say(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        else:
            message = json.loads(data[data.index(b"{") :])
            (self.hellos if message["type"] == "hello" else self.heard).append(message)


class Play:
    """One agent and its liar on one loop."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.counters = Counters()
        self.liar = Liar(self.loop)
        self.fleet = Fleet(
            self.loop,
            self.liar.target,
            self.counters,
            lambda company_id, number: "token",
            random.Random(1),
        )
        self.agent = self.fleet.add(COMPANY, 1)
        self.fleet.join([self.agent], 0.0)
        self.until(lambda: len(self.liar.hellos) == 1)

    def until(self, is_true: Callable[[], bool]) -> None:
        self.loop.run_until(is_true, scaled(10), lambda: str(self.counters.snapshot()))


@pytest.fixture
def play() -> Iterator[Play]:
    play = Play()
    play.liar.welcome("reset", "e.5")
    play.until(lambda: play.agent.is_live)
    yield play
    play.fleet.close()
    play.liar.end()


def test_events_in_order_are_no_fault(play: Play) -> None:
    """And each counts once."""
    play.liar.say(text_frame(event(6)), text_frame(event(7)))
    play.until(lambda: play.counters.delivered == 2)
    assert not play.counters.faults.total()
    assert play.agent.cursor == "e.7"


@pytest.mark.parametrize(
    ("seqs", "kind", "count"),
    [((8,), "lost", 2), ((6, 9), "lost", 2), ((6, 6), "doubled", 1), ((6, 7, 6), "disordered", 1)],
)
def test_each_lie_about_the_order_has_its_name(
    play: Play, seqs: tuple[int, ...], kind: str, count: int
) -> None:
    """Together in one read, as here, or apart."""
    for seq in seqs:
        before = play.counters.delivered
        play.liar.say(text_frame(event(seq)))
        play.until(lambda before=before: play.counters.delivered > before)  # type: ignore[misc]
    assert play.counters.faults == {kind: count}


def test_an_event_of_another_company_is_foreign(play: Play) -> None:
    """It is the worst there is."""
    play.liar.say(text_frame(event(6, company_id=8)))
    play.until(lambda: play.counters.delivered == 1)
    assert play.counters.faults["foreign"] == 1


def test_a_ping_that_claims_more_than_was_sent_shows_a_loss(play: Play) -> None:
    """A ping proves completeness; here it proves the contrary."""
    play.liar.tell("ping", id=1, cursor="e.8")
    play.until(lambda: bool(play.liar.heard))
    assert play.liar.heard[0] == {"type": "pong", "id": 1, "cursor": "e.5"}
    assert play.counters.faults["lost"] > 0


def test_a_line_that_is_closed_is_resumed_by_cursor(play: Play) -> None:
    """And a welcome that skips what was missed is a loss."""
    play.liar.say(text_frame(event(6)))
    play.until(lambda: play.counters.delivered == 1)
    play.liar.close(4208)
    play.until(lambda: len(play.liar.hellos) == 2)
    assert play.liar.hellos[1]["cursor"] == "e.6"
    play.liar.welcome("live", "e.9")
    play.until(lambda: play.agent.is_live)
    assert play.counters.closes == {4208: 1}
    assert play.counters.faults["lost"] > 0


def test_what_comes_in_one_read_is_taken_in_its_order(play: Play) -> None:
    """A ping behind the events it speaks of is no loss, nor is a reset between two events."""
    ping = text_frame(b'{"type":"ping","id":1,"cursor":"e.7"}')
    reset = text_frame(b'{"type":"reset","reason":"epoch","cursor":"f.40"}')
    play.liar.say(
        text_frame(event(6)) + text_frame(event(7)) + ping + reset + text_frame(event(41))
    )
    play.until(lambda: play.counters.delivered == 3)
    assert not play.counters.faults.total()
    assert play.agent.cursor == "f.41"


def test_after_a_final_close_code_nobody_comes_back(play: Play) -> None:
    """4000 to 4099."""
    play.liar.close(4003)
    play.until(lambda: play.counters.closes[4003] == 1)
    play.loop.run_for(scaled(0.3))
    assert len(play.liar.hellos) == 1


def test_a_drain_is_followed_at_its_moment(play: Play) -> None:
    """By a new connection that begins where the old one was."""
    play.liar.tell("drain", inMs=20)
    play.until(lambda: len(play.liar.hellos) == 2)
    assert play.liar.hellos[1]["cursor"] == "e.5"
    assert play.counters.cuts == {"drain": 1}
