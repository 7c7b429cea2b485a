"""What the simulated Chatwoot was asked, and what it is at work on: a client that gave up has not
ended its request here.
"""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

_KEPT = 200_000


class Questions:
    """Requests by method, path and query, the last ones; and those under way."""

    def __init__(self) -> None:
        self.log: deque[str] = deque(maxlen=_KEPT)
        self.at_work: Counter[str] = Counter()
        # the same question, asked again while it was worked on
        self.most_at_once: Counter[str] = Counter()

    @contextmanager
    def asked(self, question: str) -> Iterator[None]:
        """Keep the request in the log, and count it as under way while inside."""
        self.log.append(question)
        self.at_work[question] += 1
        if self.at_work[question] > 1:
            self.most_at_once[question] = max(self.most_at_once[question], self.at_work[question])
        try:
            yield
        finally:
            self.at_work[question] -= 1
            if not self.at_work[question]:
                del self.at_work[question]
