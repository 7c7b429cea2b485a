"""Companies whose stream another client of the database holds, as this process meets them."""

import time
from collections.abc import Iterable

_FORGOTTEN_SECONDS = 2.0  # nobody has met it since: it is free again, or nobody needs it


class BusyCompanies:
    """Since when the locks of companies are found held by other transactions."""

    def __init__(self) -> None:
        self._locked: dict[int, tuple[float, float]] = {}  # (first, last) monotonic

    def record(self, company_ids: Iterable[int]) -> None:
        """Remember that another transaction holds the locks of these companies now."""
        now = time.monotonic()
        for company_id in company_ids:
            first, last = self._locked.get(company_id, (now, now))
            self._locked[company_id] = (now if now - last > _FORGOTTEN_SECONDS else first, now)

    def clear(self, company_ids: Iterable[int]) -> None:
        """These were locked by us."""
        for company_id in company_ids:
            self._locked.pop(company_id, None)

    def locked(self, least_seconds: float) -> dict[int, float]:
        """Companies that have been locked by others for so long: company -> seconds."""
        now = time.monotonic()
        return {
            company_id: now - first
            for company_id, (first, last) in sorted(self._locked.items())
            if now - last <= _FORGOTTEN_SECONDS and now - first >= least_seconds
        }
