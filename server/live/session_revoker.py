"""Closes the sockets of those whose access was withdrawn."""

from collections.abc import Collection

from server.close_codes import CloseCode
from server.db.access.agent_rows import Agent
from server.live.hub import Hub


class SessionRevoker:
    """Applies changes of access to the sockets of this process; called by the room `access`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def connected_agents(self) -> Collection[int]:
        """The ids of the agents who have sockets here."""
        return self._hub.agent_ids()

    def agent_changed(self, agent: Agent) -> None:
        """Close the agent's sockets where the row no longer allows them; one who is no
        administrator any more stays connected as an agent.
        """
        for member in self._hub.members_of_agent(agent.id):
            if not agent.is_active or member.issued_us < agent.valid_after_us:
                member.close(CloseCode.NOT_ALLOWED)
            elif agent.role != "admin":
                member.is_admin = False

    def sessions_ended(self, session_keys: Collection[str]) -> None:
        """Close the sockets of these sessions; they cannot sign in with them again."""
        for member in self._hub.everyone():
            if member.session_key in session_keys:
                member.close(CloseCode.NOT_ALLOWED)

    def keys_changed(self, names: Collection[str]) -> None:
        """Close the sockets whose token was verified by a key that is not among `names`: they sign
        in again.
        """
        for member in self._hub.everyone():
            if member.token_key is not None and member.token_key not in names:
                member.close(CloseCode.SIGN_IN_EXPIRED, "key withdrawn")

    def access_confirmed(self) -> None:
        """Let the events that were held back leave."""
        self._hub.release()
