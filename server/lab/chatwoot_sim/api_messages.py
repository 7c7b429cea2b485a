"""Messages: list, create, delete, retry.

Sources in Chatwoot: app/finders/message_finder.rb, app/builders/messages/message_builder.rb,
app/controllers/api/v1/accounts/conversations/messages_controller.rb, app/models/message.rb
(limits).
"""

import json
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from server.lab.chatwoot_sim.access import (
    Caller,
    body_of,
    caller_of,
    rails_json,
    refusal,
    whole_param,
)
from server.lab.chatwoot_sim.channels import copies, mail_bodies, refusal_of, rendered
from server.lab.chatwoot_sim.model import (
    ACTIVITY,
    API_CHANNEL,
    INCOMING,
    OUTGOING,
    Contact,
    Conversation,
    JsonObject,
    Message,
    User,
)
from server.lab.chatwoot_sim.rest_objects import message_object, messages_meta
from server.lab.chatwoot_sim.samples import Upload
from server.lab.chatwoot_sim.state import ChatwootSim

MAX_CONTENT_CHARACTERS = 150_000
MAX_ATTACHMENTS = 15
MESSAGES_PER_MINUTE = 200  # CONVERSATION_MESSAGE_PER_MINUTE_LIMIT
NEWEST, AFTER, BETWEEN = 20, 100, 1000


async def index(request: Request) -> Response:
    """Newest 20; `before`: 20 older; `after`: the first 100 newer; both: from `after` itself up to
    `before`. Ascending.
    """
    caller = caller_of(request)
    conversation = caller.conversation(request)
    payload = [message_object(m, caller.sim.base_url) for m in _selected(conversation, request)]
    return rails_json({"meta": messages_meta(conversation), "payload": payload})


async def create(request: Request) -> Response:
    """Every exception is 422 with its text. There is no idempotency: the same request twice is two
    messages.
    """
    caller = caller_of(request, bots=True)
    conversation = caller.conversation(request)
    params, uploads = await _read(request)
    _checked_type(params, conversation)
    _check_limits(caller, conversation, params, uploads)
    message = build_messages(caller.sim, conversation, caller.user, params, uploads)[0]
    answer = message_object(message, caller.sim.base_url)
    if params.get("echo_id"):
        answer["echo_id"] = params["echo_id"]
    return rails_json(answer)


def build_messages(
    sim: ChatwootSim,
    conversation: Conversation,
    user: User,
    params: JsonObject,
    uploads: Sequence[Upload],
    **more: Any,
) -> list[Message]:
    """What a request becomes: one message, or one a file. `more`: columns that its channel sets."""
    message_type = _checked_type(params, conversation)
    content, attributes = params.get("content"), _content_attributes(params)
    attributes |= copies(params, conversation)
    sender: Contact | User = conversation.contact
    if message_type == OUTGOING:
        sender, content = user, rendered(content, conversation, user)
        if not uploads:
            attributes |= mail_bodies(content, conversation)
    fields = {
        "private": _is_true(params.get("private")) != sim.switches.mistakes_private,
        "content_type": params.get("content_type") or "text",
        "content_attributes": attributes,
        "source_id": params.get("source_id"),
    }
    made = [
        sim.create_message(conversation, message_type, text, sender, files, **fields | more)
        for text, files in _parts(sim.switches.splits_files, content, uploads)
    ]
    for message in made:
        _send(sim, message)
    return made


def _send(sim: ChatwootSim, message: Message) -> None:
    """Give it to the channel, whose own check may refuse it; what has a number of the channel is
    there already.
    """
    if message.message_type != OUTGOING or message.private or message.source_id:
        return
    if refused := refusal_of(message):
        sim.mark_failed(message, refused)


async def delete(request: Request) -> Response:
    """Delete a message softly; the answer shows what is left of it."""
    caller = caller_of(request)
    message = caller.message(request)
    caller.sim.delete_message(message)
    return rails_json(message_object(message, caller.sim.base_url))


