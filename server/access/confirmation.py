"""Whether what a process remembers of access was confirmed a moment ago."""

import asyncio

from server.core.state.confirmation_age import Freshness

CONFIRMED_SECONDS = 4.5  # withdrawn access ends within 5 s, whatever is down


class Confirmation:
    """Shared by those who confirm and those who may only go on while it is confirmed: made before
    both.
    """

    def __init__(self) -> None:
        self.freshness = Freshness(CONFIRMED_SECONDS)
        self.wanted = asyncio.Event()  # somebody waits for the next confirmation

    def is_current(self) -> bool:
        """Where it is not, events wait; nothing is lost, as the log has them."""
        if self.freshness.is_current:
            return True
        self.wanted.set()
        return False
