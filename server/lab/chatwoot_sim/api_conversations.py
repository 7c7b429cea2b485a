"""GET, status, assignment, labels and seen of conversations.

Sources in Chatwoot: app/finders/conversation_finder.rb,
app/controllers/api/v1/accounts/conversations_controller.rb,
conversations/assignments_controller.rb, conversations/labels_controller.rb.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.lab.chatwoot_sim.access import (
    Caller,
    body_of,
    caller_of,
    rails_json,
    refusal,
    whole_param,
)
from server.lab.chatwoot_sim.model import CONVERSATION_STATUSES, Conversation
from server.lab.chatwoot_sim.rest_objects import assignee_object, conversation_object

SEEN_AGAIN_SECONDS = 3600  # update_last_seen writes at most hourly when nothing is unread

_SORTS: dict[str, tuple[Callable[[Conversation], Any], bool]] = {
    "last_activity_at_desc": (lambda c: c.last_activity_at, True),
    "last_activity_at_asc": (lambda c: c.last_activity_at, False),
    "created_at_desc": (lambda c: c.created_at, True),
    "created_at_asc": (lambda c: c.created_at, False),
    "waiting_since_asc": (lambda c: c.waiting_since or float("inf"), False),
    "waiting_since_desc": (lambda c: c.waiting_since or 0.0, True),
}


async def index(request: Request) -> Response:
    """A page, newest activity first, open ones unless the request asks for others; with
    `updated_within` all matches at once, which takes long.
    """
    caller = caller_of(request)
    switches = caller.sim.switches
    found = _filtered(caller, request)
    counts = _counts(found, caller)
    found = _of_assignee(found, request.query_params.get("assignee_type", "all"), caller)
    key, is_descending = _SORTS.get(
        request.query_params.get("sort_by", ""), _SORTS["last_activity_at_desc"]
    )
    # ORDER BY one column: rows that are equal in it stand differently from one question to the next
    # no secret
    found.sort(key=lambda c: (key(c), random.random()), reverse=is_descending)  # noqa: S311
    within = whole_param(request.query_params, "updated_within")
    if within:
        found = [c for c in found if c.updated_at > caller.sim.now() - within]
        await _build_rows(caller, len(found))
    else:
        page = max(whole_param(request.query_params, "page") or 1, 1)
        found = _page(found, 1 if switches.repeats_page else page, switches.page_length)
        if switches.empty_page and page == switches.empty_page:
            found = []
    items = [conversation_object(c, caller.sim.base_url) for c in found]
    return rails_json({"data": {"meta": counts, "payload": items}})


def _page(found: list[Conversation], page: int, length: int) -> list[Conversation]:
    return found[(page - 1) * length : page * length]


async def _build_rows(caller: Caller, count: int) -> None:
    """Ten-odd queries a row. It goes on when the client has left; rack-timeout ends it."""
    switches = caller.sim.switches
    seconds = count * switches.row_seconds
    await asyncio.sleep(min(seconds, switches.rack_timeout_seconds))
    if seconds > switches.rack_timeout_seconds:
        raise refusal(500, "Internal Server Error")


async def meta(request: Request) -> Response:
    """The counts of conversations by assignment, with the filters of the list."""
    caller = caller_of(request)
    return rails_json({"meta": _counts(_filtered(caller, request), caller)})


async def show(request: Request) -> Response:
    """One conversation, as in the list."""
    caller = caller_of(request, bots=True)
    return rails_json(conversation_object(caller.conversation(request), caller.sim.base_url))


async def delete(request: Request) -> Response:
    """Delete a conversation with its messages; for administrators."""
    caller = caller_of(request)
    caller.require_administrator()
    caller.sim.delete_conversation(caller.conversation(request))
    return Response(status_code=200)


async def toggle_status(request: Request) -> Response:
    """Without `status` it toggles; an agent's token that opens a conversation also takes it."""
    caller = caller_of(request, bots=True)
    conversation = caller.conversation(request)
    body = await body_of(request)
    status = body.get("status") or ("resolved" if conversation.status == "open" else "open")
    if status not in CONVERSATION_STATUSES:
        raise refusal(422, f"'{status}' is not a valid status")
    snoozed_until = (
        float(body["snoozed_until"]) if body.get("snoozed_until") and status == "snoozed" else None
    )
    caller.sim.set_status(conversation, status, by=caller.user, snoozed_until=snoozed_until)
    if (
        status == "open"
        and caller.user.roles.get(caller.account.id) == "agent"
        and caller.user.kind == "user"
    ):
        caller.sim.assign(conversation, caller.user, by=caller.user)
    payload = {
        "success": True,
        "conversation_id": conversation.display_id,
        "current_status": conversation.status,
        "snoozed_until": int(snoozed_until) if snoozed_until else None,
    }
    return rails_json({"meta": {}, "payload": payload})


