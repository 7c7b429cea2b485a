"""A company of its own on a server that tests share: numbers nobody else uses, an integration, its
agents' clients, its webhooks.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from server.core.times import SECOND, iso, wall_now_us
from server.db.access import integration_rows
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database, Row
from server.errors import OmniError
from server.lab.chatwoot_sim import ChatwootSim
from server.problems import decode, english_or_none
from tests.kit.client_model import Json
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import (
    Delivery,
    Payload,
    delivery_of,
    realistic_payload,
    simple_payload,
)

_numbers = itertools.count(1001)
_NOWHERE = "http://127.0.0.1:9"  # refuses connections
_NO_INTEGRATION = 2**53
# one that is further ahead than two leases is the work of a clock that was wrong, and holds nobody
# back
_HELD_US = 80 * SECOND


@dataclass(frozen=True)
class JournalEntry:
    """What the journal says about one delivery."""

    state: str
    reason: str | None
    body: str


class Company:
    """`async with Company(omni) as company:` adds the integration and makes the server know it at
    once.

    Account and inbox of the integration are numbers of its own, so that the payloads of one company
    never reach another.
    """

    def __init__(
        self,
        omni: Omni,
        *,
        webhook_secret: str | None = None,
        chatwoot: ChatwootSim | None = None,
        numbers: tuple[int, int] | None = None,
        unsigned: str = "accepted",
        is_proved: bool = True,
    ) -> None:
        """`chatwoot` (being served) is where replies and syncs go; without one, to an address that
        refuses.

        `numbers`: account and inbox, instead of its own. Its webhooks need no signature unless it
        has a secret or says otherwise.
        """
        self.omni = omni
        self.id = next(_numbers)
        self.account_id = chatwoot.account.id if chatwoot else 20_000 + self.id
        self.inbox_id = chatwoot.inbox.id if chatwoot else 40_000 + self.id
        if numbers is not None:
            self.account_id, self.inbox_id = numbers
        self._unsigned = unsigned
        self._is_proved = is_proved
        self.integration_id = 0
        self.webhook_secret = webhook_secret
        self.database = Database(omni.env["DATABASE_URL"])
        self._chatwoot = chatwoot
        self._vault = Vault(omni.env["SECRET_KEY"])
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.database)
        self.http = await self._stack.enter_async_context(self.client())
        self.integration_id = await self.connect_inbox(self.inbox_id)
        await self.tell_server()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.omni.is_shared:
            await self._switch_off()
        await self._stack.__aexit__(kind, error, trace)

    async def _switch_off(self) -> None:
        """Else the server would go on asking for its Chatwoot, which ends with the test, beside all
        tests after it.
        """
        with contextlib.suppress(OmniError, TimeoutError):  # the test may have ended the database
            async with asyncio.timeout(5.0):
                await self.database.transaction(
                    lambda c: c.execute(
                        "UPDATE integrations SET is_active = :no WHERE company_id = :company_id",
                        {"no": False, "company_id": self.id},
                    )
                )

    # the integration

    async def connect_inbox(self, inbox_id: int) -> int:
        """Add an integration with that inbox of the same Chatwoot, and return its number; the
        server knows it after `tell_server`.
        """
        there = self._chatwoot
        values = {
            "company_id": self.id,
            "account_id": self.account_id,
            "inbox_id": inbox_id,
            "inbox_name": there.inboxes[inbox_id].name
            if there and inbox_id in there.inboxes
            else None,
            "base_url": there.base_url if there else _NOWHERE,
            "access_token": there.admin.access_token if there else "token-of-a-chatwoot-agent",
            "webhook_secret": self.webhook_secret,
            "unsigned": self._unsigned,
            "proved_us": wall_now_us() if self._is_proved else None,
        }
        return await self.database.transaction(lambda c: self._add_integration(c, values))

    async def _add_integration(self, connection: Connection, values: dict[str, Any]) -> int:
        """As if a round of reconcile were under way elsewhere, so that it stays out of what tests
        count.
        """
        now_us = wall_now_us()
        integration_id = await integration_rows.add_integration(
            connection, self._vault, values, now_us
        )
        await integration_rows.update_integration(
            connection, integration_id, {"walked_at": now_us, "lease_until": now_us + _HELD_US}
        )
        return integration_id

    async def tell_server(self) -> None:
        """Make the server read the integrations now instead of within seconds: a sync of one that
        is not there does only that.
        """
        answer = await self.http.post("/api/chatwoot/sync", json={"integrationId": _NO_INTEGRATION})
        assert answer.status_code == 404, answer.text

    async def hold_reconcile(self) -> None:
        """For more than a minute."""
        await self.change_integration(lease_until=wall_now_us() + _HELD_US)

    async def change_integration(self, **values: object) -> None:
        """Set columns of the integration; secrets are sealed on the way."""
        sealed = {
            name: self._vault.seal(value)
            if isinstance(value, str) and name.endswith(("secret", "token"))
            else value
            for name, value in values.items()
        }
        await self.database.transaction(
            lambda c: integration_rows.update_integration(c, self.integration_id, sealed)
        )
        await self.tell_server()

    async def integrations(self) -> list[Integration]:
        return await self.database.read(
            lambda c: integration_rows.read_integrations(c, self._vault)
        )

    # its agents

    def token(self, agent_id: int | str = 1, **claims: Any) -> str:
        return self.omni.token(self.id, agent_id, **claims)

    def client(self, agent_id: int | str = 1, **options: Any) -> httpx.AsyncClient:
        return self.omni.client(self.token(agent_id), **options)

    def socket(
        self,
        agent_id: int | str = 1,
        *,
        cursor: str | None = None,
        url: str | None = None,
        **options: Any,
    ) -> AgentSocket:
        return AgentSocket(
            url or self.omni.ws_url, token=self.token(agent_id), cursor=cursor, **options
        )

    async def agent_number(self, agent_id: int | str = 1) -> int:
        """The number in our `agents` table of whoever has this `sub`."""
        rows = await self.rows(
            "SELECT id FROM omni_agents WHERE company_id = :company AND subject = :s",
            company=self.id,
            s=str(agent_id),
        )
        return int(rows[0][0])

    async def get(self, path: str, **options: Any) -> Any:
        """The JSON of a successful GET."""
        answer = await self.http.get(path, **options)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def conversations(self, **query: str) -> list[Json]:
        found: list[Json] = await self.get("/api/conversations", params=query)
        return found

    async def thread(self, conversation_id: int) -> list[Json]:
        whole = await self.get(f"/api/conversations/{conversation_id}/messages")
        messages: list[Json] = whole["messages"]
        return messages

    async def conversation_with(self, count: int, *, display_id: int = 481) -> Json:
        """The conversation of that Chatwoot number, once it has so many messages; with its
        `messages`.
        """

        async def found() -> Json | None:
            for one in await self.conversations():
                if one["chatwootConversationId"] == display_id:
                    whole: Json = await self.get(f"/api/conversations/{one['id']}/messages")
                    assert len(whole["messages"]) == count, (
                        f"{len(whole['messages'])} messages instead of {count}"
                    )
                    return whole
            return None

        return await eventually(found)

    # its webhooks

    def simple(self, content: str = "Hello", **options: Any) -> Payload:
        return simple_payload(content, account_id=self.account_id, **options)

    def sample(self, name: str, changes: Mapping[str, Any] | None = None) -> Payload:
        """A body of tests/payloads, addressed to this company."""
        payload: Payload = self._addressed(realistic_payload(name, changes))
        return payload

    def message(
        self, number: int, content: str | None = None, *, conversation_id: int = 481, **changes: Any
    ) -> Payload:
        """A customer's message: `number` is Chatwoot's id and, in milliseconds after a fixed
        moment, its time. No agent has read any.
        """
        at = 1_784_365_265_000_000 + number * 1000
        told = {
            "id": number,
            "content": f"message {number}" if content is None else content,
            "created_at": iso(at),
            "conversation": {"id": conversation_id, "updated_at": at / SECOND, "unread_count": 10},
        }
        return self.sample("message_created.incoming", {**told, **changes})

    async def post(self, payload: Payload | bytes, **options: Any) -> Delivery:
        """Send a webhook (signed if there is a secret) that must be accepted; returns it."""
        delivery = delivery_of(payload, **({"secret": self.webhook_secret} | options))
        answer = await delivery.post(self.http)
        assert (answer.status_code, answer.text) == (200, "EVENT_RECEIVED")
        return delivery

    async def post_all(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            await self.post(payload)

    async def outcome(self, delivery: Delivery) -> JournalEntry:
        """What became of a delivery, once it has been dealt with."""
        uid = delivery.headers["X-Chatwoot-Delivery"]

        async def found() -> JournalEntry | None:
            rows = await self.rows(
                "SELECT state, reason, body FROM omni_webhook_deliveries WHERE headers LIKE :uid",
                uid=f"%{uid}%",
            )
            assert {row[0] for row in rows} != {"received"}, "not dealt with yet"
            if not rows:
                return None
            state, reason, body = rows[0]
            return JournalEntry(state, english_or_none(decode(reason)), body)

        return await eventually(found)

    # the database

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        return await self.database.fetch_all(sql, values)

    async def execute(self, sql: str, **values: Any) -> None:
        await self.database.transaction(lambda c: c.execute(sql, values))

    async def head(self) -> int:
        rows = await self.rows(
            "SELECT head FROM omni_inbox_streams WHERE company_id = :company", company=self.id
        )
        return int(rows[0][0]) if rows else 0

    def _addressed(self, value: Any, key: str = "") -> Any:
        """The payload with its account and inbox replaced wherever they stand."""
        if isinstance(value, dict):
            own = {name: self._addressed(item, name) for name, item in value.items()}
            if key == "account":
                own["id"] = self.account_id
            elif key == "inbox":
                own["id"] = self.inbox_id
            return own
        if isinstance(value, list):
            return [self._addressed(item) for item in value]
        return {"account_id": self.account_id, "inbox_id": self.inbox_id}.get(key, value)
