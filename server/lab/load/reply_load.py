"""Agents' replies over REST, with an idempotency key each: what is not answered is asked again, as
the inbox in the browser does.
"""

import random
import time

import msgspec

from server.lab.load.agents import Target
from server.lab.load.counters import Counters
from server.lab.load.fleet import Fleet, TokenOf
from server.lab.load.http_client import Answer, Connection, request
from server.lab.load.loop import Loop
from server.lab.load.message_tag import tag_text
from server.lab.load.texts import REPLIES

_AGAIN_SECONDS = 1.0
_CONNECTIONS = 4
FIRST_NUMBER = 1_000_000_000  # numbers of replies lie above all those of customers' messages


class Replier:
    """Writes replies at a rate. `accepted`: by company, the numbers of those that were answered 201
    or 200. `open`: how many are not answered yet.
    """

    def __init__(
        self,
        loop: Loop,
        target: Target,
        counters: Counters,
        fleet: Fleet,
        token_of: TokenOf,
        *,
        per_minute: float,
        first: int,
        rng: random.Random,
    ) -> None:
        self._loop = loop
        self._target = target
        self._counters = counters
        self._fleet = fleet
        self._token_of = token_of
        self._per_minute = per_minute
        self._rng = rng
        self._number = first
        self._connections = [
            Connection(loop, target.host, target.port) for _ in range(_CONNECTIONS)
        ]
        self._is_over = False
        self.accepted: dict[int, list[int]] = {}
        self.open = 0

    def start(self) -> None:
        """Write the next reply after a random time; each one written starts the next."""
        if self._per_minute > 0:
            self._loop.call_at(
                time.monotonic() + self._rng.expovariate(self._per_minute / 60), self._write_one
            )

    def stop(self) -> None:
        """No further replies; those under way go on."""
        self._is_over = True

    def close(self) -> None:
        """Close the connections; replies under way are not answered any more."""
        for connection in self._connections:
            connection.close()

    def _write_one(self) -> None:
        if self._is_over:
            return
        self.start()
        companies = list(self._fleet.conversations)
        if companies:
            company_id = self._rng.choice(companies)
            conversation_id = self._rng.choice(self._fleet.conversations[company_id])
            self._number += 1
            self.open += 1
            body = msgspec.json.encode(
                {"content": tag_text(self._number, self._rng.choice(REPLIES))}
            )
            self._send(
                company_id, f"/api/conversations/{conversation_id}/reply", self._number, body
            )

    def _send(self, company_id: int, path: str, number: int, body: bytes) -> None:
        connection = next((one for one in self._connections if not one.is_busy), None)
        if connection is None:
            self._later(company_id, path, number, body)
            return
        key = f"Idempotency-Key: load-{number}\r\n"
        token = self._token_of(company_id, 0)

        def on_answer(answer: Answer) -> None:
            self._counters.requests += 1
            if answer.status in (200, 201):
                self._counters.replies["taken"] += 1
                self.accepted.setdefault(company_id, []).append(number)
                self.open -= 1
            elif answer.status in (0, 429) or answer.status >= 500:
                self._counters.replies["asked again"] += 1
                self._later(company_id, path, number, body)
            else:
                self._counters.replies[f"refused {answer.status}"] += 1
                self.open -= 1

        connection.send(
            request("POST", path, self._target.host_header, token, body=body, extra=key), on_answer
        )

    def _later(self, company_id: int, path: str, number: int, body: bytes) -> None:
        self._loop.call_at(
            time.monotonic() + _AGAIN_SECONDS, lambda: self._send(company_id, path, number, body)
        )