async def toggle_typing_status(request: Request) -> Response:
    """`on` or `off`; anything else silently does nothing."""
    caller = caller_of(request, bots=True)
    conversation = caller.conversation(request)
    body = await body_of(request)
    if body.get("typing_status") in ("on", "off"):
        is_private = bool(body.get("is_private"))
        caller.sim.typing(
            conversation, caller.user, on=body["typing_status"] == "on", private=is_private
        )
    return Response(status_code=200)


async def update_last_seen(request: Request) -> Response:
    """Clears unread; no webhook, and `updated_at` stays."""
    caller = caller_of(request)
    conversation = caller.conversation(request)
    age = caller.sim.now() - (conversation.agent_last_seen_at or 0.0)
    if conversation.unread_count or age > SEEN_AGAIN_SECONDS:
        caller.sim.mark_seen(conversation, by=caller.user)
    return rails_json(conversation_object(conversation, caller.sim.base_url))


async def unread(request: Request) -> Response:
    """Mark the last incoming message as unread."""
    caller = caller_of(request)
    conversation = caller.conversation(request)
    caller.sim.mark_unread(conversation)
    return rails_json(conversation_object(conversation, caller.sim.base_url))


async def assignments(request: Request) -> Response:
    """An assignee who is not in the account silently unassigns, and the body is `null`."""
    caller = caller_of(request, bots=True)
    conversation = caller.conversation(request)
    body = await body_of(request)
    user = caller.sim.users.get(body.get("assignee_id") or 0)
    if user is not None and caller.account.id not in user.roles:
        user = None
    caller.sim.assign(conversation, user, by=caller.user)
    return rails_json(assignee_object(user, caller.account) if user else None)


async def labels(request: Request) -> Response:
    """GET lists, POST replaces all."""
    caller = caller_of(request, bots=True)
    conversation = caller.conversation(request)
    if request.method == "POST":
        body = await body_of(request)
        caller.sim.set_labels(
            conversation, [str(label) for label in body.get("labels") or []], by=caller.user
        )
    return rails_json({"payload": list(conversation.labels)})


def _filtered(caller: Caller, request: Request) -> list[Conversation]:
    params = request.query_params
    status, text = params.get("status") or "open", params.get("q")
    inbox_id, wanted = whole_param(params, "inbox_id"), set(params.getlist("labels[]"))
    return [
        c
        for c in caller.sim.conversations.values()
        if c.account is caller.account
        and caller.may_see(c.inbox)
        and inbox_id in (None, c.inbox.id)
        and (not wanted or wanted & set(c.labels))
        and (_contains(c, text) if text else status in ("all", c.status))
    ]


def _contains(conversation: Conversation, text: str) -> bool:
    return any(text.casefold() in (m.content or "").casefold() for m in conversation.messages)


def _of_assignee(
    found: list[Conversation], assignee_type: str, caller: Caller
) -> list[Conversation]:
    if assignee_type == "me":
        return [c for c in found if c.assignee is caller.user]
    if assignee_type in ("assigned", "unassigned"):
        return [c for c in found if (c.assignee is not None) == (assignee_type == "assigned")]
    return found


def _counts(found: list[Conversation], caller: Caller) -> dict[str, int]:
    assigned = sum(c.assignee is not None for c in found)
    return {
        "mine_count": sum(c.assignee is caller.user for c in found),
        "assigned_count": assigned,
        "unassigned_count": len(found) - assigned,
        "all_count": len(found),
    }


_BASE = "/api/v1/accounts/{account_id}/conversations"
routes = [
    Route(_BASE, index),
    Route(f"{_BASE}/meta", meta),
    Route(f"{_BASE}/{{conversation_id}}", show),
    Route(f"{_BASE}/{{conversation_id}}", delete, methods=["DELETE"]),
    Route(f"{_BASE}/{{conversation_id}}/toggle_status", toggle_status, methods=["POST"]),
    Route(
        f"{_BASE}/{{conversation_id}}/toggle_typing_status", toggle_typing_status, methods=["POST"]
    ),
    Route(f"{_BASE}/{{conversation_id}}/update_last_seen", update_last_seen, methods=["POST"]),
    Route(f"{_BASE}/{{conversation_id}}/unread", unread, methods=["POST"]),
    Route(f"{_BASE}/{{conversation_id}}/assignments", assignments, methods=["POST"]),
    Route(f"{_BASE}/{{conversation_id}}/labels", labels, methods=["GET", "POST"]),
]
