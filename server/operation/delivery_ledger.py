"""Traces deliveries, messages and replies, for administrators of a company and for operators of
the server.

A delivery that no integration took belongs to nobody yet. It is shown to a company when its address
(account and inbox) fits that company's proved integrations and no other's (`Directory.may_list`);
its body is not, as nothing proves whose it is.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from server.core.chatwoot.payloads import parse_delivery
from server.core.state import message_trace
from server.core.state.message_trace import (
    SeenDelivery,
    SeenEvent,
    SeenFanOut,
    SeenFind,
    Step,
)
from server.core.times import (
    SECOND,
    iso,
    iso_or_none,
    parse_time,
    wall_now_us,
)
from server.db.access import audit_log
from server.db.access.audit_log import Actor
from server.db.engine.database import Connection, Database
from server.db.journal import (
    fanouts,
    finds,
    journal,
    ledger_rows,
)
from server.db.journal.ledger_rows import Entry, Found
from server.errors import Conflict, NotFound, PayloadError
from server.integrations.directory import Directory
from server.problems import Problem, english

_MAX_EVENTS, _MAX_DELIVERIES, _MAX_FANOUTS, _MAX_FOUND, _MAX_FINDS = 50, 50, 20, 50, 20
# a message's events are looked for so far around the moments known of it
_AROUND_US = 3_600 * SECOND
_DAY_US = 86_400 * SECOND


class MessageTrace(msgspec.Struct, frozen=True):
    """A message with the events, deliveries and fan-outs that are known of it."""

    message: Found
    events: list[SeenEvent]
    deliveries: list[SeenDelivery]
    steps: list[Step]


class Ledger:
    """Answers what became of deliveries and messages, for one company at a time."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory

    async def deliveries(
        self,
        company_id: int,
        *,
        state: str | None,
        since_us: int,
        integration_id: int | None,
        before: int | None,
        limit: int,
    ) -> list[Entry]:
        """Newest first; fewer than `limit` does not mean that there are no more: strangers'
        deliveries are left out.
        """
        own = {
            one.id for one in self._directory.integrations.values() if one.company_id == company_id
        }
        if integration_id is not None and integration_id not in own:
            raise NotFound

        async def read(connection: Connection) -> list[Entry]:
            found = await ledger_rows.list_deliveries(
                connection,
                state=state,
                since_us=since_us,
                integration_id=integration_id,
                integration_ids=own,
                before=before,
                limit=limit,
            )
            unclaimed = [entry.id for entry in found if entry.integration_id is None]
            bodies = await ledger_rows.read_bodies(connection, unclaimed) if unclaimed else {}
            return [
                entry
                for entry in found
                if entry.integration_id is not None
                or self._is_addressed(bodies[entry.id], company_id)
            ]

        return await self._database.read(read)

    async def delivery(self, company_id: int, delivery_id: int) -> tuple[Entry, str | None]:
        """With its body, credentials stripped, where an integration of the company took it. Raises
        NotFound.
        """
        found = await self._database.read(lambda c: ledger_rows.read_body(c, delivery_id))
        if found is None:
            raise NotFound
        entry, body = found
        if entry.integration_id is not None:
            if self._directory.of_company(company_id, entry.integration_id) is None:
                raise NotFound
            return entry, body if entry.is_verified else None
        if not self._is_addressed(body, company_id):
            raise NotFound
        return entry, None

    async def retry(self, actor: Actor, delivery_id: int) -> None:
        """Put a dead or ignored delivery back in line. Raises NotFound, Conflict."""
        await self.delivery(actor.company_id, delivery_id)

        async def write(connection: Connection) -> None:
            if not await journal.revive(connection, [delivery_id]):
                raise Conflict(Problem.of("delivery.not_retryable"))
            await audit_log.append_act(
                connection, actor, "delivery.retry", f"delivery {delivery_id}"
            )

        await self._database.transaction(write)

    async def search(self, company_id: int, text: str, days: float) -> list[Found]:
        """Messages by number, text or the customer's name, newest first, 50 at most."""
        since_us = wall_now_us() - int(days * _DAY_US)
        return await self._database.read(
            lambda c: ledger_rows.find_messages(c, company_id, text, since_us, _MAX_FOUND)
        )

    async def trace(self, company_id: int | None, message_id: int) -> MessageTrace:
        """`company_id` None: of whichever company it is. Raises NotFound."""
        found = await self._database.read(
            lambda c: ledger_rows.read_found(c, company_id, message_id)
        )
        if found is None:
            raise NotFound(Problem.of("message.unknown", id=message_id))
        message, owner, integration_id, told_us = found

        async def read(connection: Connection) -> MessageTrace:
            events = await self._events(connection, owner, message, told_us)
            found = await self._finds(connection, integration_id, message, told_us)
            moments = [parse_time(event.body["receivedAt"]) for event in events] + [
                one.came_us for one in found
            ]
            deliveries = await self._deliveries(connection, integration_id, message, moments)
            walks = [
                SeenFanOut(event.seq, walk.first_us, walk.last_us, walk.sockets)
                for event in events
                for walk in await fanouts.read_fanouts(connection, owner, event.seq, _MAX_FANOUTS)
            ]
            return MessageTrace(
                message, events, deliveries, message_trace.steps(events, deliveries, walks, found)
            )

        return await self._database.read(read)

    async def message_of(self, entry: Entry, body: str) -> int | None:
        """The number here of the message a delivery brought; None when it brought none, or nobody
        took it.
        """
        integration_id, number = entry.integration_id, _message_number(body, entry.received_us)
        if integration_id is None or number is None:
            return None
        return await self._database.read(
            lambda c: ledger_rows.read_message_number(c, integration_id, number)
        )

    async def _events(
        self, connection: Connection, company_id: int, message: Found, told_us: int
    ) -> list[SeenEvent]:
        moments = {message.created_us or told_us, told_us} - {0}
        found: dict[int, SeenEvent] = {}
        for moment in moments:
            between = moment - _AROUND_US, moment + _AROUND_US
            for event in await ledger_rows.read_events_of(
                connection, company_id, message.id, between, _MAX_EVENTS
            ):
                found[event.seq] = event
        return [found[seq] for seq in sorted(found)]

    async def _finds(
        self, connection: Connection, integration_id: int | None, message: Found, told_us: int
    ) -> list[SeenFind]:
        if integration_id is None or message.chatwoot_message_id is None:
            return []
        since_us = min(message.created_us or told_us, told_us) - _AROUND_US
        return await finds.read_of_message(
            connection, integration_id, message.chatwoot_message_id, since_us, _MAX_FINDS
        )

    async def _deliveries(
        self,
        connection: Connection,
        integration_id: int | None,
        message: Found,
        moments: Iterable[int | None],
    ) -> list[SeenDelivery]:
        """Those received in one of these moments, and which brought the message."""
        found: dict[int, SeenDelivery] = {}
        for moment in moments:
            if moment is None or integration_id is None:
                continue
            for delivery, body in await ledger_rows.read_deliveries_at(
                connection, integration_id, moment, _MAX_DELIVERIES
            ):
                number = _message_number(body, delivery.received_us)
                if number is not None and number == message.chatwoot_message_id:
                    found[delivery.id] = delivery
        return list(found.values())

    def _is_addressed(self, body: str, company_id: int) -> bool:
        return self._directory.may_list(body, company_id)