async def retry(request: Request) -> Response:
    """Send a failed message again; the answer shows it as it is then."""
    caller = caller_of(request)
    if not caller.sim.switches.knows_retry:  # public/404.html, as of every unknown path
        return HTMLResponse("<h1>The page you were looking for doesn't exist.</h1>", 404)
    message = caller.message(request)
    caller.sim.retry_message(message)
    return rails_json(message_object(message, caller.sim.base_url))


async def update(request: Request) -> Response:
    """Delivery status, for API inboxes only."""
    caller = caller_of(request)
    message = caller.message(request)
    if message.conversation.inbox.channel != API_CHANNEL:
        raise refusal(403, "Message status update is only allowed for API inboxes")
    body = await body_of(request)
    if body.get("status") == "failed":
        caller.sim.mark_failed(message, str(body.get("external_error") or ""))
    return rails_json(message_object(message, caller.sim.base_url))


def _selected(conversation: Conversation, request: Request) -> list[Message]:
    params = request.query_params
    messages = sorted(conversation.messages, key=lambda m: m.created_at)
    if params.get("filter_internal_messages"):
        messages = [m for m in messages if not m.private and m.message_type != ACTIVITY]
    before, after = whole_param(params, "before"), whole_param(params, "after")
    if before is not None and after is not None:
        return [m for m in messages if after <= m.id < before][:BETWEEN]
    if after is not None:
        return [m for m in messages if m.id > after][:AFTER]
    if before is not None:
        messages = [m for m in messages if m.id < before]
    return messages[-NEWEST:]


async def _read(request: Request) -> tuple[JsonObject, list[Upload]]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await body_of(request), []
    params: JsonObject = {}
    uploads: list[Upload] = []
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                content_type = value.content_type or "application/octet-stream"
                uploads.append(Upload(value.filename or "file", await value.read(), content_type))
            else:
                params[name] = value
    return params, uploads


def _parts(
    split: str, content: str | None, uploads: Sequence[Upload]
) -> list[tuple[str | None, Sequence[Upload]]]:
    """The messages that one request becomes."""
    if not split or len(uploads) < 2:
        return [(content, uploads)]
    place = 0 if split == "text_first" else len(uploads) - 1
    return [(content if n == place else None, [upload]) for n, upload in enumerate(uploads)]


def _checked_type(params: JsonObject, conversation: Conversation) -> int:
    if params.get("message_type", "outgoing") != "incoming":
        return OUTGOING
    if conversation.inbox.channel != API_CHANNEL:
        raise refusal(422, "Incoming messages are only allowed in Api inboxes")
    return INCOMING


def _check_limits(
    caller: Caller, conversation: Conversation, params: JsonObject, uploads: list[Upload]
) -> None:
    minute_ago = caller.sim.now() - 60
    recent = conversation.messages[-MESSAGES_PER_MINUTE:]
    if len(recent) == MESSAGES_PER_MINUTE and recent[0].created_at > minute_ago:
        raise refusal(422, "Validation failed: Too many messages")
    if len(params.get("content") or "") > MAX_CONTENT_CHARACTERS:
        raise refusal(
            422,
            f"Validation failed: Content is too long (maximum is {MAX_CONTENT_CHARACTERS} "
            "characters)",
        )
    if len(uploads) > MAX_ATTACHMENTS:
        raise refusal(422, "Validation failed: Attachments exceeded maximum allowed")


def _content_attributes(params: JsonObject) -> JsonObject:
    """Any object is stored as it comes; text is parsed as JSON."""
    value: Any = params.get("content_attributes")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    return value if isinstance(value, dict) else {}


def _is_true(value: Any) -> bool:
    return value is True or value in ("true", "1")


_BASE = "/api/v1/accounts/{account_id}/conversations/{conversation_id}/messages"
routes = [
    Route(_BASE, index),
    Route(_BASE, create, methods=["POST"]),
    Route(f"{_BASE}/{{message_id}}", delete, methods=["DELETE"]),
    Route(f"{_BASE}/{{message_id}}", update, methods=["PATCH"]),
    Route(f"{_BASE}/{{message_id}}/retry", retry, methods=["POST"]),
]
