"""Chatwoot's REST API: the client, its exceptions, and the budget of requests that all clients of one address share."""

from server.chatwoot.answers import (
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootUnavailable,
    ChatwootUnexpected,
)
from server.chatwoot.budget import RequestBudget, RequestBudgets
from server.chatwoot.client import ChatwootClient, ReadRetries, Timeouts, client_id_of
from server.core.payloads import CLIENT_ID_KEY

__all__ = [
    "CLIENT_ID_KEY",
    "ChatwootClient",
    "ChatwootError",
    "ChatwootOutcomeUnknown",
    "ChatwootRefused",
    "ChatwootUnavailable",
    "ChatwootUnexpected",
    "ReadRetries",
    "RequestBudget",
    "RequestBudgets",
    "Timeouts",
    "client_id_of",
]
