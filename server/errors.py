"""The tree of our own exceptions. Each knows its code, its HTTP status, its close code and whether
a retry helps.

Libraries' errors are translated where they arise (`db/`, `chatwoot`, `bus`); these become answers
and sentences in `app`, `http` and `connection`.
"""

from collections.abc import Iterable

from server.close_codes import CloseCode
from server.problems import Problem, Text, english


class OmniError(Exception):
    """Anything this program refuses or cannot do. `problem` says what, for people; it holds no
    secret and no message text. Without one it is the class's `title`, which is in English alone:
    pages have a text of their own for each code.
    """

    code = "internal"
    status = 500
    close_code = CloseCode.INTERNAL_ERROR
    retry_seconds: int | None = None
    title = "Something went wrong"

    problem_code = ""  # of the problem where none is given

    def __init__(self, problem: Text | None = None, **extra: object) -> None:
        super().__init__(problem)
        self.problem: Text = problem or (
            Problem(self.problem_code) if self.problem_code else self.title
        )
        self.extra = extra

    @property
    def message(self) -> str:
        """The sentence in English, as the API, commands and the log say it."""
        return english(self.problem)

    def __str__(self) -> str:
        return self.message


class ConfigurationError(OmniError):
    """The settings contradict each other or lack something: the start stops with this sentence."""

    code = "configuration"
    title = "The configuration does not fit together"


class BadRequest(OmniError):
    """A request, or a frame on a socket, that breaks the documented form."""

    code = "bad_request"
    status = 400
    close_code = CloseCode.PROTOCOL
    title = "The request could not be understood"


class ClientTooOld(OmniError):
    """A socket's client speaks no version of the protocol that is served here."""

    code = "client_too_old"
    status = 400
    close_code = CloseCode.CLIENT_TOO_OLD
    title = "This client is too old for the server; load the page again"


class Unauthenticated(OmniError):
    """No credential, or one that does not count."""

    code = "unauthenticated"
    status = 401
    close_code = CloseCode.SIGN_IN_EXPIRED
    title = "Sign in to go on"


class SecondFactorNeeded(Unauthenticated):
    """The password was right. `ticket` is for the next step; `setUp` holds what the authenticator
    app reads where the company asks for a factor that the agent has not got yet.
    """

    code = "second_factor_needed"
    title = "The password is right; now the code of your authenticator app"


class TokenExpired(Unauthenticated):
    """A credential that was good, and whose time is over."""

    code = "token_expired"
    title = "The sign-in has expired; sign in again"


class BadSignature(Unauthenticated):
    """A webhook that no secret of its account signed in time."""

    code = "bad_signature"
    title = "The webhook's signature is missing, too old, or does not fit the integration's secret"


class Forbidden(OmniError):
    """Signed in, but not allowed to do this."""

    code = "forbidden"
    status = 403
    close_code = CloseCode.NOT_ALLOWED
    title = "This is not allowed for you"


class NotFound(OmniError):
    """There is no such thing in the agent's company."""

    code = "not_found"
    status = 404
    close_code = CloseCode.NOT_ALLOWED
    title = "There is nothing here under this address"


class Conflict(OmniError):
    """The state does not allow it any more."""

    code = "conflict"
    status = 409
    title = "Someone else was quicker"


class ConversationGone(Conflict):
    """A reply to a conversation that was deleted in Chatwoot."""

    code = "conversation_gone"
    title = (
        "Chatwoot no longer has this conversation: it can be read here and closed, but not answered"
    )


class NewerMessages(Conflict):
    """A reply that was written without having seen the newest messages; `messages` holds them."""

    code = "newer_messages"
    title = "Someone wrote in this conversation after the last message you have seen"


class OtherAgent(Conflict):
    """The page that asks was made for one agent, and the browser's cookie is another's by now."""

    code = "other_agent"
    close_code = CloseCode.NOT_ALLOWED
    title = (
        "Somebody else is signed in in this browser now; sign in again as yourself, then try again"
    )


class TooLarge(OmniError):
    """A body above its limit in bytes."""

    code = "too_large"
    status = 413
    title = "The body is larger than what is taken here"


class HeaderTooLarge(OmniError):
    """A header above its limit in bytes."""

    code = "header_too_large"
    status = 431
    title = "A header is longer than it can be"


class UnsupportedMedia(OmniError):
    """A body in another form than the endpoint takes."""

    code = "unsupported_media"
    status = 415
    title = "The body must be plain JSON, not compressed"


class Unprocessable(OmniError):
    """A well-formed request that a rule refuses."""

    code = "unprocessable"
    status = 422
    title = "The request is well-formed but cannot be carried out"


class ChatwootAway(Unprocessable):
    """What was written about an integration may be right: Chatwoot cannot be asked now. May be kept
    as not proved, by a person's choice.
    """

    code = "chatwoot_away"
    title = "Chatwoot cannot be asked now; nothing was stored"


class IdempotencyKeyReused(Unprocessable):
    """A key that was used for another reply."""

    code = "idempotency_key_reused"
    title = (
        "This Idempotency-Key was already used for another text, or for a note; use a new key "
        "for a new reply"
    )


