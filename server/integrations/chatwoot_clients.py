"""Makes the clients that call one integration's Chatwoot: with this process's connections, the
budget that all who call that address share, and the memory of answers.
"""

import httpx

from server.chatwoot import (
    AnswerMemory,
    ChatwootClient,
    ReadRetries,
    RequestBudget,
    RequestBudgets,
    SlowBudget,
    Timeouts,
)
from server.db.access.integration_record import Integration
from server.settings import Settings


class ChatwootClients:
    """A client is made for each use, and holds nothing that must be closed."""

    def __init__(
        self,
        settings: Settings,
        http: httpx.AsyncClient,
    ) -> None:
        self._settings = settings
        self._http = http
        self._budgets = RequestBudgets(per_minute=settings.chatwoot_requests_per_minute)
        self._memory = AnswerMemory(settings.chatwoot_answers_max_bytes)

    def client(
        self,
        integration: Integration,
        retries: ReadRetries | None = None,
        budget: RequestBudget | None = None,
    ) -> ChatwootClient:
        """For work in the background: reads are retried."""
        seconds = self._settings.chatwoot_timeout_seconds
        return ChatwootClient(
            base_url=integration.base_url,
            account_id=integration.account_id or 0,
            access_token=integration.access_token,
            http=self._http,
            budget=budget or self._budgets.of(integration.base_url),
            memory=self._memory,
            company_id=integration.company_id,
            timeouts=Timeouts(
                read=seconds, total=2 * seconds, work=self._settings.reply_certain_seconds
            ),
            retries=retries,
        )

    def slow_client(self, integration: Integration) -> ChatwootClient:
        """For the comparison of all history."""
        shared = self._budgets.of(integration.base_url)
        per_hour = self._settings.history_requests_per_hour
        return self.client(integration, budget=SlowBudget(shared, max(1.0, per_hour)))

    def single_attempt_client(self, integration: Integration) -> ChatwootClient:
        """For a person who waits for the answer: one try, whose failure is the answer."""
        return self.client(integration, ReadRetries(attempts=1))
