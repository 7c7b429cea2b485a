"""A Chatwoot that answers what a running one answered when the recorded day was over, with its
paging, and that plays the day.

Its times are moved so that the day ends now, and webhooks are signed anew. States of delivery are
added, as the recorded day has none but `sent`: shaped as they were recorded elsewhere
(`real/kinds`). Nothing else is touched.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.webhooks import Event, sign
from tests.kit.recorded import read_lines, read_rest

Json = dict[str, Any]
ACCOUNT, INBOX = 1, 1
_TYPES = {"incoming": 0, "outgoing": 1, "activity": 2, "template": 3}
_SECOND = re.compile(r"(?<![\w.])1795[0-9]{6}(?![0-9])")
_ISO = re.compile(r'"(20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(\.[0-9]+)?Z"')
_BEFORE_NOW_SECONDS = 120
_STEPS = (("delivered", "read"), ("delivered",), ("failed",), ())  # by the message's number
_PAGE, _NEWEST, _OLDEST, _WINDOW = 25, 20, 100, 1_000


@dataclass
class Line:
    """What becomes of each of the day's webhooks, as bodies. Those in time are out of order, and
    some of them come twice.
    """

    in_time: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class RecordedChatwoot(ChatwootSim):
    """REST and socket of the recorded installation; `deliveries` are the bodies of its webhooks as
    they came.
    """

    def __init__(self) -> None:
        super().__init__(account_id=ACCOUNT, inbox_id=INBOX)
        lines = read_lines("day/deliveries")
        self._shift = int(time.time()) - int(lines[-1]["at"]) - _BEFORE_NOW_SECONDS
        self.deliveries = [self._shifted(line["body"]) for line in lines]
        self.rest: dict[str, Any] = json.loads(
            self._shifted(json.dumps(read_rest(), ensure_ascii=False))
        )
        self.is_over = False  # before that REST has nothing to show
        self._add_states()
        self.secret = self.new_token()  # not the recorded one: several of these may call one server
        self.own_routes = [
            Route("/api/v1/accounts/1/inboxes", self._fixed("inboxes")),
            Route("/api/v1/accounts/1/agents", self._fixed("agents")),
            Route("/api/v1/accounts/1/webhooks", self._fixed("webhooks")),
            Route("/api/v1/accounts/1/conversations", self._list),
            Route("/api/v1/accounts/1/conversations/{number:int}", self._one),
            Route("/api/v1/accounts/1/conversations/{number:int}/messages", self._messages),
        ]

    @property
    def told(self) -> list[Json]:
        found: list[Json] = self.rest["conversations"]
        return found

    def messages_of(self, number: int) -> list[Json]:
        """All there are, activity lines too."""
        found: list[Json] = self.rest.get(f"messages/{number}", [])
        return found

    def _shifted(self, text: str) -> str:
        def iso(found: re.Match[str]) -> str:
            moment = datetime.fromisoformat(found[1]) + timedelta(seconds=self._shift)
            return f'"{moment:%Y-%m-%dT%H:%M:%S}{found[2] or ""}Z"'

        return _ISO.sub(iso, _SECOND.sub(lambda found: str(int(found[0]) + self._shift), text))

    def _fixed(self, name: str) -> Any:
        async def answer(request: Request) -> Response:
            return JSONResponse(self.rest[name])

        return answer

    async def _list(self, request: Request) -> Response:
        """25 a page by the last activity; with `updated_within` all that changed, unpaged."""
        if not self.is_over:
            return JSONResponse({"data": {"meta": {"all_count": 0}, "payload": []}})
        rows = sorted(self.told, key=lambda one: -one["last_activity_at"])
        asked = request.query_params
        if asked.get("sort_by", "").endswith("created_at_asc"):
            rows = sorted(self.told, key=lambda one: one["created_at"])
        elif asked.get("sort_by", "").endswith("created_at_desc"):
            rows = sorted(self.told, key=lambda one: -one["created_at"])
        if "updated_within" in asked:
            rows = [
                one
                for one in rows
                if one["updated_at"] > time.time() - int(asked["updated_within"])
            ]
        else:
            page = int(asked.get("page", "1"))
            rows = rows[(page - 1) * _PAGE : page * _PAGE]
        meta = {
            "mine_count": 0,
            "assigned_count": 0,
            "unassigned_count": 0,
            "all_count": len(self.told),
        }
        return JSONResponse({"data": {"meta": meta, "payload": rows}})

    async def _one(self, request: Request) -> Response:
        found = [one for one in self.told if one["id"] == request.path_params["number"]]
        return (
            JSONResponse(found[0])
            if found
            else JSONResponse({"error": "Resource could not be found"}, 404)
        )

    async def _messages(self, request: Request) -> Response:
        """Chosen by id, sorted by their times, and cut."""
        number, asked = request.path_params["number"], request.query_params
        if not any(one["id"] == number for one in self.told):
            return JSONResponse({"error": "Resource could not be found"}, 404)
        low, high = int(asked.get("after", "0")), int(asked.get("before", "0"))
        rows = sorted(self.messages_of(number), key=lambda one: (one["created_at"], one["id"]))
        if low and high:
            rows = [one for one in rows if low <= one["id"] < high][:_WINDOW]
        elif low:
            rows = [one for one in rows if one["id"] > low][:_OLDEST]
        else:
            rows = [one for one in rows if not high or one["id"] < high][-_NEWEST:]
        return JSONResponse({"meta": {}, "payload": rows})

    # -- playing the day --

    def tell_socket(self, body: str) -> None:
        """The frame that went with a webhook."""
        payload = json.loads(body)
        if (frame := _frame(payload)) is not None:
            name, data = frame
            self.cable.enqueue(Event(name, self.account, self.inbox, lambda: payload, lambda: data))

    async def post(self, http: httpx.AsyncClient, url: str, body: str) -> None:
        """Once, whatever comes of it."""
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "X-Chatwoot-Timestamp": timestamp,
            "X-Chatwoot-Delivery": f"{random.getrandbits(64):x}",
            "X-Chatwoot-Signature": sign(self.secret, timestamp, body.encode()),
        }
        answer = await http.post(url, content=body.encode(), headers=headers)
        assert answer.status_code == 200, answer.text

    def line(self, rng: random.Random, *, late: float, lost: float, doubled: float) -> Line:
        """A bad line: the shares of webhooks that come late, never, and twice."""
        line = Line()
        for body in self.deliveries:
            draw = rng.random()
            if draw < lost:
                line.lost.append(body)
            elif draw < lost + late:
                line.late.append(body)
            else:
                line.in_time += [body] * (2 if rng.random() < doubled else 1)
        rng.shuffle(line.in_time)
        rng.shuffle(line.late)
        return line

    async def deliver(
        self, url: str, bodies: Sequence[str], rng: random.Random, *, within_seconds: float = 0.0
    ) -> None:
        """Five at a time, in no order; each up to so late."""
        slots = asyncio.Semaphore(5)

        async def one(body: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            async with slots:
                await self.post(http, url, body)

        async with (
            httpx.AsyncClient(timeout=30, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for body in bodies:
                group.create_task(one(body, rng.random() * within_seconds))

    def _add_states(self) -> None:
        """Agents' messages are delivered, read, or refused by their channel: a webhook for each
        step, and REST has the last one.
        """
        theirs = {one["id"]: one for rows in map(self.messages_of, range(100)) for one in rows}
        for body in list(self.deliveries):
            payload = json.loads(body)
            message = theirs.get(payload.get("id"), {})
            is_told = payload["event"] == "message_created" and message.get("message_type") == 1
            if not is_told or message["private"] or message["content_attributes"].get("deleted"):
                continue
            for status in _STEPS[payload["id"] % len(_STEPS)]:
                message["status"] = status
                if status == "failed":
                    message["content_attributes"]["external_error"] = (
                        "131047: Re-engagement message"
                    )
                told = {name: message[name] for name in ("status", "content", "content_attributes")}
                nested = [
                    one | told if one["id"] == message["id"] else one
                    for one in payload["conversation"]["messages"]
                ]
                conversation = payload["conversation"] | {"messages": nested}
                update = payload | told | {"event": "message_updated", "conversation": conversation}
                self.deliveries.append(json.dumps(update, ensure_ascii=False))


def _frame(payload: Json) -> tuple[str, Json] | None:
    """(event, data) of the agents' socket for a webhook's payload."""
    event = payload["event"]
    if event.startswith("message_"):
        return event.replace("_", "."), _message(payload)
    data = {
        key: value
        for key, value in payload.items()
        if key not in ("event", "account", "changed_attributes")
    }
    if "typing" in event:
        return "conversation.typing_" + event.rsplit("_", 1)[1], data | {"account_id": ACCOUNT}
    return "conversation." + event.removeprefix("conversation_"), data | {"account_id": ACCOUNT}


def _message(payload: Json) -> Json:
    conversation = payload["conversation"]
    nested = (conversation["messages"] or [{}])[0]
    is_same = nested.get("id") == payload["id"]
    created = datetime.fromisoformat(payload["created_at"])
    sender = payload["sender"]
    data = {
        "id": payload["id"],
        "content": nested["content"] if is_same else payload["content"],
        "account_id": ACCOUNT,
        "inbox_id": INBOX,
        "conversation_id": conversation["id"],
        "message_type": _TYPES[payload["message_type"]],
        "created_at": int(created.timestamp()),
        "updated_at": nested["updated_at"] if is_same else payload["created_at"],
        "conversation": {
            "contact_inbox": {"source_id": conversation["contact_inbox"]["source_id"]}
        },
    }
    kept = ("private", "status", "content_type", "content_attributes", "attachments", "source_id")
    data |= {key: payload[key] for key in kept if key in payload}
    return data | ({"sender": {"type": "contact", **sender}} if sender else {})
