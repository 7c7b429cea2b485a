"""One company's agents as a process sees them: those with sockets here, those of other processes,
and what of it clients and other processes know already. Pure: takes the time, sends nothing.
"""

from collections.abc import Sequence

from server.core.state.presence_state import (
    AgentPresence,
    PresenceMap,
    PresenceMessage,
    RemoteProcess,
    difference,
    encode_presence,
    listed,
    merge,
)


class PresenceBoard:
    """The agents of one company who are online, in this process and as the other ones say, and what
    of it was published to whom.
    """

    def __init__(self) -> None:
        self.here: dict[int, AgentPresence] = {}  # agents with sockets of this process
        self.elsewhere: dict[str, RemoteProcess] = {}
        self._shown: dict[int, AgentPresence] = {}  # what this process's clients know
        self._online = 0  # as clients know it
        self._published: dict[int, AgentPresence] = {}  # what the other processes know of ours

    def everyone(self) -> PresenceMap:
        """Return all agents of the company who are online, as far as other processes have published
        theirs.
        """
        return merge(self.here, [other.agents for other in self.elsewhere.values()])

    def arrive(self, agent_id: int, name: str) -> None:
        """An agent's socket was welcomed; further ones of theirs change nothing."""
        if agent_id not in self.here:
            self.here[agent_id] = AgentPresence(agent_id, name)

    def depart(self, agent_id: int) -> bool:
        """The agent's last socket is gone. Whether they were here."""
        return self.here.pop(agent_id, None) is not None

    def update(self, agent_id: int, viewing: int | None, *, is_typing: bool) -> bool:
        """Whether that changes anything."""
        before = self.here.get(agent_id)
        if before is None:
            return False
        after = AgentPresence(before.id, before.name, viewing, is_typing)
        self.here[agent_id] = after
        return after != before

    def chosen_view(self, agent_id: int, views: Sequence[int]) -> int | None:
        """Which of their sockets' conversations counts: the one shown before, else the last."""
        before = self.here[agent_id].viewing
        if before in views:
            return before
        return views[-1] if views else None

    def accept(self, message: PresenceMessage, now: float) -> None:
        """Apply a message of another process about its agents."""
        self.elsewhere.setdefault(message.process, RemoteProcess()).accept(message, now)

    def drop_silent(self, now: float) -> bool:
        """Forget the processes that are silent for too long. Whether there was one."""
        silent = [process for process, other in self.elsewhere.items() if other.is_silent(now)]
        for process in silent:
            del self.elsewhere[process]
        return bool(silent)

    def refresh(self) -> bytes | None:
        """The message of what has changed since the last call; None when nothing has."""
        everyone = self.everyone()
        shown, online = listed(everyone), len(everyone)
        changed, gone = difference(self._shown, shown)
        is_changed = bool(changed or gone or online != self._online)
        self._shown, self._online = shown, online
        return encode_presence(online, changed, gone, whole=False) if is_changed else None

    def snapshot(self) -> bytes:
        """The message of the whole, as of the last `refresh`: deltas follow it."""
        return encode_presence(self._online, self._shown.values(), (), whole=True)

    def publication(self, process: str, *, is_whole: bool) -> PresenceMessage | None:
        """Return the message for the other processes: what has changed here since the last call, or
        everything; None when there is nothing.
        """
        seen, gone = (
            (tuple(self.here.values()), ()) if is_whole else difference(self._published, self.here)
        )
        if not (seen or gone or (is_whole and self._published)):
            return None
        self._published = dict(self.here)
        return PresenceMessage(process, seen, gone, is_whole=is_whole)
