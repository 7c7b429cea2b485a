"""What this process knows of each Chatwoot it sends replies to: how many attempts are under way
there, and whether it answers.

A Chatwoot that stands still goes on taking requests into its backlog, and works them off when it is
back. So while one is silent nothing is written into its backlog: one attempt at a time asks first,
by a read. It holds back its own replies and those of nobody else.
"""

from collections import Counter

_AT_ONCE_OF_ONE = 16


class Backlogs:
    """By address; several integrations may share one."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._silent: set[str] = set()

    def begin(self, base_url: str) -> None:
        """Counts an attempt that begins."""
        self._under_way[base_url] += 1

    def end(self, base_url: str) -> None:
        """Counts an attempt that is over, however it went."""
        self._under_way[base_url] -= 1
        if not self._under_way[base_url]:
            del self._under_way[base_url]

    def on_answer(self, base_url: str) -> None:
        """Marks the address as answering."""
        self._silent.discard(base_url)

    def on_silence(self, base_url: str) -> None:
        """Marks the address as silent: one attempt at a time from now on."""
        self._silent.add(base_url)

    def is_silent(self, base_url: str) -> bool:
        """Whether its last attempt had no answer."""
        return base_url in self._silent

    def room(self, base_url: str) -> int:
        """How many more attempts may begin there."""
        return (1 if base_url in self._silent else _AT_ONCE_OF_ONE) - self._under_way[base_url]
