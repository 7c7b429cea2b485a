"""The page where one writes as a customer, and the addresses its script calls. `POST /sim/switches`
serves tests as well.
"""

from pathlib import Path
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from server.lab.chatwoot_sim import samples
from server.lab.chatwoot_sim.access import whole_param
from server.lab.chatwoot_sim.attachment_objects import attachment_data
from server.lab.chatwoot_sim.model import (
    ACTIVITY,
    INCOMING,
    Contact,
    JsonObject,
    Message,
)
from server.lab.chatwoot_sim.page_kinds import menu
from server.lab.chatwoot_sim.seed import SENTENCES
from server.lab.chatwoot_sim.state import ChatwootSim
from server.lab.chatwoot_sim.webhook_bodies import iso_ms
from server.lab.chatwoot_sim.webhooks import Delivery

_TEMPLATES = Jinja2Templates(Path(__file__).parent / "templates")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
    "'self'; base-uri 'none'"
)
T = TypeVar("T")
SHOWN_MESSAGES, SHOWN_DELIVERIES, SHOWN_CUSTOMERS = 200, 40, 200
MAX_TEXT, MAX_NAME = 10_000, 100


class _Say(msgspec.Struct, forbid_unknown_fields=True):
    customer_id: int
    text: str = ""
    picture: bool = False


class _NewCustomer(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Typing(msgspec.Struct, forbid_unknown_fields=True):
    customer_id: int
    on: bool


async def show(request: Request) -> Response:
    """The page itself."""
    context = {
        "sentences": SENTENCES,
        "kinds": menu(),
        "account": _sim(request).account.name,
    }
    return _TEMPLATES.TemplateResponse(
        request, "page.html", context, headers={"Content-Security-Policy": _POLICY}
    )


async def overview(request: Request) -> Response:
    """Everything the page shows, once a second: customers, one thread, switches, what became of the
    webhooks.
    """
    sim = _sim(request)
    customer = sim.contacts.get(whole_param(request.query_params, "customer") or 0)
    customers = sorted(
        sim.contacts.values(), key=lambda c: c.last_activity_at or c.created_at, reverse=True
    )
    log = list(sim.webhooks.log)[: -SHOWN_DELIVERIES - 1 : -1]
    return JSONResponse(
        {
            "customers": [_customer(sim, c) for c in customers[:SHOWN_CUSTOMERS]],
            "thread": _thread(sim, customer) if customer else None,
            "switches": msgspec.structs.asdict(sim.switches),
            "counters": {
                name: getattr(sim.webhooks.counters, name)
                for name in sim.webhooks.counters.__slots__
            },
            "subscribers": [hook.url for hook in sim.hooks],
            "deliveries": [_delivery(d) for d in log],
        },
        headers={"Cache-Control": "no-store"},
    )


async def say(request: Request) -> Response:
    """Write as a customer, in their newest conversation; 400 in words when nothing can be sent."""
    sim = _sim(request)
    order = await _read(request, _Say)
    customer = sim.contacts.get(order.customer_id) if order else None
    if (
        order is None
        or customer is None
        or not (order.text.strip() or order.picture)
        or len(order.text) > MAX_TEXT
    ):
        return _refused("Choose a customer and write something.")
    uploads = [samples.picture()] if order.picture else []
    found = sim.conversations_of(customer)
    inbox_id = found[-1].inbox.id if found else None
    sim.customer_says(customer, order.text.strip() or None, inbox_id=inbox_id, attachments=uploads)
    return JSONResponse({}, 201)


async def add_customer(request: Request) -> Response:
    """Add a customer with a name; answers with their id."""
    order = await _read(request, _NewCustomer)
    if order is None or not order.name.strip() or len(order.name) > MAX_NAME:
        return _refused("The customer needs a name.")
    return JSONResponse({"id": _sim(request).add_contact(order.name.strip()).id}, 201)


async def typing(request: Request) -> Response:
    """Let a customer begin or end typing in their newest conversation."""
    sim = _sim(request)
    order = await _read(request, _Typing)
    customer = sim.contacts.get(order.customer_id) if order else None
    found = sim.conversations_of(customer) if customer else []
    if order is not None and customer is not None and found:
        sim.typing(found[-1], customer, on=order.on)
    return JSONResponse({})


async def switches(request: Request) -> Response:
    """GET shows all; POST sets those named in the body, and answers with all."""
    sim = _sim(request)
    if request.method == "POST":
        values = await _read(request, dict[str, object])
        if values is None:
            return _refused("A JSON object is expected.")
        try:
            sim.switches.set(**values)
        except msgspec.ValidationError as problem:
            return _refused(str(problem))
    return JSONResponse(msgspec.structs.asdict(sim.switches))


def _sim(request: Request) -> ChatwootSim:
    sim: ChatwootSim = request.app.state.sim
    return sim


async def _read(request: Request, kind: type[T]) -> T | None:
    """The body as `kind`, None if it is not. A form of a foreign site cannot send this content type
    without asking first.
    """
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return None
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _refused(sentence: str) -> Response:
    return JSONResponse({"error": sentence}, 422)


def _customer(sim: ChatwootSim, contact: Contact) -> JsonObject:
    found = sim.conversations_of(contact)
    last = found[-1] if found else None
    shown = last.last_public_message if last else None
    return {
        "id": contact.id,
        "name": contact.name,
        "preview": (shown.content or "📎") if shown else "",
        "status": last.status if last else None,
    }


def _thread(sim: ChatwootSim, contact: Contact) -> JsonObject:
    """What the customer can see: no private notes, no activity lines."""
    found = sim.conversations_of(contact)
    seen = [m for c in found for m in c.messages if not m.private and m.message_type != ACTIVITY]
    last = found[-1] if found else None
    return {
        "customer": {"id": contact.id, "name": contact.name},
        "conversation": last.display_id if last else None,
        "status": last.status if last else None,
        "assignee": last.assignee.name if last and last.assignee else None,
        "inbox": last.inbox.name if last else sim.inbox.name,
        "messages": [_message(m) for m in seen[-SHOWN_MESSAGES:]],
    }


def _message(message: Message) -> JsonObject:
    return {
        "id": message.id,
        "mine": message.message_type == INCOMING,
        "by": message.sender.name if message.sender else "automatic",
        "text": message.content or "",
        "at": iso_ms(message.created_at),
        "deleted": bool(message.content_attributes.get("deleted")),
        "files": [
            {
                "name": a.name or a.fallback_title or a.file_type,
                "url": attachment_data(a, "").get("data_url"),
                "image": a.content_type.startswith("image/") and a.file_type != "file",
            }
            for a in message.attachments
        ],
    }


def _delivery(delivery: Delivery) -> JsonObject:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "state": delivery.state,
        "status": delivery.http_status,
        "error": delivery.error,
        "ms": round(delivery.seconds * 1000, 1),
        "at": iso_ms(delivery.sent_at),
    }


routes = [
    Route("/", show),
    Route("/sim/overview", overview),
    Route("/sim/say", say, methods=["POST"]),
    Route("/sim/customers", add_customer, methods=["POST"]),
    Route("/sim/typing", typing, methods=["POST"]),
    Route("/sim/switches", switches, methods=["GET", "POST"]),
]
