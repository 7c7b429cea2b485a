"""Which process listens to the agents' socket of which Chatwoot account: one for each, by a lease
in the database.

A place is one company's Chatwoot account: address and number. Two companies on one account have a
connection each, with their own token, so that neither hears by the other's rights. A process that
dies is followed by another within five seconds.
"""

import asyncio
import contextlib
import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from server import log, metrics
from server.chatwoot.cable import CableNetwork
from server.core.times import SECOND
from server.core.token_buckets import Bucket
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.journal import socket_leases
from server.db.journal.socket_leases import Place, SocketState
from server.errors import DatabaseUnavailable
from server.incoming.cable_link import (
    ClientOf,
    Hints,
    Link,
    LinkState,
    Record,
)
from server.integrations.directory import Directory
from server.tasks import spawn, stop

_logger = log.get(__name__)
_EVERY_SECONDS = 0.5
_LEASE_SECONDS = 4.0
_HEARD_EVERY_US = 2 * SECOND  # news is written down no more often than this
_LEAVE_SECONDS = 2.0
# of one company: each holds some MB where a Chatwoot sends what it can, and a company has one
# account or two
_MAX_PLACES = 16
# frames of one company, a large one counts as several
_UNITS_A_SECOND, _UNITS_BURST = 1_000.0, 10_000.0


