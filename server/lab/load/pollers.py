"""Clients that poll: the list every 10 s, the open thread every 5 s, each with the ETag it got
last, as a browser's cache does it.
"""

import random
import time
from collections.abc import Callable

import msgspec

from server.lab.load.agents import Target
from server.lab.load.counters import Counters
from server.lab.load.http_client import Answer, Connection, request
from server.lab.load.loop import Loop
from server.lab.load.message_tag import parse_tags

LIST_SECONDS, THREAD_SECONDS = 10.0, 5.0
_LIST = "/api/conversations?status=Open"


def _thread(conversation_id: int) -> str:
    return f"/api/conversations/{conversation_id}/messages"


class _Row(msgspec.Struct, rename="camel"):
    id: int
    company_id: int


class Screen:
    """What one page has on its screen, by address: when the newest text read there was written
    (monotonic seconds).
    """

    def __init__(self) -> None:
        self._newest: dict[str, float] = {}

    def forget(self, path: str) -> None:
        """The page no longer asks for this address: what is written there from now on does not wait
        for it.
        """
        self._newest.pop(path, None)

    def read(self, path: str, body: bytes, now: float) -> list[float]:
        """Seconds that each text waited which is newer than all read here; none at the first
        read, which shows what others have seen.
        """
        before = self._newest.get(path)
        moments = [written_at for _, written_at in parse_tags(body)]
        self._newest[path] = max(moments, default=now if before is None else before)
        return (
            []
            if before is None
            else [now - written_at for written_at in moments if written_at > before]
        )


class Poller:
    """One page left open by one agent. It opens a new conversation, and changes to another one now
    and then.
    """

    def __init__(
        self,
        loop: Loop,
        target: Target,
        counters: Counters,
        *,
        company_id: int,
        token: str,
        rng: random.Random,
    ) -> None:
        self._loop = loop
        self._target = target
        self._counters = counters
        self._rng = rng
        self.company_id = company_id
        self._token = token
        self._connections = {
            path: Connection(loop, target.host, target.port) for path in ("list", "thread")
        }
        self._etags: dict[str, bytes] = {}
        self._screen = Screen()
        self._is_over = False
        self.conversation_id: int | None = None

    def start(self, after: float) -> None:
        """Poll from then on (seconds from now), until `stop`."""
        started_at = time.monotonic() + after
        self._loop.call_at(started_at, self._poll_list)
        self._loop.call_at(started_at + self._rng.uniform(1, THREAD_SECONDS), self._poll_thread)

    def stop(self) -> None:
        """Poll no more, and close both connections."""
        self._is_over = True
        for connection in self._connections.values():
            connection.close()

    def _poll_list(self) -> None:
        if not self._is_over:
            self._ask("list", _LIST, self._on_list)
            self._loop.call_at(time.monotonic() + LIST_SECONDS, self._poll_list)

    def _poll_thread(self) -> None:
        if not self._is_over:
            if self.conversation_id is not None:
                self._ask("thread", _thread(self.conversation_id), self._on_thread)
            self._loop.call_at(time.monotonic() + THREAD_SECONDS, self._poll_thread)

    def _ask(self, kind: str, path: str, on_body: Callable[[bytes], None]) -> None:
        connection = self._connections[kind]
        if connection.is_busy:
            return

        def on_answer(answer: Answer) -> None:
            self._counters.requests += 1
            self._counters.poll_answers[answer.status] += 1
            self._counters.received_bytes += answer.size
            if answer.status:
                self._counters.polls.add(answer.seconds)
            else:
                self._counters.failures[answer.problem] += 1
            if answer.status == 200:
                self._etags[path] = answer.header(b"etag") or b""
                body = answer.body()
                for seconds in self._screen.read(path, body, time.monotonic()):
                    self._counters.poll_delays.add(seconds)
                on_body(body)

        connection.send(
            request("GET", path, self._target.host_header, self._token, etag=self._etags.get(path)),
            on_answer,
        )

    def _on_list(self, body: bytes) -> None:
        rows = msgspec.json.decode(body, type=list[_Row])
        self._counters.faults["foreign"] += sum(row.company_id != self.company_id for row in rows)
        if rows and (self.conversation_id is None or self._rng.random() < 0.1):
            self._open(self._rng.choice(rows[:10]).id)

    def _open(self, conversation_id: int) -> None:
        if self.conversation_id is not None and self.conversation_id != conversation_id:
            self._screen.forget(_thread(self.conversation_id))
        self.conversation_id = conversation_id

    def _on_thread(self, body: bytes) -> None:
        row = msgspec.json.decode(body, type=_Row)
        self._counters.faults["foreign"] += row.company_id != self.company_id
