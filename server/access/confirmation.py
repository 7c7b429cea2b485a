"""Whether what a process remembers of access was confirmed a moment ago."""

import asyncio

from server.core.state.confirmation_age import Freshness

CONFIRMED_SECONDS = 4.5  # withdrawn access ends within 5 s, whatever is down


class Confirmation:
    """The age of the last confirmation, shared by access, which confirms, and the hub, which sends
    only while it is fresh.
    """

    def __init__(self) -> None:
        self.freshness = Freshness(CONFIRMED_SECONDS)
        self.wanted = asyncio.Event()  # somebody waits for the next confirmation

    def is_current(self) -> bool:
        """Whether it is fresh; else the next one is asked for. Events wait meanwhile; none is lost,
        as the log has them.
        """
        if self.freshness.is_current:
            return True
        self.wanted.set()
        return False