class NoChatwootIntegration(Unprocessable):
    """A reply in a conversation that has no usable integration."""

    code = "no_chatwoot_integration"
    title = (
        "This conversation does not belong to an active Chatwoot integration, so a reply has no "
        "way to the customer; "
        "answer where the conversation came from, or add the integration"
    )


class WindowClosed(Unprocessable):
    """A reply to a customer whom the channel lets nobody answer now; `replyClosedReason` says why,
    as the field of a conversation does.
    """

    code = "window_closed"
    title = "The channel takes no reply now: the customer has to write first"


class TooManyRequests(OmniError):
    """Above a limit of requests, or of sign-ins; `retry_seconds` says when to try again."""

    code = "too_many_requests"
    status = 429
    close_code = CloseCode.TOO_MANY
    retry_seconds = 5
    title = "Too many requests; wait a little"


class ChatwootFailed(OmniError):
    """Chatwoot refused or could not be reached while a person was waiting for the answer."""

    code = "chatwoot_failed"
    status = 502
    retry_seconds: int | None = 5
    title = "Chatwoot did not carry this out"


class OwnTokenRefused(ChatwootFailed):
    """Chatwoot refuses the agent's own access token, so nothing was done."""

    code = "own_token_refused"
    retry_seconds = None
    title = "Chatwoot refuses your own access token; connect it again on the page of your account"


class AttachmentUnavailable(OmniError):
    """A file could not be fetched from where Chatwoot keeps it."""

    code = "attachment_unavailable"
    status = 502
    retry_seconds = 5
    title = "The file cannot be fetched from where Chatwoot keeps it"


class Unavailable(OmniError):
    """The server cannot do this now; nothing was changed."""

    code = "unavailable"
    status = 503
    close_code = CloseCode.OVERLOADED
    retry_seconds = 2
    title = "The server cannot do this right now; try again in a moment"


class DatabaseUnavailable(Unavailable):
    """No connection, a lost one, or a full queue. A write did not take place and will not;
    `OutcomeUnknown` is the exception.
    """

    code = "database_unavailable"
    title = "The database cannot be reached right now; try again in a moment"


class DatabaseRetryable(DatabaseUnavailable):
    """Deadlock or lock wait timeout: the database rolled back, the same call may be made again."""

    code = "database_busy"


class DatabaseRefuses(DatabaseUnavailable):
    """The database answers, and refuses us or everybody (see `db/engine/refusals.py`); nothing that
    was to be stored is to blame. Its own words are for operators, in the log and in `/readyz`.
    """

    code = "database_refuses"
    retry_seconds = 5
    title = (
        "The database does not do this right now, and nothing was changed; try again in a moment"
    )


class OutcomeUnknown(DatabaseUnavailable):
    """COMMIT had left, and its answer did not come: the write took place or it did not."""

    code = "outcome_unknown"
    title = (
        "The database did not confirm this in time; look whether it was done before you do it again"
    )


class LostUnderWay(DatabaseUnavailable):
    """The connection was there and went in the middle of a transaction: perhaps because of what it
    did.
    """

    code = "database_lost"


class CompanyBusy(DatabaseRetryable):
    """Another client of the database holds a company's stream. Nothing was changed, and no other
    company is concerned.
    """

    code = "company_busy"
    title = "Something else is changing this company's data right now; try again in a moment"

    def __init__(self, company_ids: Iterable[int] = ()) -> None:
        super().__init__()
        self.company_ids = frozenset(company_ids)


class StatementTooLarge(OmniError):
    """A single statement is larger than the database's packets. Nothing was sent, and the
    connection serves on.
    """

    code = "statement_too_large"
    status = 413
    title = "This is larger than the database takes (max_allowed_packet)"


class StatementRefused(OmniError):
    """The database refused a statement for a reason that nobody thought of; the connection serves
    on.
    """

    code = "statement_refused"
    status = 503
    close_code = CloseCode.OVERLOADED
    retry_seconds = 5
    title = "The database refuses this; try again in a moment"


class RowRefused(OmniError):
    """The database does not take what was to be stored: too long, of a wrong kind, against a rule
    of its own.
    """

    code = "row_refused"
    status = 422
    title = "The database does not take this"


class DuplicateRow(RowRefused):
    """A unique index refused a row; callers turn it into what it means."""

    code = "duplicate"
    status = 409


class PayloadError(OmniError):
    """A delivery that means nothing to us. `outcome` is the journal state it ends in; `is_routing`
    says that no integration took it, which may be otherwise once the integrations have been read
    again; `is_damaged` that it is not what was taken in, as only JSON is.
    """

    code = "payload"
    status = 200

    def __init__(
        self,
        problem: Text,
        *,
        outcome: str = "dead",
        is_routing: bool = False,
        is_damaged: bool = False,
    ) -> None:
        super().__init__(problem)
        self.outcome = outcome
        self.is_routing = is_routing
        self.is_damaged = is_damaged
