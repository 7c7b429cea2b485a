"""The agents' socket of the simulated Chatwoot: `/cable`, ActionCable with the subprotocol
`actioncable-v1-json`.

Sources in Chatwoot: app/channels/room_channel.rb, app/listeners/action_cable_listener.rb (who is
told what), config/cable.yml. What it answers, and when it is silent, is as recorded from a running
one. Nothing is kept for a socket that is away.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.lab.chatwoot_sim.background import beside
from server.lab.chatwoot_sim.model import Account, Inbox, JsonObject, User
from server.lab.chatwoot_sim.sidekiq import Workers
from server.lab.chatwoot_sim.switches import Switches
from server.lab.chatwoot_sim.webhooks import MAX_QUEUED, Event

PROTOCOL = "actioncable-v1-json"
ONLINE_SECONDS = 20.0  # lib/online_status_tracker.rb PRESENCE_DURATION
_NAMES = {
    "message_created": "message.created",
    "message_updated": "message.updated",
    "conversation_created": "conversation.created",
    "conversation_updated": "conversation.updated",
    "conversation_status_changed": "conversation.status_changed",
    "conversation_typing_on": "conversation.typing_on",
    "conversation_typing_off": "conversation.typing_off",
    "contact_created": "contact.created",
    "contact_updated": "contact.updated",
}


def pubsub_token(user: User) -> str:
    """The token that a user's client subscribes with."""
    return f"pubsub-{user.id}"


@dataclass(eq=False)
class Subscription:
    """One client that was let in."""

    user: User
    account: Account
    identifier: str
    outgoing: "asyncio.Queue[str]"

    def is_own_typing(self, message: JsonObject) -> bool:
        """Whether it is the subscriber's own typing, of which Chatwoot sends them no frame
        (action_cable_listener.rb, typing_event_listener_tokens).
        """
        user = message["data"].get("user") if ".typing_o" in message["event"] else None
        return user is not None and user.get("type") == "user" and user.get("id") == self.user.id

    def may_hear(self, account: Account, inbox: Inbox | None) -> bool:
        """An administrator hears every inbox of the account, an agent those they are a member of;
        contacts are everybody's.
        """
        if account is not self.account or account.id not in self.user.roles:
            return False
        is_member = inbox is None or self.user.id in inbox.member_ids
        return is_member or self.user.roles[account.id] == "administrator"


