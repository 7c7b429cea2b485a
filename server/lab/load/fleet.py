"""The agents of one worker: when each connects, which are cut or read slowly; what was read is
parsed once for all of them.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Sequence

from server.lab.load.agents import Agent, Target
from server.lab.load.counters import Counters
from server.lab.load.frame_reader import Piece
from server.lab.load.loop import Loop

_MAX_CACHED_BYTES = 16_384
_MAX_CACHED_PIECES = 64
_MAX_CONNECTING = 300
_PAUSE_SECONDS = 12.0  # longer than the server waits for a client that does not read
_PAUSE_INTERVAL_SECONDS = 30.0
_TURN_SECONDS = 0.02

TokenOf = Callable[[int, int], str]


class Fleet:
    """Agents on one loop. `token_of(company, number)`: a token of the company's agent with that
    number.
    """

    def __init__(
        self, loop: Loop, target: Target, counters: Counters, token_of: TokenOf, rng: random.Random
    ) -> None:
        self.loop = loop
        self.target = target
        self.counters = counters
        self.agents: list[Agent] = []
        # company -> conversations written in lately: where replies go
        self.conversations: dict[int, deque[int]] = {}
        self._token_of = token_of
        self._rng = rng
        self._pieces: dict[bytes, Piece] = {}
        self._waiting: deque[Agent] = deque()
        self._connecting: set[Agent] = set()
        self._is_over = False

    def add(self, company_id: int, number: int, *, is_slow: bool = False) -> Agent:
        """Make an agent, which does not connect yet. A slow one parses for itself what it reads."""
        agent = Agent(
            self.loop,
            self.target,
            self.counters,
            company_id=company_id,
            number=number,
            token=self._token_of(company_id, number),
            is_slow=is_slow,
            read_piece=self.read_piece if not is_slow else Piece,
            on_gone=self._on_gone,
        )
        self.agents.append(agent)
        return agent

    def join(self, agents: Sequence[Agent], over_seconds: float) -> None:
        """Let these connect, evenly over so many seconds; never more than a few hundred at a time
        are under way.
        """
        start = time.monotonic()
        for place, agent in enumerate(agents):
            self.loop.call_at(
                start + over_seconds * place / max(1, len(agents)),
                lambda agent=agent: self._ask(agent),  # type: ignore[misc]
            )

    def drop_often(self, every_seconds: float) -> None:
        """From now on cut each line after so many seconds on average, whatever it is doing."""
        for agent in self.agents:
            self._drop_later(agent, every_seconds)

    def read_slowly(self) -> None:
        """The slow ones among the agents stop reading for seconds, again and again."""
        for agent in self.agents:
            if agent.is_slow:
                self._pause_later(agent)

    def stop_faults(self) -> None:
        """End drops and pauses, so that all agents can catch up with the log."""
        self._is_over = True
        for agent in self.agents:
            agent.resume()

    def close(self) -> None:
        """Cut all agents for good."""
        self._waiting.clear()
        for agent in self.agents:
            agent.cut("end", after=None)

    def levels(self) -> dict[int, tuple[int, int, int]]:
        """By company: (agents, of them live, the lowest seq that any of them has read)."""
        found: dict[int, tuple[int, int, int]] = {}
        for agent in self.agents:
            count, live, least = found.get(agent.company_id, (0, 0, agent.seq))
            found[agent.company_id] = (count + 1, live + agent.is_live, min(least, agent.seq))
        return found

    def read_piece(self, data: bytes) -> Piece:
        """Parse what an agent has read; equal bytes of other agents are parsed once."""
        if len(data) > _MAX_CACHED_BYTES:
            return self._count_piece(Piece(data))
        known = self._pieces.get(data)
        if known is None:
            if len(self._pieces) >= _MAX_CACHED_PIECES:
                self._pieces.clear()
            known = self._pieces[data] = self._count_piece(Piece(data))
        return known

    def _count_piece(self, piece: Piece) -> Piece:
        if len(piece.companies) == 1:
            [company_id] = piece.companies
            for seq, number, _ in piece.tags:
                self.counters.record_seen(company_id, seq, number)
            if piece.conversations:
                self.conversations.setdefault(company_id, deque(maxlen=50)).extend(
                    piece.conversations
                )
        return piece

    # connecting

    def _ask(self, agent: Agent) -> None:
        if not agent.is_connected:
            self._waiting.append(agent)
            self._fill()

    def _fill(self) -> None:
        self._connecting = {
            agent for agent in self._connecting if agent.is_connected and not agent.is_live
        }
        while self._waiting and len(self._connecting) < _MAX_CONNECTING:
            agent = self._waiting.popleft()
            if not agent.is_connected:
                self._connecting.add(agent)
                agent.connect()
        if self._waiting:
            self.loop.call_at(time.monotonic() + _TURN_SECONDS, self._fill)

    def _on_gone(self, agent: Agent, after: float | None) -> None:
        if after is not None:
            self.loop.call_at(time.monotonic() + after, lambda: self._ask(agent))

    # what goes wrong on purpose

    def _drop_later(self, agent: Agent, every_seconds: float) -> None:
        def drop() -> None:
            if not self._is_over:
                agent.cut("dropped on purpose")
                self._drop_later(agent, every_seconds)

        self.loop.call_at(time.monotonic() + self._rng.uniform(0, 2 * every_seconds), drop)

    def _pause_later(self, agent: Agent) -> None:
        def pause() -> None:
            if not self._is_over:
                agent.pause()
                self.loop.call_at(time.monotonic() + _PAUSE_SECONDS, resume)

        def resume() -> None:
            agent.resume()
            self._pause_later(agent)

        self.loop.call_at(time.monotonic() + self._rng.uniform(0, _PAUSE_INTERVAL_SECONDS), pause)
