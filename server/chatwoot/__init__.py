"""Chatwoot's REST API: the client, its exceptions, and the budget of requests that all clients of
one address share.
"""

from server.chatwoot.account_requests import UPLOAD_SECONDS, ReadRetries, Timeouts
from server.chatwoot.allowed_addresses import check_base_url, check_destination, outgoing_client
from server.chatwoot.answer_memory import AnswerMemory
from server.chatwoot.answers import (
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootTooLong,
    ChatwootUnavailable,
    ChatwootUnexpected,
)
from server.chatwoot.budget import RequestBudget, RequestBudgets, SlowBudget
from server.chatwoot.client import (
    LAST_ID,
    ChatwootClient,
    ConversationPage,
    client_id_of,
)
from server.chatwoot.conversation_listing import Listing, RecentListing
from server.chatwoot.message_windows import message_windows
from server.chatwoot.reachability import private_addresses, problem_with
from server.core.chatwoot.message_payloads import CLIENT_ID_KEY

__all__ = [
    "CLIENT_ID_KEY",
    "LAST_ID",
    "UPLOAD_SECONDS",
    "AnswerMemory",
    "ChatwootClient",
    "ChatwootError",
    "ChatwootOutcomeUnknown",
    "ChatwootRefused",
    "ChatwootTooLong",
    "ChatwootUnavailable",
    "ChatwootUnexpected",
    "ConversationPage",
    "Listing",
    "ReadRetries",
    "RecentListing",
    "RequestBudget",
    "RequestBudgets",
    "SlowBudget",
    "Timeouts",
    "check_base_url",
    "check_destination",
    "client_id_of",
    "message_windows",
    "outgoing_client",
    "private_addresses",
    "problem_with",
]