@dataclass(eq=False)
class Cable:
    """All sockets, and the frames sent to them: each frame is one job of Sidekiq's queue
    `critical`.
    """

    users: Mapping[int, User]
    accounts: Mapping[int, Account]
    switches: Switches
    workers: Workers
    subscriptions: list[Subscription] = field(default_factory=list)
    connects: int = 0
    heard: list[JsonObject] = field(default_factory=list)  # commands of clients, as they came
    _limits: set[asyncio.Timeout] = field(default_factory=set)
    _online_until: dict[int, float] = field(default_factory=dict)
    _jobs: deque[tuple[Account, Inbox | None, JsonObject]] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def enqueue(self, event: Event) -> None:
        """Queue an event's frame; its payload is of now, however long it waits."""
        if event.frame is None or not (self.subscriptions or self.switches.broadcast_job_seconds):
            return
        if len(self._jobs) < MAX_QUEUED:
            message = {"event": _NAMES.get(event.name, event.name), "data": event.frame()}
            self._jobs.append((event.account, event.inbox, message))
            self._wake.set()

    def is_online(self, user: User) -> bool:
        """As agents see each other: for a while after they connected."""
        return time.monotonic() < self._online_until.get(user.id, float("-inf"))

    def shout(self, text: str) -> None:
        """Send any text to all sockets."""
        for subscription in self.subscriptions:
            subscription.outgoing.put_nowait(text)

    def cut(self) -> None:
        """End every connection now."""
        for limit in self._limits:
            limit.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Frames leave while inside."""
        async with beside(self._run()):
            yield

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its welcome to its end."""
        self.connects += 1
        is_known = PROTOCOL in websocket.scope.get("subprotocols", ())
        await websocket.accept(subprotocol=PROTOCOL if is_known else None)
        outgoing: asyncio.Queue[str] = asyncio.Queue()
        outgoing.put_nowait(json.dumps({"type": "welcome"}))
        mine: list[Subscription] = []
        limit: asyncio.Timeout | None = None
        seconds = self.switches.cuts_sockets_after or None
        try:
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with (
                    asyncio.timeout(seconds) as limit,
                    beside(self._write(websocket, outgoing)),
                ):
                    self._limits.add(limit)
                    while True:
                        await self._handle_command(await websocket.receive_text(), outgoing, mine)
            with suppress(RuntimeError, WebSocketDisconnect):
                await websocket.close(1011)
        finally:
            self._limits -= {limit} if limit else set()
            self.subscriptions = [one for one in self.subscriptions if one not in mine]

    async def _write(self, websocket: WebSocket, outgoing: "asyncio.Queue[str]") -> None:
        while True:
            try:
                async with asyncio.timeout(self.switches.ping_seconds):
                    text = await outgoing.get()
            except TimeoutError:
                text = json.dumps({"type": "ping", "message": int(time.time())})
            try:
                await websocket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                return

    async def _handle_command(
        self, text: str, outgoing: "asyncio.Queue[str]", mine: list[Subscription]
    ) -> None:
        command = json.loads(text)
        self.heard.append(command)
        identifier = json.loads(command.get("identifier") or "{}")
        if command.get("command") == "subscribe":
            self._subscribe(str(command["identifier"]), identifier, outgoing, mine)
        elif command.get("command") == "message" and mine:
            action = json.loads(command.get("data") or "{}").get("action")
            if action == "update_presence":
                self._show_online(mine[0].user)

    def _subscribe(
        self, text: str, identifier: Any, outgoing: "asyncio.Queue[str]", mine: list[Subscription]
    ) -> None:
        """A wrong token gets no answer at all: room_channel.rb finds nobody, and the subscription
        hangs.
        """
        user = self.users.get(identifier.get("user_id") or 0)
        is_right = user is not None and identifier.get("pubsub_token") == pubsub_token(user)
        account_id = identifier.get("account_id")
        if (
            user is None
            or not is_right
            or account_id not in user.roles
            or self.switches.refuses_sockets
        ):
            return
        account = self.accounts[account_id]
        subscription = Subscription(user, account, text, outgoing)
        mine.append(subscription)
        self.subscriptions.append(subscription)
        outgoing.put_nowait(json.dumps({"identifier": text, "type": "confirm_subscription"}))
        self._show_online(user)
        users = {str(one.id): "online" for one in self.users.values() if self.is_online(one)}
        presence = {
            "event": "presence.update",
            "data": {"account_id": account.id, "users": users, "contacts": {}},
        }
        outgoing.put_nowait(json.dumps({"identifier": text, "message": presence}))

    def _show_online(self, user: User) -> None:
        self._online_until[user.id] = time.monotonic() + ONLINE_SECONDS

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                while not self._jobs:
                    self._wake.clear()
                    await self._wake.wait()
                # all of them wait for a thread at once: nothing of a later queue comes between
                while self._jobs:
                    group.create_task(self._broadcast(*self._jobs.popleft()))

    async def _broadcast(self, account: Account, inbox: Inbox | None, message: JsonObject) -> None:
        async with self.workers.thread("critical"):
            for subscription in self.subscriptions:
                if subscription.may_hear(account, inbox) and not subscription.is_own_typing(
                    message
                ):
                    frame = {"identifier": subscription.identifier, "message": message}
                    subscription.outgoing.put_nowait(
                        json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
                    )


async def _cable(websocket: WebSocket) -> None:
    await websocket.app.state.sim.cable.serve(websocket)


routes = [WebSocketRoute("/cable", _cable)]
