"""Limits on how much one agent and one company may ask of the API. What is answered from memory
with 304 is not counted: it costs next to nothing.
"""

import math
import time

from server.access.authentication import Principal
from server.core.token_buckets import Buckets
from server.errors import TooManyRequests
from server.problems import Problem


class ApiLimits:
    """Counts requests a minute; a minute's worth may come at once. 0: no limit."""

    def __init__(self, *, agent_per_minute: int, company_per_minute: int) -> None:
        self._agents = (
            Buckets(agent_per_minute / 60, float(agent_per_minute)) if agent_per_minute else None
        )
        self._companies = (
            Buckets(company_per_minute / 60, float(company_per_minute))
            if company_per_minute
            else None
        )

    def check(self, principal: Principal) -> None:
        """Count a request of an agent and of their company. Raises TooManyRequests with the seconds
        to wait.
        """
        now = time.monotonic()
        if self._agents is not None and (wait := self._agents.wait(principal.agent.id, now)):
            raise _refusal(Problem.of("limit.agent"), wait)
        if self._companies is not None and (
            wait := self._companies.wait(principal.company_id, now)
        ):
            raise _refusal(Problem.of("limit.company"), wait)


def _refusal(who: Problem, wait: float) -> TooManyRequests:
    seconds = math.ceil(wait)
    error = TooManyRequests(Problem.of("limit.asked_too_often", who=who, seconds=seconds))
    error.retry_seconds = seconds
    return error
