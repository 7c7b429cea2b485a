"""What one worker of the harness has counted; small enough to be sent to the process that shows it,
twice a second.
"""

from collections import Counter
from typing import Any

from server.lab.load.histogram import Histogram

FAULTS = ("lost", "doubled", "disordered", "foreign")
_HISTOGRAMS = (
    "acknowledgements",
    "connects",
    "delays",
    "poll_delays",
    "polls",
    "queue",
    "replays",
    "slow_delays",
)
_COUNTERS = (
    "closes",
    "cuts",
    "errors",
    "failures",
    "faults",
    "poll_answers",
    "replies",
    "resets",
    "webhooks",
    "welcomes",
)
_NUMBERS = ("cpu_seconds", "delivered", "live", "received_bytes", "requests", "written")


class Counters:
    """`live` is a number of now; all others only grow.

    delays: text written at Chatwoot -> frame read by an agent who was live. replays: the same, for
    what came after a reconnect. slow_delays: for agents who do not read for seconds on purpose.
    poll_delays: text written -> first seen by a poller.
    """

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.delivered = self.live = self.received_bytes = self.requests = self.written = 0
        self.acknowledgements = Histogram()
        self.connects = Histogram()
        self.delays = Histogram()
        self.poll_delays = Histogram()
        self.polls = Histogram()
        self.queue = Histogram()
        self.replays = Histogram()
        self.slow_delays = Histogram()
        self.closes: Counter[int] = Counter()
        # by the harness itself: drops on purpose, and lines left because of a drain
        self.cuts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.poll_answers: Counter[int] = Counter()
        self.replies: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.webhooks: Counter[str] = Counter()
        self.welcomes: Counter[str] = Counter()
        # company -> seq -> number of the message; not sent with the rest
        self.seen: dict[int, dict[int, int]] = {}
        self.examples: list[str] = []

    def record_fault(self, company_id: int, before: int, after: int, by: str) -> None:
        """Count an agent at `before` that received `after`, or a cursor there; `by` which message,
        and on which connection.
        """
        kind = "lost" if after > before else "doubled" if after == before else "disordered"
        self.faults[kind] += max(1, after - before - 1)
        if len(self.examples) < 5:
            self.examples.append(f"{kind}: company {company_id}, {after} after {before}, by {by}")

    def record_seen(self, company_id: int, seq: int, number: int) -> None:
        """Count it as disorder when agents see different messages under one sequence number."""
        known = self.seen.setdefault(company_id, {}).setdefault(seq, number)
        if known != number:
            self.faults["disordered"] += 1

    def snapshot(self) -> dict[str, Any]:
        """Plain numbers, for the pipe."""
        found: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        found |= {name: dict(getattr(self, name)) for name in _COUNTERS}
        found |= {name: dict(getattr(self, name).counts) for name in _HISTOGRAMS}
        return found | {"examples": list(self.examples)}

    def add(self, snapshot: dict[str, Any]) -> None:
        """Merge what another process has counted."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + snapshot[name])
        for name in _COUNTERS:
            getattr(self, name).update(snapshot[name])
        for name in _HISTOGRAMS:
            getattr(self, name).merge(snapshot[name])
        self.examples = (self.examples + snapshot["examples"])[:5]
