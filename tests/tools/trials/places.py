"""The places where a newcomer looks: `/readyz`, the log, the status page's data, `omni-inbox
doctor`.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.cluster import COMPANY
from tests.kit.eventually import scaled
from tests.kit.omni import COMMAND, Omni

_LOOK_SECONDS = 0.25
_ADMIN = "somebody new"


@dataclass(frozen=True)
class Said:
    """`seconds` after the fault; None: not within the limit."""

    seconds: float | None
    text: str


class Places:
    """Made before the fault, so that what was said before does not count."""

    def __init__(self, server: Omni) -> None:
        self._server = server
        self._log_from = len(server.log)
        self._token = server.token(COMPANY, _ADMIN, role="admin", name="New")

    async def wait_well(self, limit: float = 30.0) -> None:
        """Until nothing is wrong; and the newcomer is known, for an agent that is seen for the
        first time is written down.
        """
        until = time.monotonic() + scaled(limit)
        while (texts := await self._readyz()) or not await self._status():
            if time.monotonic() > until:
                raise TimeoutError(f"not well before the trial: {texts}")
            await asyncio.sleep(_LOOK_SECONDS)
        self._log_from = len(self._server.log)

    async def find(self, wanted: Mapping[str, str], limit: float) -> dict[str, Said]:
        """What each of the wanted places says with that word in it, and when it first did."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(self._first(began, getattr(self, f"_{name}"), word, limit))
                for name, word in wanted.items()
            }
        return {name: task.result() for name, task in tasks.items()}

    async def _first(
        self, began: float, look: Callable[[], Awaitable[list[str]]], word: str, limit: float
    ) -> Said:
        while True:
            try:
                texts = await look()
            except httpx.HTTPError as error:
                texts = [f"no answer ({type(error).__name__})"]
            seconds = time.monotonic() - began
            if found := next((text for text in texts if word in text), None):
                return Said(seconds, found)
            if seconds > scaled(limit):
                return Said(None, "; ".join(texts[:3]) or "nothing")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _readyz(self) -> list[str]:
        async with self._server.client() as http:
            report = (await http.get("/readyz")).json()
        return [*report["problems"], *report["notes"]]

    async def _log(self) -> list[str]:
        return [
            _told(line)
            for line in self._server.log[self._log_from :].splitlines()
            if line.startswith("{")
        ]

    async def _status(self) -> list[str]:
        async with self._server.client(self._token) as http:
            answer = await http.get("/api/status")
        if answer.status_code != 200:
            return [f"{answer.status_code}: {answer.json()['message']}"]
        found = answer.json()
        return [
            f"{one['name']}: {one['text']}" for one in (*found["parts"], *found["integrations"])
        ]

    async def _doctor(self) -> list[str]:
        process = await asyncio.create_subprocess_exec(
            str(COMMAND),
            "doctor",
            "--json",
            env=self._server.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await process.communicate()
        findings: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
        return [f"{one['state']}: {one['text']}" for one in findings]


def _told(line: str) -> str:
    """A line of the log without what every line has."""
    fields: dict[str, Any] = json.loads(line)
    rest = [
        f"{key}={value}"
        for key, value in fields.items()
        if key not in ("event", "level", "logger", "timestamp", "exception")
    ]
    return " ".join([str(fields["event"]), *rest])