def _message_number(body: str, received_us: int) -> int | None:
    """Chatwoot's number of the message a delivery is about."""
    try:
        change = parse_delivery(body, received_us)
    except PayloadError:
        return None
    return change.message.message_id if change.message is not None else None


def entry_view(entry: Entry) -> dict[str, Any]:
    """A delivery as REST shows it."""
    return {
        "id": entry.id,
        "receivedAt": iso(entry.received_us),
        "finishedAt": iso_or_none(entry.finished_us),
        "state": entry.state,
        "reason": english(entry.reason) if entry.reason else entry.reason,
        "integrationId": entry.integration_id,
        "attempts": entry.attempts,
    }


def trace_view(trace: MessageTrace) -> dict[str, Any]:
    """A message's trace as REST shows it."""
    message = trace.message
    return {
        "message": {
            "id": message.id,
            "conversationId": message.conversation_id,
            "senderType": message.sender_type,
            "createdAt": iso_or_none(message.created_us),
            "chatwootMessageId": message.chatwoot_message_id,
            "deliveryState": message.delivery_state,
            "deliveryError": message.delivery_error,
        },
        "events": [event.seq for event in trace.events],
        "deliveries": [delivery.id for delivery in trace.deliveries],
        "steps": [{"at": iso(step.at_us), "what": english(step.what)} for step in trace.steps],
    }
