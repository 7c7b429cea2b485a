"""Chatwoot's REST API: the client, its exceptions, and the budget of requests that all clients of one address share."""

from server.chatwoot.answer_memory import AnswerMemory
from server.chatwoot.answers import (
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootUnavailable,
    ChatwootUnexpected,
)
from server.chatwoot.budget import RequestBudget, RequestBudgets
from server.chatwoot.client import UPLOAD_SECONDS, ChatwootClient, ReadRetries, Timeouts, client_id_of
from server.chatwoot.outgoing import check_base_url, check_destination, outgoing_client
from server.chatwoot.reach import private_addresses, problem_with
from server.core.payloads import CLIENT_ID_KEY

__all__ = [
    "CLIENT_ID_KEY",
    "UPLOAD_SECONDS",
    "AnswerMemory",
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
    "check_base_url",
    "check_destination",
    "client_id_of",
    "outgoing_client",
    "private_addresses",
    "problem_with",
]
