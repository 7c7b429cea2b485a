"""When a call that failed in its lane is tried again, and which error its caller gets in the
end.
"""

import asyncio
import random

from server.db.engine.busy import BusyCompanies
from server.db.engine.lane_jobs import Job
from server.errors import CompanyBusy, DatabaseRetryable, DatabaseUnavailable, OutcomeUnknown

_INITIAL_BUSY_SECONDS, _MAX_BUSY_SECONDS = 0.004, 0.05
_INITIAL_BACKOFF_SECONDS = 0.02


class LaneRetries:
    """Of one caller's call, which may be several jobs one after the other."""

    def __init__(self, companies: BusyCompanies, attempts: int) -> None:
        self.is_unknown = False  # a COMMIT went out, and its answer never came
        # companies that were met locked: waited for here, where it takes no lane from others
        self.busy = frozenset[int]()
        self._companies = companies
        self._attempts_left = attempts
        self._tries = 0

    async def pause(self, error: DatabaseUnavailable, job: Job) -> None:
        """Wait until the next try. Raises `error` where there is none left; a company that is
        locked is tried for as long as the caller waits.
        """
        self.is_unknown |= job.is_committing and not isinstance(error, DatabaseRetryable)
        if isinstance(error, CompanyBusy):
            self.busy = error.company_ids
            self._companies.record(self.busy)
        else:
            self._attempts_left -= 1
        if not self._attempts_left:
            raise error
        self._tries += 1
        await asyncio.sleep(self._seconds(error))

    def _seconds(self, error: DatabaseUnavailable) -> float:
        factor = 2.0 ** min(self._tries - 1, 10)
        if isinstance(error, CompanyBusy):
            most = min(_MAX_BUSY_SECONDS, _INITIAL_BUSY_SECONDS * factor)
            return most * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
        return _INITIAL_BACKOFF_SECONDS * factor * random.random()  # noqa: S311 - jitter


def given_up(*, is_unknown: bool) -> DatabaseUnavailable:
    """OutcomeUnknown where a COMMIT had left whose answer never came."""
    return OutcomeUnknown() if is_unknown else DatabaseUnavailable()
