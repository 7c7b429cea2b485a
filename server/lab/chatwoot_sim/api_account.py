"""Profile, inboxes, agents, webhooks and files.

Sources in Chatwoot: app/controllers/api/v1/profiles_controller.rb, accounts/inboxes_controller.rb,
accounts/agents_controller.rb, accounts/webhooks_controller.rb, app/models/webhook.rb.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from server.lab.chatwoot_sim.access import (
    Caller,
    body_of,
    caller_of,
    invalid,
    not_found,
    person_of,
    rails_json,
)
from server.lab.chatwoot_sim.model import (
    DEFAULT_SUBSCRIPTIONS,
    WEBHOOK_EVENTS,
    JsonObject,
    Webhook,
)
from server.lab.chatwoot_sim.rest_objects import (
    agent_object,
    inbox_object,
    profile_object,
    webhook_object,
)
from server.lab.chatwoot_sim.state import ChatwootSim


async def profile(request: Request) -> Response:
    """The token's owner, with the accounts they belong to."""
    sim: ChatwootSim = request.app.state.sim
    return rails_json(profile_object(person_of(request), sim.accounts))


async def inboxes(request: Request) -> Response:
    """Unpaged; only those the token's user may see."""
    caller = caller_of(request)
    found = [
        i for i in caller.sim.inboxes.values() if i.account is caller.account and caller.may_see(i)
    ]
    return rails_json(
        {"payload": [inbox_object(i, with_secrets=caller.is_administrator) for i in found]}
    )


async def agents(request: Request) -> Response:
    """A bare array."""
    caller = caller_of(request)
    found = [u for u in caller.sim.users.values() if caller.account.id in u.roles]
    return rails_json([agent_object(u, caller.account) for u in found])


async def teams(request: Request) -> Response:
    """A bare array (app/views/api/v1/accounts/teams/index.json.jbuilder)."""
    caller = caller_of(request)
    return rails_json(list(caller.sim.teams.values()))


async def list_webhooks(request: Request) -> Response:
    """The account's webhooks, with their secrets; for administrators."""
    caller = caller_of(request)
    caller.require_administrator()
    found = [h for h in caller.sim.hooks if h.account is caller.account]
    return rails_json({"payload": {"webhooks": [webhook_object(h) for h in found]}})


async def create_webhook(request: Request) -> Response:
    """Add a webhook; its secret is in the answer. 422 for an address that is there already."""
    caller = caller_of(request)
    caller.require_administrator()
    params = _webhook_params(await body_of(request))
    _check_url(caller, params.get("url"), None)
    subscriptions = _checked_subscriptions(caller, params.get("subscriptions"))
    hook = caller.sim.add_webhook(
        params["url"], account=caller.account, subscriptions=subscriptions
    )
    _set_webhook_fields(caller, hook, params)
    return rails_json({"payload": {"webhook": webhook_object(hook)}})


async def update_webhook(request: Request) -> Response:
    """The secret stays."""
    caller = caller_of(request)
    caller.require_administrator()
    hook = _webhook(caller, request)
    params = _webhook_params(await body_of(request))
    if "url" in params:
        _check_url(caller, params["url"], hook)
        hook.url = params["url"]
    if "subscriptions" in params:
        hook.subscriptions = _checked_subscriptions(caller, params["subscriptions"])
    _set_webhook_fields(caller, hook, params)
    return rails_json({"payload": {"webhook": webhook_object(hook)}})


async def delete_webhook(request: Request) -> Response:
    """Delete a webhook; no later event is sent to it."""
    caller = caller_of(request)
    caller.require_administrator()
    caller.sim.hooks.remove(_webhook(caller, request))
    return Response(status_code=200)


async def redirect_to_file(request: Request) -> Response:
    """Permanent address of a file, without sign-in: leads to a short-lived one, as Active Storage
    does.
    """
    sim: ChatwootSim = request.app.state.sim
    attachment = sim.attachments.get(request.path_params["key"])
    if attachment is None:
        return Response(status_code=404)
    return RedirectResponse(f"/rails/active_storage/disk/{attachment.key}/{attachment.name}", 302)


async def file(request: Request) -> Response:
    """The content of a file, at its short-lived address. Only images, sound and video are shown
    inline.
    """
    sim: ChatwootSim = request.app.state.sim
    attachment = sim.attachments.get(request.path_params["key"])
    if attachment is None:
        return Response(status_code=404)
    shown = "inline" if attachment.file_type in ("image", "audio", "video") else "attachment"
    headers = {
        "Content-Disposition": shown,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    headers["Accept-Ranges"] = "bytes"
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return Response(attachment.content, media_type=attachment.content_type, headers=headers)
    first, whole = int(wanted[1]), len(attachment.content)
    part = attachment.content[first : int(wanted[2]) + 1 if wanted[2] else whole]
    headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{whole}"
    return Response(part, 206, media_type=attachment.content_type, headers=headers)


def _webhook_params(body: JsonObject) -> JsonObject:
    """Flat or under `webhook` (wrap_parameters)."""
    wrapped = body.get("webhook")
    return wrapped if isinstance(wrapped, dict) else body


def _webhook(caller: Caller, request: Request) -> Webhook:
    wanted = request.path_params["webhook_id"]
    found = next(
        (h for h in caller.sim.hooks if h.account is caller.account and str(h.id) == wanted), None
    )
    if found is None:
        raise not_found()
    return found


def _check_url(caller: Caller, url: Any, existing: Webhook | None) -> None:
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid("Url is invalid", "url")
    if any(
        h.url == url and h.account is caller.account and h is not existing for h in caller.sim.hooks
    ):
        raise invalid("Url has already been taken", "url")


def _checked_subscriptions(caller: Caller, subscriptions: Any) -> tuple[str, ...]:
    if subscriptions is None:
        return DEFAULT_SUBSCRIPTIONS
    known = {
        event
        for event in WEBHOOK_EVENTS
        if caller.sim.switches.knows_typing or "typing" not in event
    }
    if not isinstance(subscriptions, list) or not subscriptions or not set(subscriptions) <= known:
        raise invalid("Subscriptions Invalid events", "subscriptions")
    return tuple(subscriptions)


def _set_webhook_fields(caller: Caller, hook: Webhook, params: JsonObject) -> None:
    if "name" in params:
        hook.name = params["name"]
    if "inbox_id" in params:
        hook.inbox = caller.sim.inboxes.get(params["inbox_id"] or 0)


_ACCOUNT = "/api/v1/accounts/{account_id}"
_FILES = "/rails/active_storage"
routes = [
    Route("/api/v1/profile", profile),
    Route(f"{_ACCOUNT}/inboxes", inboxes),
    Route(f"{_ACCOUNT}/agents", agents),
    Route(f"{_ACCOUNT}/teams", teams),
    Route(f"{_ACCOUNT}/webhooks", list_webhooks),
    Route(f"{_ACCOUNT}/webhooks", create_webhook, methods=["POST"]),
    Route(f"{_ACCOUNT}/webhooks/{{webhook_id}}", update_webhook, methods=["PATCH", "PUT"]),
    Route(f"{_ACCOUNT}/webhooks/{{webhook_id}}", delete_webhook, methods=["DELETE"]),
    Route(f"{_FILES}/blobs/redirect/{{key}}/{{name}}", redirect_to_file),
    Route(f"{_FILES}/representations/redirect/{{key}}/{{variation}}/{{name}}", redirect_to_file),
    Route(f"{_FILES}/disk/{{key}}/{{name}}", file),
]
