"""Which company a conversation belongs to, for sockets that name conversations: from memory, else
from the database.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from server.core.bounded_dict import BoundedDict
from server.core.identifiers import is_id
from server.errors import Unavailable
from server.tasks import spawn

_MAX_KNOWN = 20_000
_MAX_LOOK_UPS = 100  # at once


class Asker(Protocol):
    """A socket whose agent names a conversation."""

    agent_id: int
    agent_name: str
    is_over: bool

    @property
    def company_id(self) -> int:
        """The tenant of the agent."""


CompanyOf = Callable[[int], Awaitable[int | None]]
OnForeign = Callable[[Asker, int], None]
Act = Callable[[], None]


class ConversationOwners:
    """Lets a socket act on a conversation only where it is its own company's."""

    def __init__(
        self,
        company_of: CompanyOf,
        on_foreign: OnForeign = lambda asker, conversation_id: None,
    ) -> None:
        """`company_of` gives a conversation's company, or None; it may raise Unavailable.
        `on_foreign` is called once for each agent and conversation of another company.
        """
        self._company_of = company_of
        self._on_foreign = on_foreign
        self._companies: BoundedDict[int, int] = BoundedDict(_MAX_KNOWN)  # by conversation
        # (agent, conversation) that were reported
        self._reported: BoundedDict[tuple[int, int], None] = BoundedDict(_MAX_KNOWN)
        # what to do once the conversation's company is known
        self._waiting: dict[Asker, tuple[int | None, Act]] = {}

    def when_owned(self, asker: Asker, conversation_id: int | None, act: Act) -> None:
        """Call `act` once it is known that the conversation is the asker's company's, at once for
        None; of what comes during a look-up only the last is done.
        """
        if asker in self._waiting:
            self._waiting[asker] = (conversation_id, act)
        elif conversation_id is None or self._companies.get(conversation_id) == asker.company_id:
            act()
        elif conversation_id in self._companies:
            self._report(asker, conversation_id)
        elif is_id(conversation_id) and len(self._waiting) < _MAX_LOOK_UPS:
            self._waiting[asker] = (conversation_id, act)
            spawn(self._look_up(asker, conversation_id), f"conversation-owner-{conversation_id}")

    def forget(self, asker: Asker) -> None:
        """Drop what a socket that is gone still waits for."""
        self._waiting.pop(asker, None)

    async def _look_up(self, asker: Asker, conversation_id: int) -> None:
        company_id: int | None = None
        try:
            company_id = await self._company_of(conversation_id)
        except Unavailable:
            pass  # what an agent views is worth no wait: the next time it is looked up again
        finally:
            waiting = self._waiting.pop(asker, None)
        if company_id is not None:
            self._companies[conversation_id] = company_id
        if waiting is None or asker.is_over:
            return
        if waiting[0] != conversation_id:
            self.when_owned(asker, *waiting)
        elif company_id == asker.company_id:
            waiting[1]()
        elif company_id is not None:
            self._report(asker, conversation_id)

    def _report(self, asker: Asker, conversation_id: int) -> None:
        key = (asker.agent_id, conversation_id)
        if key not in self._reported:
            self._reported[key] = None
            self._on_foreign(asker, conversation_id)
