"""Which source of each integration is alive: webhooks, the agents' socket. From memory, for
`/readyz` and the status.
"""

from collections import defaultdict

from server.core.checks.source_state import Silence, socket_sentence, view
from server.core.state.entities import Json
from server.core.times import SECOND, iso
from server.db.access.integration_record import Integration
from server.incoming.cable_leader import CableLeader
from server.incoming.ingest import Ingester
from server.integrations.arrivals import Arrivals
from server.integrations.directory import Directory
from server.problems import Problem

_MAX_LISTED = 100
# for so long after the last one it is said that numbers were given out again
_SAID_US = 3 * 86_400 * SECOND


class Sources:
    """`webhook.behindMs` is what this process has seen, the socket's what the process that listens
    wrote down.
    """

    def __init__(
        self, directory: Directory, cables: CableLeader, ingester: Ingester, arrivals: Arrivals
    ) -> None:
        self._directory = directory
        self._cables = cables
        self._ingester = ingester
        self._arrivals = arrivals
        self._silences: dict[int, Silence] = defaultdict(Silence)

    def of(self, integration: Integration) -> tuple[Problem, Json]:
        """(how the socket is, both sources in figures)."""
        found = self._cables.state_of(integration)
        state = found.state if found else None
        behind_us = found.behind_us if found else None
        figures = view(
            state,
            webhook_us=self._seen_us(integration),
            webhook_behind_us=self._arrivals.newest_us(integration.id),
            heard_us=found.heard_us if found else None,
            behind_us=behind_us,
        )
        return socket_sentence(state, found.problem if found else None, behind_us), figures

    def report(self) -> list[Json]:
        """A line for each of the first integrations."""
        listed = sorted(self._directory.integrations.values(), key=lambda one: one.id)[:_MAX_LISTED]
        return [{"integrationId": one.id, **self.of(one)[1]} for one in listed]

    def problems(self) -> list[Problem]:
        """Webhooks that do not come while the socket brings what they should; numbers that were
        given out again.
        """
        now_us = self._directory.now_us()
        again = [
            _problem_of(one, Problem.of("chatwoot.numbers_reused", day=iso(one.reissued_us)[:10]))
            for one in self._directory.integrations.values()
            if now_us - one.reissued_us < _SAID_US
        ]
        return again + [
            _problem_of(one, Problem.of("webhooks.lost_but_socket"))
            for one in self._directory.integrations.values()
            if (found := self._cables.state_of(one)) is not None
            and self._silences[one.id].update(self._seen_us(one), found.heard_us or 0)
        ]

    def _seen_us(self, integration: Integration) -> int:
        return max(integration.seen_us, self._ingester.seen.get(integration.id, 0))


def _problem_of(integration: Integration, why: Problem) -> Problem:
    return Problem.of("integration.named_problem", id=integration.id, why=why)
