"""The menu of kinds on the simulator's page, and the pictures that providers would keep."""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.lab.chatwoot_sim import samples
from server.lab.chatwoot_sim.kind_catalogue import INBOXES, KINDS
from server.lab.chatwoot_sim.kind_player import PROVIDER_PATH, conversation_for, play_kind
from server.lab.chatwoot_sim.state import ChatwootSim


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    kind: str


def menu() -> list[tuple[str, list[tuple[str, str]]]]:
    """Names of inboxes, each with the ids and names of its kinds."""
    return [(inbox.name, [(kind.id, kind.name) for kind in inbox.kinds]) for inbox in INBOXES]


async def write_kind(request: Request) -> Response:
    """Write a kind of message as its own customer, whose id is the answer; 422 in words for one
    that is not in the menu.
    """
    sim: ChatwootSim = request.app.state.sim
    # a form of a foreign site cannot send this content type without asking first
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return _refused()
    try:
        order = msgspec.json.decode(await request.body(), type=_Order)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _refused()
    if order.kind not in KINDS:
        return _refused()
    conversation = conversation_for(sim, order.kind)
    play_kind(sim, order.kind, conversation)
    return JSONResponse({"customer_id": conversation.contact.id}, 201)


async def provider_file(request: Request) -> Response:
    """What Instagram and others keep themselves: always a small picture."""
    made = samples.picture(request.path_params["name"])
    return Response(made.content, media_type=made.content_type)


def _refused() -> Response:
    return JSONResponse({"error": "Choose a kind of message."}, 422)


routes = [
    Route("/sim/kinds", write_kind, methods=["POST"]),
    Route(f"{PROVIDER_PATH}/{{name}}", provider_file),
]
