"""A process's memory of agents, tokens and sessions, and how it stays true: withdrawn access is
noticed within seconds.

Every process looks up what changed every two seconds, whatever the bus does, and closes the sockets
concerned. What is in memory counts for `CONFIRMED_SECONDS` after it was confirmed: then nothing is
read, and no event leaves, before it has been confirmed again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

import msgspec

from server import log
from server.access.confirmation import Confirmation
from server.access.tokens import Claims, Tokens
from server.core.bounded_dict import BoundedDict
from server.core.times import SECOND
from server.core.wire.withdrawals import Standing, encode_withdrawals, parse_withdrawals
from server.db.access import agent_rows, agent_sessions
from server.db.access.agent_rows import Agent, AgentChange
from server.db.engine.database import Connection, Database
from server.errors import DatabaseUnavailable
from server.settings import Settings
from server.tasks import spawn

_logger = log.get(__name__)
_MAX_REMEMBERED = 50_000
# what was written at the same time may be committed later; a row looked at twice does no harm
_OVERLAP_US = 15 * SECOND
_PAGE = 5_000
_COMPARED_PAGE = 2_000
_AGAIN_SECONDS = 0.5  # the next look after one that failed
_CONFIRM_SECONDS = 5.0

OnChanged = Callable[[Agent], None]
OnEnded = Callable[[Collection[str]], None]


class AccessMemory:
    """Keeps agents, tokens and sessions in memory. `on_changed` gets an agent whose row is another
    one than before (or gone: then it is not active), `on_ended` the keys of ended sessions: those
    of one refresh together, as the receiver iterates over all sockets.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        on_changed: OnChanged,
        on_ended: OnEnded,
        *,
        confirmation: Confirmation | None = None,
        connected: Callable[[], Collection[int]] = tuple,
        on_keys: Callable[[Collection[str]], None] = lambda names: None,
        on_confirmed: Callable[[], None] = lambda: None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        """`connected`: which agents have sockets; `on_keys`: the names of the keys that count from
        now on. `announce`: to the other processes, which may have lost the database.
        """
        self._database = database
        self._settings = settings
        self._on_changed = on_changed
        self._on_ended = on_ended
        self._connected = connected
        self._on_keys = on_keys
        self._on_confirmed = on_confirmed
        self._announce_to_others = announce
        self._keys_of_tokens = Tokens(settings, database.clock.now_seconds)
        self._names = self._keys_of_tokens.names
        self._agents: dict[tuple[int, str], Agent] = {}
        self._keys: dict[int, tuple[int, str]] = {}
        self._tokens: BoundedDict[str, Claims] = BoundedDict(_MAX_REMEMBERED)
        # key -> agent id, created us, expires
        self._sessions: BoundedDict[str, tuple[int, int, float]] = BoundedDict(_MAX_REMEMBERED)
        self._loaded: set[int] = set()  # companies whose agents have been read
        # newest change of an agent, and end of a session, that were there at the last look
        self._newest_seen: tuple[int, int] | None = None
        self._confirmation = confirmation or Confirmation()
        self._freshness = self._confirmation.freshness
        # by agent id or session: looks overlap
        self._announced: BoundedDict[str, Standing | None] = BoundedDict(_MAX_REMEMBERED)
        self._used: set[int] = set()  # agents who asked for something since the last look
        self._confirming: asyncio.Task[None] | None = None

    @property
    def is_current(self) -> bool:
        """Whether memory was confirmed a moment ago."""
        return self._confirmation.is_current()

    async def confirm(self) -> None:
        """Refreshes what changed, unless that was done a moment ago. Raises DatabaseUnavailable.
        Cancelling the wait is safe.
        """
        if self._freshness.is_current:
            return
        if self._confirming is None:  # one look for all who wait
            self._confirming = spawn(self._confirm_once(), "access-confirm")
        await asyncio.wait({self._confirming}, timeout=_CONFIRM_SECONDS)
        if not self._freshness.is_current:
            raise DatabaseUnavailable

    async def run(self) -> None:
        """Refreshes every two seconds, or at once when woken, until it is cancelled."""
        seconds = self._settings.access_check_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._confirmation.wanted.wait()
            seconds = self._settings.access_check_seconds
            try:
                await self.refresh_changed()
            except DatabaseUnavailable:
                seconds = min(seconds, _AGAIN_SECONDS)
                await asyncio.sleep(seconds)
            self._confirmation.wanted.clear()

    async def refresh_changed(self) -> None:
        """Reads what was changed since the last refresh, and compares what is in use. Raises
        DatabaseUnavailable.
        """
        asked = self._freshness.read_clocks()
        self._drop_withdrawn_keys()
        used = self._used | set(self._connected())
        newest, changes, revoked = await self._database.read(self._read_changes)
        if self._newest_seen is not None and (
            newest[0] < self._newest_seen[0] or newest[1] < self._newest_seen[1]
        ):
            self._forget(has_agents_gone=newest[0] < self._newest_seen[0])
        for change in changes:
            self._update(change.agent)
        for key in revoked:
            self._sessions.pop(key, None)
        # the last ones are found again by every look: a socket may have been opened while its
        # session was being ended
        if revoked:
            self._on_ended(frozenset(revoked))
        self._announce([change.agent for change in changes if not change.is_new], revoked)
        self._newest_seen = newest
        await self._compare(used)
        self._used -= used
        self._freshness.confirm(asked)
        if self._freshness.is_current:  # not after a standstill in the middle of it
            self._on_confirmed()

    def receive(self, message: str) -> None:
        """Applies what another process has seen in the database, as far as it withdraws something.
        Raises ValueError.
        """
        withdrawals = parse_withdrawals(message)
        for standing in withdrawals.agents:
            agent = self._agents.get(self._keys.get(standing.agent_id, (0, "")))
            self._announced[str(standing.agent_id)] = standing
            if agent is not None and (narrowed := _narrowed(agent, standing)) != agent:
                self._update(narrowed)
        for key in withdrawals.sessions:
            self._announced[key] = None
            self._sessions.pop(key, None)
        if withdrawals.sessions:
            self._on_ended(frozenset(withdrawals.sessions))
        self._confirmation.wanted.set()

    def _announce(self, agents: Sequence[Agent], sessions: Sequence[str]) -> None:
        """Sends the other processes what has not been sent yet."""
        standings = [
            Standing(agent.id, agent.is_active, agent.role == "admin", agent.valid_after_us)
            for agent in agents
        ]
        new = [one for one in standings if self._announced.get(str(one.agent_id)) != one]
        ended = [key for key in sessions if key not in self._announced]
        self._announced.update({str(one.agent_id): one for one in new} | dict.fromkeys(ended))
        if self._announce_to_others is not None:
            for message in encode_withdrawals(new, ended):
                self._announce_to_others(message)

    async def _confirm_once(self) -> None:
        try:
            await self.refresh_changed()
        except DatabaseUnavailable:
            pass
        finally:
            self._confirming = None

    async def _read_changes(
        self, connection: Connection
    ) -> tuple[tuple[int, int], list[AgentChange], list[str]]:
        newest = await agent_rows.read_newest_changes(connection)
        seen = self._newest_seen or newest
        agents_us, sessions_us = (
            min(before, now) - _OVERLAP_US for before, now in zip(seen, newest, strict=True)
        )
        changes = await agent_rows.read_agents_changed(connection, agents_us, _PAGE)
        return (
            newest,
            changes,
            await agent_sessions.read_sessions_revoked(connection, sessions_us, _PAGE),
        )

    async def _compare(self, used: Collection[int]) -> None:
        """Compares the agents in use with memory, by sums, so that it costs little: rows may be
        deleted, restored, or changed by hand.
        """
        ids = sorted(used)
        for start in range(0, len(ids), _COMPARED_PAGE):
            page = ids[start : start + _COMPARED_PAGE]
            known = [
                self._agents[place]
                for agent_id in page
                if (place := self._keys.get(agent_id)) in self._agents
            ]
            # awaited at once
            sums = await self._database.read(lambda c: agent_rows.read_access_sums(c, page))  # noqa: B023
            if len(known) == len(page) and sums == agent_rows.sum_access(known):
                continue
            # awaited at once
            rows = await self._database.read(lambda c: agent_rows.read_agents_by_id(c, page))  # noqa: B023
            there = {agent.id: agent for agent in rows}
            for agent_id in page:
                self._update(there[agent_id]) if agent_id in there else self._drop(agent_id)

    def _update(self, agent: Agent) -> None:
        before = self._agents.get((agent.company_id, agent.subject))
        if before is not None and before != agent:
            self._remember(agent)
        if before != agent:
            self._on_changed(agent)

    def _drop(self, agent_id: int) -> None:
        """Withdraws access, as the row is gone."""
        place = self._keys.pop(agent_id, None)
        gone = self._agents.pop(place, None) if place is not None else None
        company_id, subject = place or (0, "")
        gone = gone or Agent(
            agent_id, company_id, subject, "", "agent", None, is_active=False, valid_after_us=0
        )
        self._on_changed(msgspec.structs.replace(gone, is_active=False))

    def _forget(self, *, has_agents_gone: bool) -> None:
        """Forgets what was read, as the newest change is not there any more: a backup was restored,
        or rows were deleted.
        """
        self._sessions.clear()
        if has_agents_gone:
            _logger.warning("agents were deleted, or the database went back: access is read anew")
            for remembered in (self._agents, self._keys, self._loaded):
                remembered.clear()

    def _drop_withdrawn_keys(self) -> None:
        """Forgets tokens that were verified by a key that is no more."""
        # a token may have made it read them as well, since the last look
        self._keys_of_tokens.read_again()
        names = self._keys_of_tokens.names
        if self._names - names:
            for token in [
                token for token, claims in self._tokens.items() if claims.key not in names
            ]:
                del self._tokens[token]
            self._on_keys(names)
        self._names = names

    def _remember(self, agent: Agent) -> None:
        self._agents[agent.company_id, agent.subject] = agent
        self._keys[agent.id] = (agent.company_id, agent.subject)


def _narrowed(agent: Agent, standing: Standing) -> Agent:
    return msgspec.structs.replace(
        agent,
        is_active=agent.is_active and standing.is_active,
        role="agent" if agent.role == "admin" and not standing.is_admin else agent.role,
        valid_after_us=max(agent.valid_after_us, standing.valid_after_us),
    )
