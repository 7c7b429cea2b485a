"""Who calls the simulated API, what they may see, and how Chatwoot says no.

Sources in Chatwoot: access_token_auth_helper.rb, ensure_current_account_helper.rb,
request_exception_handler.rb, app/policies/.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from server.lab.chatwoot_sim.model import (
    Account,
    Conversation,
    Inbox,
    JsonObject,
    Message,
    User,
)
from server.lab.chatwoot_sim.state import ChatwootSim
from server.lab.chatwoot_sim.webhook_bodies import encode_body

NOT_AUTHORIZED = "You are not authorized to do this action"
NOT_FOR_BOTS = "Access to this endpoint is not authorized for bots"
MAX_BODY_BYTES = 50 * 1024 * 1024


class ApiError(Exception):
    """An answer that is not a success, in Chatwoot's shape."""

    def __init__(self, status: int, body: JsonObject) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def refusal(status: int, sentence: str) -> ApiError:
    """An error with that status and sentence."""
    return ApiError(status, {"error": sentence})


def not_found() -> ApiError:
    """The 404 of a record that does not exist or belongs to another account."""
    return refusal(404, "Resource could not be found")


def invalid(sentence: str, *attributes: str) -> ApiError:
    """A model validation outside of message creation."""
    return ApiError(422, {"message": sentence, "attributes": list(attributes)})


def rails_json(content: Any, status: int = 200) -> Response:
    """Answer with JSON as Rails writes it, so that signatures over it match."""
    return Response(encode_body(content), status, media_type="application/json")


async def answer_api_error(_request: Request, error: Exception) -> Response:
    """Turn an ApiError into its answer; Starlette's handler of it."""
    if not isinstance(error, ApiError):
        raise error
    return rails_json(error.body, error.status)


@dataclass(frozen=True, slots=True)
class Caller:
    """A token's owner within the account of the address."""

    sim: ChatwootSim
    user: User
    account: Account

    @property
    def is_administrator(self) -> bool:
        """Whether the caller is an administrator of the account."""
        return self.user.roles.get(self.account.id) == "administrator"

    def may_see(self, inbox: Inbox) -> bool:
        """Whether the caller may see the inbox: administrators and bots all, agents those they
        belong to.
        """
        return (
            self.is_administrator
            or self.user.kind == "agent_bot"
            or self.user.id in inbox.member_ids
        )

    def require_administrator(self) -> None:
        """A policy's refusal is 401 in Chatwoot, not 403."""
        if not self.is_administrator:
            raise refusal(401, NOT_AUTHORIZED)

    def conversation(self, request: Request) -> Conversation:
        """By the display id in the address."""
        try:
            found = self.sim.conversations[
                self.account.id, int(request.path_params["conversation_id"])
            ]
        except (KeyError, ValueError):
            raise not_found() from None
        if not self.may_see(found.inbox):
            raise refusal(401, NOT_AUTHORIZED)
        return found

    def message(self, request: Request) -> Message:
        """The message in the address. Raises ApiError 404 where it is not in that conversation."""
        conversation = self.conversation(request)
        found = self.sim.messages.get(_whole(request.path_params["message_id"]) or 0)
        if found is None or found.conversation is not conversation:
            raise not_found()
        return found


def user_of(request: Request) -> User:
    """Both spellings of the header become the same variable in Rails."""
    headers = request.headers
    token = headers.get("api_access_token") or headers.get("api-access-token")
    if not token:
        raise ApiError(401, {"errors": ["You need to sign in or sign up before continuing."]})
    sim: ChatwootSim = request.app.state.sim
    user = sim.tokens.get(token)
    if user is None or sim.switches.unauthorized:
        raise refusal(401, "Invalid Access Token")
    return user


def person_of(request: Request) -> User:
    """As `user_of`, for endpoints that are closed to agent bots."""
    user = user_of(request)
    if user.kind == "agent_bot":
        raise refusal(401, NOT_FOR_BOTS)
    return user


def caller_of(request: Request, *, bots: bool = False) -> Caller:
    """The caller of an address below /accounts/{id}; `bots`: agent bots may call it too."""
    user = user_of(request) if bots else person_of(request)
    sim: ChatwootSim = request.app.state.sim
    account = sim.accounts.get(_whole(request.path_params["account_id"]) or 0)
    if account is None:
        raise not_found()
    if account.id not in user.roles:
        raise refusal(401, "You are not authorized to access this account")
    if account.status != "active":
        raise refusal(401, "Account is suspended")
    if not account.api_enabled:
        raise refusal(403, "API access is not enabled for this account")
    return Caller(sim, user, account)


async def body_of(request: Request) -> JsonObject:
    """A JSON body as an object; Rails answers 400 to what it cannot parse, and ignores an empty
    one.
    """
    raw = await request.body()
    if not raw:
        return {}
    try:
        decoded = json.loads(raw)
    except ValueError:
        raise refusal(400, "There was a problem parsing the request body") from None
    return decoded if isinstance(decoded, dict) else {}


def whole_param(params: Mapping[str, str], name: str) -> int | None:
    """A query parameter through Ruby's `to_i`: nonsense counts as 0, absence as None."""
    value = params.get(name)
    return None if value in (None, "") else _whole(value) or 0


def _whole(text: Any) -> int | None:
    try:
        return int(text)
    except (TypeError, ValueError):
        return None