class CableLeader:
    """`states` is what all processes wrote, as of a moment ago."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        network: CableNetwork,
        client_of: ClientOf,
        record: Record,
        *,
        is_on: bool,
        pause_seconds: float,
        hints: Hints | None = None,
    ) -> None:
        self._hints = hints or Hints()
        self._database = database
        self._directory = directory
        self._network = network
        self._client_of = client_of
        self._record = record
        self._is_on = is_on
        self._pause_seconds = pause_seconds
        self._me = uuid.uuid4().hex
        self._links: dict[Place, tuple[list[Integration], Link, asyncio.Task[None]]] = {}
        self._paces: dict[int, Bucket] = {}
        self._written: dict[Place, SocketState] = {}
        self.states: dict[Place, SocketState] = {}

    async def run(self) -> None:
        """Renews leases and sockets every few seconds; gives them back when it is cancelled."""
        try:
            while True:
                if self._directory.is_loaded:
                    await self._renew_leases()
                await asyncio.sleep(_EVERY_SECONDS)
        finally:
            await self._leave()

    def state_of(self, integration: Integration) -> SocketState | None:
        """How this integration is heard; None where its socket is switched off."""
        if not self._is_on or not _is_wanted(integration):
            return None
        return self.states.get(place_of(integration), SocketState("", 0))

    async def _renew_leases(self) -> None:
        """Renews our leases, claims free ones, and ends what is not wanted or not ours any more."""
        wanted = self._wanted()
        try:
            held, self.states, written = await self._database.transaction(
                lambda c: self._claim(c, wanted), attempts=1
            )
            self._written.update(written)
        except DatabaseUnavailable:
            self._written.clear()  # it may have been written, or not
            # nobody can take it from us either; what is heard goes to the spool
            held = set(self._links)
        for place in list(self._links):
            mine, _, task = self._links[place]
            if place not in held or task.done() or _keys(wanted.get(place, ())) != _keys(mine):
                await self._end(place)
        for place in held & wanted.keys() - self._links.keys():
            self._begin(place, wanted[place])
        metrics.sockets_to_chatwoot.set(
            sum(link.state.state == "live" for _, link, _ in self._links.values())
        )

    async def _claim(
        self, connection: Connection, wanted: Mapping[Place, list[Integration]]
    ) -> tuple[set[Place], dict[Place, SocketState], list[tuple[Place, SocketState]]]:
        """Renews and claims leases. Returns the places that are held, the rows of all, and those of
        ours that were written.
        """
        now_us = await self._database.clock.read(connection)
        until_us = now_us + int(_LEASE_SECONDS * SECOND)
        written: list[tuple[Place, SocketState]] = []
        if self._links:
            await socket_leases.renew_leases(connection, self._me, until_us)
            written = await self._write_states(connection)
        rows = await socket_leases.read_sockets(connection) if wanted or self._links else {}
        held = {place for place, row in rows.items() if row.holder == self._me and row.lease_us > 0}
        await socket_leases.give_back(connection, self._me, held - wanted.keys())
        impossible_us = until_us + 2 * (until_us - now_us)
        for place in sorted(wanted.keys() - held):
            row = rows.get(place)
            is_free = row is None or not now_us <= row.lease_us <= impossible_us
            if is_free and await socket_leases.claim_lease(
                connection, place, self._me, now_us, until_us
            ):
                held.add(place)
        return held & wanted.keys(), rows, written

    async def _write_states(self, connection: Connection) -> list[tuple[Place, SocketState]]:
        changed = []
        for place, (_, link, _) in self._links.items():
            before, now = self._written.get(place), _row(self._me, link.state)
            if before is None or _is_news(before, now):
                changed.append((place, now))
        await socket_leases.write_states(connection, self._me, changed)
        return changed

    def _wanted(self) -> dict[Place, list[Integration]]:
        """Places with the integrations that listen there."""
        found: dict[Place, list[Integration]] = defaultdict(list)
        counts = Counter[int]()
        if self._is_on:
            for integration in sorted(
                self._directory.integrations.values(), key=lambda one: one.id
            ):
                if not _is_wanted(integration):
                    continue
                place = place_of(integration)
                counts[place[0]] += place not in found
                if place in found or counts[place[0]] <= _MAX_PLACES:
                    found[place].append(integration)
        return dict(found)

    def _pace_of(self, company_id: int) -> Bucket:
        if company_id not in self._paces:
            self._paces[company_id] = Bucket(
                _UNITS_A_SECOND, _UNITS_BURST, asyncio.get_running_loop().time()
            )
        return self._paces[company_id]

    def _begin(self, place: Place, integrations: list[Integration]) -> None:
        link = Link(
            integrations,
            self._network,
            self._client_of,
            self._record,
            now_us=self._database.clock.now_us,
            pause_seconds=self._pause_seconds,
            pace=self._pace_of(place[0]),
            hints=self._hints,
        )
        self._links[place] = (integrations, link, spawn(link.run(), f"socket-{integrations[0].id}"))

    async def _end(self, place: Place) -> None:
        _, _, task = self._links.pop(place)
        self._written.pop(place, None)
        await stop(task)

    async def _leave(self) -> None:
        """On the way out: what was held is free at once."""
        places = list(self._links)
        for place in places:
            await self._end(place)
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._database.transaction(
                    lambda c: socket_leases.give_back(c, self._me, places), attempts=1
                )


def place_of(integration: Integration) -> Place:
    """The lease's name: the company, and a digest of address and account."""
    text = f"{integration.base_url}\n{integration.account_id}"
    return integration.company_id, hashlib.sha256(text.encode()).hexdigest()


def _is_wanted(one: Integration) -> bool:
    is_on = one.is_active and one.is_webhook_active and one.is_socket_active
    return (
        is_on
        and one.is_proved
        and not one.problem
        and bool(one.account_id and one.access_token and one.base_url)
    )


def _keys(integrations: Iterable[Integration]) -> list[tuple[int, int | None, str]]:
    """What a connection depends on."""
    return [(one.id, one.inbox_id, one.access_token) for one in integrations]


def _row(holder: str, link: LinkState) -> SocketState:
    return SocketState(
        holder, 0, link.state, link.problem, link.connected_us, link.heard_us, link.behind_us
    )


def _is_news(before: SocketState, now: SocketState) -> bool:
    if (before.state, before.problem, before.connected_us) != (
        now.state,
        now.problem,
        now.connected_us,
    ):
        return True
    return (now.heard_us or 0) - (before.heard_us or 0) > _HEARD_EVERY_US
