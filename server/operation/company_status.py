"""The status of one company: who is connected, what comes in, how long it takes to the screen,
what waits, and what is wrong.

Told from the journal and from when events were written to agents, so it is the same in every
process. Kept for a second, as several administrators may watch it.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from server.core.checks.integration_checks import Finding
from server.core.pages.plots import (
    HEIGHT,
    WIDTH,
    percentile,
    polylines,
    round_top,
)
from server.core.times import (
    SECOND,
    iso,
    iso_or_none,
    parse_time,
    wall_now_us,
)
from server.db import status_counts
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.journal import fanouts, finds
from server.db.journal.finds import Losses
from server.db.journal.spool import Spool
from server.errors import DatabaseUnavailable
from server.integrations.directory import Directory
from server.problems import Problem, Text

_MINUTES = 60
_MINUTE_US = 60 * SECOND
_MAX_DELAYS = 3_000
_KEPT_SECONDS = 1.0
_LOSSES_SECONDS = 10.0
_DAY_US = 24 * 3600 * SECOND
# a busy Chatwoot was seen to be 153 s late; what is older was fetched
_MAX_DELAY_US = 180 * SECOND
_SILENT_SECONDS = 24 * 3600  # a quiet day is worth a word, not an alarm
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

Json = dict[str, Any]
# webhooks by minute; (end, body) of fan-outs; what waits
_Counts = tuple[dict[int, int], list[tuple[int, bytes]], status_counts.Backlog]


class _Event(msgspec.Struct):
    kind: str
    at: str


class CompanyStatus:
    """`online` counts a company's agents who are connected, in all processes; `problems` are
    sentences about integrations, `parts` what works of this process.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        spool: Spool,
        *,
        online: Callable[[int], int],
        problems: Callable[[], list[Text]],
        parts: Callable[[], list[Finding]],
        source_of: Callable[[Integration], tuple[Problem, Json]],
        delay: Callable[[Iterable[int]], float | None] = lambda integration_ids: None,
    ) -> None:
        """`delay`: how many seconds late the webhooks of some integrations come at the moment."""
        self._delay = delay
        self._losses: dict[int, tuple[float, Losses]] = {}
        self._database = database
        self._directory = directory
        self._spool = spool
        self._online = online
        self._problems = problems
        self._parts = parts
        self._source_of = source_of
        self._kept: dict[int, tuple[float, Json]] = {}

    async def report(self, company_id: int) -> Json:
        """The status as JSON, kept for a second; null is what only the database knows while it is
        away.
        """
        now = time.monotonic()
        kept = self._kept.get(company_id)
        if kept is not None and now - kept[0] < _KEPT_SECONDS:
            return kept[1]
        found = await self._build_report(company_id)
        self._kept = {
            key: value for key, value in self._kept.items() if now - value[0] < _KEPT_SECONDS
        } | {company_id: (now, found)}
        return found

    async def _build_report(self, company_id: int) -> Json:
        own = [one for one in self._directory.integrations.values() if one.company_id == company_id]
        now_us = wall_now_us()
        first = now_us // _MINUTE_US - _MINUTES + 1
        counts, walks, backlog = await self._read(company_id, {one.id for one in own}, first)
        is_known = backlog.deliveries is not None
        webhooks: list[float | None] = [
            float(counts.get(first + n, 0)) if is_known else None for n in range(_MINUTES)
        ]
        delays = _delays_by_minute(walks, first)
        return {
            "now": iso(now_us),
            "agentsOnline": self._online(company_id),
            "backlog": {
                "deliveries": backlog.deliveries,
                "replies": backlog.replies,
                "dead": backlog.dead,
                "spooled": self._spool.waiting,
            },
            "repaired": sum(one.repaired_count for one in own),
            "losses": await self._losses_today(company_id, {one.id for one in own}, now_us),
            "parts": [_part(found) for found in self._parts()],
            "integrations": [self._integration(one, now_us) for one in own],
            "plots": {
                "webhooks": _plot({"webhooks": webhooks}),
                "delay": _plot(_percentiles(delays)),
            },
        }

    async def _read(self, company_id: int, numbers: set[int], first: int) -> _Counts:
        """What the database knows since the minute `first`; nothing while it is away: then above
        all one wants to see what is wrong, and what is known from memory is shown.
        """
        since_us = first * _MINUTE_US

        async def read(connection: Connection) -> _Counts:
            return (
                await status_counts.count_by_minute(connection, numbers, since_us),
                await fanouts.read_delays(connection, company_id, since_us, _MAX_DELAYS),
                await status_counts.read_backlog(connection, company_id, numbers),
            )

        try:
            return await self._database.read(read)
        except DatabaseUnavailable:
            return {}, [], status_counts.Backlog(None, None, None)

    async def _losses_today(self, company_id: int, numbers: set[int], now_us: int) -> Json:
        """Of the webhooks of this day (UTC); counted at most every ten seconds."""
        at, losses = self._losses.get(company_id, (float("-inf"), Losses(0, 0, 0)))
        if time.monotonic() - at >= _LOSSES_SECONDS:
            with contextlib.suppress(DatabaseUnavailable):
                losses = await self._database.read(
                    lambda c: finds.read_losses(c, numbers, now_us - now_us % _DAY_US)
                )
                self._losses[company_id] = (time.monotonic(), losses)
        delay = self._delay(numbers)
        return {
            "came": losses.came,
            "lost": losses.lost,
            "late": losses.late,
            "delaySeconds": None if delay is None else round(delay, 1),
        }

    def _problem_of(self, integration_id: int) -> Text | None:
        """The first one in the report that names the integration."""
        for one in self._problems():
            if (
                isinstance(one, Problem)
                and one.code == "integration.named_problem"
                and one.params["id"] == integration_id
            ):
                why = one.params["why"]
                return str(why) if isinstance(why, int) else why
        return None

    def _integration(self, one: Integration, now_us: int) -> Json:
        seconds = (now_us - one.seen_us) / SECOND if one.seen_us else None
        problem = (
            one.problem
            or (None if one.is_proved else Problem.of("status.unproved"))
            or self._problem_of(one.id)
        )
        if problem is None and not one.is_active:
            problem = Problem.of("status.off")
        if problem is None and not one.is_webhook_active:
            problem = Problem.of("status.webhooks_off")
        if problem is None and seconds is None:
            problem = Problem.of("status.no_webhook")
        if problem is None and seconds is not None and seconds > _SILENT_SECONDS:
            problem = Problem.of("status.silent", hours=int(seconds // 3600))
        if problem is None and not one.secrets:
            problem = Problem.of("status.unsigned")
        account, inbox = one.account_id or 0, one.inbox_id or Problem.of("noun.any")
        name = Problem.of("status.name", account=account, inbox=inbox)
        told = {
            "id": one.id,
            "name": name,
            "lastWebhookAt": iso_or_none(one.seen_us or None),
            "isWell": problem is None,
            "text": problem,
        }
        sentence, sources = self._source_of(one)
        return told | {"socketText": sentence, "sources": sources}


def _part(found: Finding) -> Json:
    return {
        "name": found.name,
        "state": found.state,
        "isWell": found.state == "ok",
        "text": found.text,
        "remedy": found.remedy or None,
    }


def _delays_by_minute(walks: list[tuple[int, bytes]], first: int) -> list[list[float]]:
    """Seconds from a message's own moment in Chatwoot to its frame's last socket. Old messages that
    a sync found are no delay.
    """
    minutes: list[list[float]] = [[] for _ in range(_MINUTES)]
    for ended_us, body in walks:
        event = msgspec.json.decode(body, type=_Event)
        at_us = parse_time(event.at)
        place = ended_us // _MINUTE_US - first
        if (
            event.kind == "message.created"
            and at_us is not None
            and 0 <= place < _MINUTES
            and ended_us - at_us < _MAX_DELAY_US
        ):
            minutes[place].append(max(0.0, (ended_us - at_us) / SECOND))
    return minutes


def _percentiles(minutes: list[list[float]]) -> dict[str, list[float | None]]:
    """In milliseconds."""
    return {
        name: [None if (v := percentile(values, share)) is None else v * 1000 for values in minutes]
        for name, share in _SHARES.items()
    }


def _plot(lines: dict[str, list[float | None]]) -> Json:
    top = round_top(
        max(
            [value for values in lines.values() for value in values if value is not None], default=1
        )
        or 1
    )
    newest = {
        name: next((math.ceil(value) for value in reversed(values) if value is not None), None)
        for name, values in lines.items()
    }
    paths = {name: polylines(values, top) for name, values in lines.items()}
    return {"width": WIDTH, "height": HEIGHT, "top": top, "newest": newest, "paths": paths}
