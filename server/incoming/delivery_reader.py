"""Deliveries become changes: parsed, and given to the integration whose they are."""

import time
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from server.core.chatwoot.payloads import parse_delivery
from server.core.state.marks import Marks
from server.core.state.tracked import Source
from server.core.times import SECOND
from server.db.access.integration_record import Integration
from server.db.engine.clock import DatabaseClock
from server.db.engine.database import Connection
from server.db.journal.journal import SOCKET, SOURCE, Delivery
from server.db.state.contacts import find_conversations
from server.errors import BadSignature, PayloadError
from server.incoming.incoming_changes import IncomingChange
from server.integrations.directory import SIGNATURE_HEADER, Directory
from server.message_observer import CARRIED
from server.problems import Problem

# what came later than this from now was received by a clock that is wrong, and is not waited for
_SKEW_US = 10 * SECOND
_MAX_REMEMBERED = 5_000
_ASK_AGAIN_SECONDS = 30.0  # for an inbox's name, because of what deliveries call it


class DeliveryReader:
    """Reads deliveries of the journal, and remembers whose the last ones were."""

    def __init__(
        self,
        directory: Directory,
        clock: DatabaseClock,
        on_changed: Callable[[Sequence[Integration]], None] = lambda integrations: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_changed`: an inbox may have another name now, which Chatwoot is to be asked for."""
        self._directory = directory
        self._clock = clock
        self._on_changed = on_changed
        self._monotonic = monotonic
        # integration -> the name that it was asked for because of, and when (monotonic)
        self._other_names: dict[int, tuple[str | None, float]] = {}
        self._integration_of: dict[int, int] = {}

    @property
    def integration_of(self) -> Mapping[int, int]:
        """Deliveries that were read lately, with their integration, also where storing failed."""
        return self._integration_of

    def read(self, delivery: Delivery) -> IncomingChange:
        """Parse and route one delivery. Raises PayloadError with its outcome."""
        change = parse_delivery(delivery.body, delivery.received_us)
        verified_id = delivery.integration_id
        # kept while the directory was not there: judged now, by the time it came
        if not delivery.is_verified:
            try:
                verified_id = self._directory.verify(
                    change.account_id,
                    change.inbox_id,
                    delivery.headers,
                    delivery.body.encode(),
                    delivery.received_us,
                )
            except BadSignature as error:
                raise PayloadError(error.problem, is_routing=True) from None
        integration = self._directory.find(
            change.account_id,
            change.inbox_id,
            verified_id,
            is_signed=SIGNATURE_HEADER in delivery.headers,
        )
        self._remember(delivery.id, integration.id)
        self._compare_name(integration, change.conversation.marks)
        return IncomingChange(
            Source(integration.id, integration.company_id, integration.inbox_name),
            change,
            delivery.received_us,
            delivery.id,
            delivery.headers.get(CARRIED),
            is_from_socket=delivery.headers.get(SOURCE) == SOCKET,
        )

    def is_own_typing(self, one: IncomingChange) -> bool:
        """Whether the token's owner types: so comes back what agents type here."""
        own = self._directory.integrations.get(one.source.integration_id)
        return (
            own is not None
            and one.change.typist_id is not None
            and (one.change.typist_id == own.token_user_id)
        )

    def is_ahead_of_directory(self, delivery: Delivery, error: PayloadError) -> bool:
        """Whether the integration may have been added just before its delivery came: it stays in
        the journal until the directory was read again.
        """
        latest_us = self._clock.now_us() + _SKEW_US
        return error.is_routing and self._directory.as_of_us <= delivery.received_us <= latest_us

    async def spread_contact(
        self, connection: Connection, incoming: IncomingChange, contact_id: int
    ) -> list[IncomingChange]:
        """A contact's news for each of their conversations, in every inbox of the account. Raises
        PayloadError where there is none.
        """
        siblings = self._directory.siblings(incoming.source.integration_id)
        found = await find_conversations(connection, siblings, contact_id)
        if not found:
            raise PayloadError(Problem.of("payload.contact_unknown"), outcome="ignored")
        state = incoming.change.conversation
        return [
            replace(
                incoming,
                source=Source(
                    integration_id,
                    incoming.source.company_id,
                    self._directory.inbox_name(integration_id),
                ),
                change=replace(incoming.change, conversation=replace(state, display_id=number)),
            )
            for integration_id, number in found
        ]

    def _compare_name(self, integration: Integration, marks: Marks | None) -> None:
        """A delivery with another name of the inbox was built after a rename, or came late: such a
        name has Chatwoot asked, for the same name once, and now and then for ever new ones. The
        watch asks now and then by itself.
        """
        told = marks.inbox_name if marks is not None else None
        if told is None or integration.inbox_name is None:
            return
        name, asked_at = self._other_names.get(integration.id, (None, float("-inf")))
        if told == integration.inbox_name:
            if name is not None:
                self._other_names[integration.id] = None, asked_at
            return
        now = self._monotonic()
        if name != told and now - asked_at > _ASK_AGAIN_SECONDS:
            self._other_names[integration.id] = told, now
            self._on_changed([integration])

    def _remember(self, delivery_id: int, integration_id: int) -> None:
        if len(self._integration_of) >= _MAX_REMEMBERED:
            self._integration_of.clear()
        self._integration_of[delivery_id] = integration_id
