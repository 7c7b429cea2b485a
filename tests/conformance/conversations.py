"""The conversations: frames recorded from a real server, put into the order in which each rule of
the protocol shows.

A step is one of: `connection` (the client must come, within so many milliseconds), `join` (its
hello has no cursor, or this one, which is where its snapshot ends; `welcome` answers it), `say` (a
frame of the server's), `expect` (a type the client must say, with fields that must be equal),
`close` (a code), `cut` (the line breaks), `silence` (it must not come for so long).
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

FOLDER = Path(__file__).parent / "conversations"
FRAMES = Path(__file__).parent / "frames.json"
_COME_MS = 5_000

Frame = dict[str, Any]
Step = dict[str, Any]


class Conversation(TypedDict):
    """`applied`: the numbers of the events a client has applied when it is over, each once."""

    name: str
    rule: str
    steps: list[Step]
    applied: list[int]
    cursor: str  # a client that has a snapshot begins here


def written(frames: dict[str, Any]) -> Iterator[Conversation]:
    """All of them. `frames`: `welcome`, `events` (at least six in a row), `ping`, `live`, as a
    server said them.
    """
    book = _Book(frames)
    for name, rule, steps, applied in (
        book.first_visit(),
        book.resume(),
        book.drain(),
        book.reset(),
        book.final(),
        book.newer_server(),
        book.gap(),
    ):
        yield {
            "name": name,
            "rule": rule,
            "cursor": steps[1]["join"],
            "steps": steps,
            "applied": applied,
        }


def read_all() -> list[Conversation]:
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


Written = tuple[str, str, list[Step], list[int]]


class _Book:
    def __init__(self, frames: dict[str, Any]) -> None:
        self._frames = frames
        self._events: list[Frame] = frames["events"]
        self._seqs = [event["seq"] for event in self._events]
        self._epoch = frames["welcome"]["cursor"].rpartition(".")[0]

    def first_visit(self) -> Written:
        steps = [*self._join(), self._event(0), self._event(1), *self._beat(1, 7)]
        rule = (
            "hello has no cursor, or that of the snapshot; events are applied in order; ping "
            "gets pong with its id and the client's cursor"
        )
        return "first-visit", rule, steps, self._seqs[:2]

    def resume(self) -> Written:
        steps = [*self._join(), self._event(0), self._event(1), {"cut": True}, *self._come(1)]
        steps += [
            self._welcome("replay", 3),
            self._event(2),
            self._event(3),
            {"say": self._frames["live"] | {"cursor": self._cursor(3)}},
        ]
        return (
            "resume",
            "after a broken line hello has the cursor; replayed events count once",
            [*steps, *self._beat(3, 8)],
            self._seqs[:4],
        )

    def drain(self) -> Written:
        steps = [
            *self._join(),
            self._event(0),
            {"say": {"type": "drain", "inMs": 200}},
            *self._come(0),
        ]
        return (
            "drain",
            "the client comes again by itself, with its cursor",
            [*steps, self._welcome("live", 0), *self._beat(0, 9)],
            self._seqs[:1],
        )

    def reset(self) -> Written:
        """Another epoch: the old cursor is forgotten, events go on from the new one."""
        second = [event | {"seq": number} for number, event in enumerate(self._events[1:3], 501)]
        steps = [
            *self._join(),
            self._event(0),
            {"say": {"type": "reset", "reason": "epoch", "cursor": "another.500"}},
        ]
        steps += [{"say": event} for event in second] + self._pinged("another.502", 10)
        return (
            "reset",
            "after a reset the client goes on from the cursor it names",
            steps,
            [self._seqs[0], 501, 502],
        )

    def final(self) -> Written:
        steps = [
            *self._join(),
            {
                "say": {
                    "type": "error",
                    "code": "forbidden",
                    "message": "",
                    "retryMs": None,
                    "fatal": True,
                }
            },
        ]
        return (
            "final",
            "after a close code from 4000 to 4099 nobody comes back",
            [*steps, {"close": 4003}, {"silence": 1_500}],
            [],
        )

    def newer_server(self) -> Written:
        newer = copy.deepcopy(self._events[0]) | {"colour": "blue", "kind": "conversation.painted"}
        newer["data"]["conversation"]["mood"] = {"is": "good"}
        steps = [
            *self._join(more={"weather": "fine"}),
            {"say": {"type": "horoscope", "sign": "lion"}},
            {"say": newer},
            *self._beat(0, 11),
        ]
        rule = "unknown types and fields are ignored; an event of an unknown kind is an event"
        return "newer-server", rule, steps, self._seqs[:1]

    def gap(self) -> Written:
        steps = [
            *self._join(),
            self._event(0),
            self._event(2),
            *self._come(0),
            self._welcome("replay", 2),
        ]
        steps += [
            self._event(1),
            self._event(2),
            {"say": self._frames["live"] | {"cursor": self._cursor(2)}},
            *self._beat(2, 12),
        ]
        return (
            "gap",
            (
                "a number that does not follow is not applied: the client connects again with its "
                "cursor"
            ),
            steps,
            self._seqs[:3],
        )

    def _join(self, more: Frame | None = None) -> list[Step]:
        before = f"{self._epoch}.{self._seqs[0] - 1}"
        welcome = (
            self._frames["welcome"]
            | {"mode": "live", "reason": None, "cursor": before}
            | (more or {})
        )
        return [{"connection": _COME_MS}, {"join": before, "welcome": welcome}]

    def _come(self, last: int) -> list[Step]:
        return [
            {"connection": _COME_MS},
            {"expect": "hello", "fields": {"cursor": self._cursor(last)}},
        ]

    def _welcome(self, mode: str, head: int) -> Step:
        return {
            "say": self._frames["welcome"]
            | {"mode": mode, "reason": None, "cursor": self._cursor(head)}
        }

    def _event(self, number: int) -> Step:
        return {"say": self._events[number]}

    def _beat(self, last: int, number: int) -> list[Step]:
        return self._pinged(self._cursor(last), number)

    def _pinged(self, cursor: str, number: int) -> list[Step]:
        """The pong is the proof that everything before it has been taken in."""
        ping = self._frames["ping"] | {"id": number, "cursor": cursor}
        return [{"say": ping}, {"expect": "pong", "fields": {"id": number, "cursor": cursor}}]

    def _cursor(self, number: int) -> str:
        return f"{self._epoch}.{self._seqs[number]}"
