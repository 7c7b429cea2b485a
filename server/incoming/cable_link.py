"""One company's Chatwoot account, heard by the socket of its agents: connect, subscribe, write down
what comes, and again when it ends.

What is heard becomes deliveries in the journal, as webhooks do; a frame that could not be kept, or
was never heard, costs speed and nothing else, as its webhook and reconcile bring the same. Each
connect shows the token's owner as online for 20 seconds, so the pause before the next one has a
floor, and grows.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from server import log, metrics
from server.chatwoot import ChatwootClient, ChatwootError
from server.chatwoot.cable import (
    Cable,
    CableFailed,
    CableNetwork,
    CableRefused,
)
from server.core.bounded_dict import BoundedDict
from server.core.chatwoot.cable_frames import (
    ACCOUNT_CHANGED,
    ACTIVITY,
    UNREAD_CHANGED,
    News,
    news_of,
    read_frame,
)
from server.core.chatwoot.json_bodies import MAX_JSON_VALUES, has_too_many_values
from server.core.identifiers import MAX_INT32, is_id
from server.core.state.entities import Json
from server.core.token_buckets import Bucket
from server.db.access.integration_record import Integration
from server.db.journal.journal import SOCKET, SOURCE, Delivery
from server.errors import OmniError, PayloadError

_logger = log.get(__name__)
_MAX_PAUSE_SECONDS = 300.0
_REFUSED_PAUSE_SECONDS = 300.0  # by then somebody may have put right what is wrong
_CALM_SECONDS = 600.0  # a connection that lasted so long begins at the shortest pause again
# frames that wait for their commit; meanwhile no more is read
_MAX_HELD, _MAX_HELD_BYTES = 200, 8_000_000
_FRAMES_SECOND, _FRAMES_BURST = 200.0, 5_000.0  # beyond this they are left to their webhooks
_UNIT_BYTES = 16_384
_SMALL_BYTES = 65_536
_MAX_CONTACTS = _MAX_UNREAD = 20_000
_CONTACT_KEYS = ("name", "email", "phone_number", "identifier")

Record = Callable[[Delivery], Awaitable[None]]
ClientOf = Callable[[Integration], ChatwootClient]


class Hints(msgspec.Struct, frozen=True):
    """Callbacks for what the socket says and no delivery can: each with all integrations of the
    account.
    """

    # some number of unread messages has changed
    on_unread: Callable[[Sequence[Integration]], None] = lambda integrations: None
    on_contact_deleted: Callable[[Sequence[Integration], int], None] = (
        lambda integrations, contact_id: None
    )
    # an inbox, a label or a team of the account has changed
    on_account_changed: Callable[[Sequence[Integration]], None] = lambda integrations: None


class LinkState(msgspec.Struct):
    """How it goes; the leader writes it down. Times in microseconds."""

    state: str = "connecting"
    problem: str | None = None
    connected_us: int | None = None
    heard_us: int | None = None
    behind_us: int | None = None
    recorded: int = 0
    dropped: int = 0
    hears: frozenset[int] = frozenset()  # integrations whose inboxes the token's owner sees


class _Owner(msgspec.Struct, frozen=True):
    """The owner of an access token, with what subscribing needs."""

    user_id: int
    pubsub_token: str
    hears: frozenset[int]


class Link:
    """`integrations`: all of one company at one address and account, the oldest first."""

    def __init__(
        self,
        integrations: Sequence[Integration],
        network: CableNetwork,
        client_of: ClientOf,
        record: Record,
        *,
        now_us: Callable[[], int],
        pause_seconds: float,
        pace: Bucket,
        hints: Hints,
    ) -> None:
        """`pace`: how fast frames of any kind are read; shared by the company's links."""
        self._pace = pace
        self._hints = hints
        self._integrations = integrations
        self._network = network
        self._client_of = client_of
        self._record = record
        self._now_us = now_us
        self._pause_seconds = pause_seconds
        self._account_id = integrations[0].account_id or 0
        # contact -> digest of what was told of them
        self._contacts: BoundedDict[int, int] = BoundedDict(_MAX_CONTACTS)
        # conversation -> Chatwoot's number of unread messages
        self._unread: BoundedDict[int, int] = BoundedDict(_MAX_UNREAD)
        self._tokens = _FRAMES_BURST
        self._tokens_at = 0.0
        self._held_bytes = self._held = 0
        self._room = asyncio.Event()
        self.state = LinkState()

    async def run(self) -> None:
        """Until it is cancelled. A refused or lost socket is tried again, each time later."""
        pause = self._pause_seconds
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self.state.state = "connecting"
            try:
                await self._listen()
            except CableRefused as refused:
                self._set_problem("refused", str(refused))
                pause = max(pause, min(_REFUSED_PAUSE_SECONDS, 30 * self._pause_seconds))
            except (CableFailed, OmniError, ChatwootError) as failed:
                self._set_problem("away", str(failed))
            except Exception as error:  # else it would be begun anew at once, again and again
                _logger.exception("socket failed", integration=self._integrations[0].id)
                self._set_problem("away", f"it failed here ({type(error).__name__})")
            if loop.time() - began > _CALM_SECONDS:
                pause = self._pause_seconds
            # jitter, not a secret
            await asyncio.sleep(pause * (1.0 + random.random() / 2))  # noqa: S311
            pause = min(2 * pause, max(_MAX_PAUSE_SECONDS, self._pause_seconds))

    def _set_problem(self, state: str, problem: str) -> None:
        if (state, problem) != (self.state.state, self.state.problem):
            _logger.info(
                "socket", integration=self._integrations[0].id, state=state, problem=problem
            )
        self.state.state, self.state.problem = state, problem

    async def _listen(self) -> None:
        """One connection, until it ends: it always raises."""
        owner = await self._find_owner()
        place = (self._integrations[0].base_url, self._account_id)
        async with self._network.listening(*place, owner.user_id, owner.pubsub_token) as cable:
            self.state.connected_us = self._now_us()
            self.state.state, self.state.problem, self.state.hears = "live", None, owner.hears
            _logger.info("socket", integration=self._integrations[0].id, state="live")
            await self._read(cable)

    async def _find_owner(self) -> _Owner:
        """An administrator's token hears the whole account, an agent's their own inboxes. Raises
        CableRefused, ChatwootError.
        """
        failure: ChatwootError | None = None
        found: _Owner | None = None
        for integration in {one.access_token: one for one in reversed(self._integrations)}.values():
            try:
                profile = await self._client_of(integration).profile()
            except ChatwootError as error:
                failure = error
                continue
            owner, is_administrator = _owner(
                profile, self._account_id, self._with_token(integration)
            )
            if owner is not None and is_administrator:
                return msgspec.structs.replace(
                    owner, hears=frozenset(one.id for one in self._integrations)
                )
            found = found or owner
        if found is not None:
            return found
        if failure is not None:
            raise failure
        raise CableRefused(
            "the access token's owner does not belong to the account, or Chatwoot gives no token "
            "for its socket"
        )

    def _with_token(self, integration: Integration) -> frozenset[int]:
        return frozenset(
            one.id for one in self._integrations if one.access_token == integration.access_token
        )

    async def _read(self, cable: Cable) -> None:
        """Raises CableFailed when the connection ends; what was heard by then is kept first."""
        ended: CableFailed | None = None
        async with asyncio.TaskGroup() as group:
            try:
                async for frame in cable.frames():
                    await self._wait_for_turn(len(frame))
                    for delivery in self._deliveries(frame):
                        await self._wait_for_room(len(delivery.body))
                        group.create_task(self._keep(delivery))
            except CableFailed as failed:
                ended = failed
        if ended is not None:
            raise ended

    def _deliveries(self, frame: bytes) -> list[Delivery]:
        """What a frame comes to. A bad one is counted, and ends nothing."""
        try:
            if not frame:
                raise PayloadError("the frame is too large")
            if len(frame) > _SMALL_BYTES and has_too_many_values(frame, MAX_JSON_VALUES):
                raise PayloadError("the frame has too many values")
            kind, message = read_frame(frame)
            if kind:
                return []
            news = news_of(message, self._account_id)
            self._pass_on(message, news)
        except PayloadError as error:
            metrics.socket_frames.labels("bad").inc()
            _logger.debug(
                "socket frame", integration=self._integrations[0].id, problem=error.message
            )
            return []
        if news is None or not self._is_new(news, message["data"]):
            return []
        if not self._may_pass():
            self._drop()
            return []
        now_us = self._now_us()
        # of these no webhook comes
        if news.contact_id is None and news.event != "conversation_read":
            self.state.heard_us = now_us
        if news.is_new_message and news.at_us:
            self.state.behind_us = max(0, now_us - news.at_us)
        return [self._delivery(one, news, now_us) for one in self._addressed(news)]

    def _pass_on(self, message: Json, news: News | None) -> None:
        if message["data"].get("account_id") == self._account_id:
            if message["event"] == UNREAD_CHANGED:
                self._hints.on_unread(self._integrations)
            elif message["event"] == ACCOUNT_CHANGED:
                self._hints.on_account_changed(self._integrations)
        if news is not None and news.event == "contact_deleted" and news.contact_id is not None:
            self._hints.on_contact_deleted(self._integrations, news.contact_id)

    def _addressed(self, news: News) -> list[Integration]:
        """Whose inbox it is. A contact may be in several: ingest finds their conversations."""
        if news.contact_id is not None:
            return list(self._integrations[:1])
        exact = [one for one in self._integrations if one.inbox_id == news.inbox_id]
        return (exact or [one for one in self._integrations if one.inbox_id is None])[:1]

    def _delivery(self, integration: Integration, news: News, now_us: int) -> Delivery:
        return Delivery(
            uid=os.urandom(16).hex(),
            received_us=now_us,
            body=news.body,
            headers={SOURCE: SOCKET},
            integration_id=integration.id,
            is_verified=True,
            company_id=integration.company_id,
        )

    def _is_new(self, news: News, data: Json) -> bool:
        """Whether a frame may change anything. Chatwoot sends a contact after each of their
        messages: only what has changed is worth a look.
        """
        if news.contact_id is None:
            return self._changes_unread(data) or data.get("message_type") != ACTIVITY
        if news.event != "contact_updated":
            return True
        digest = hash(tuple(str(data.get(key)) for key in _CONTACT_KEYS))
        if self._contacts.get(news.contact_id) == digest:
            return False
        self._contacts[news.contact_id] = digest
        self._contacts.move_to_end(news.contact_id)
        return True

    def _changes_unread(self, data: Json) -> bool:
        """Whether a frame has another number of unread messages than the one before it: a line that
        does not is worth no look.
        """
        nested = data.get("conversation")
        told = nested if isinstance(nested, dict) else data
        number, unread = data.get("conversation_id", data.get("id")), told.get("unread_count")
        if not (is_id(number) and isinstance(unread, int) and 0 <= unread <= MAX_INT32):
            return False
        is_new = self._unread.get(number) != unread
        self._unread[number] = unread
        self._unread.move_to_end(number)
        return is_new

    async def _wait_for_turn(self, size: int) -> None:
        """Whatever it holds, taking a frame apart costs time that is everybody's: meanwhile the
        sender waits.
        """
        loop = asyncio.get_running_loop()
        self._pace.spend(loop.time(), 1.0 + size // _UNIT_BYTES)
        if (seconds := self._pace.wait_seconds()) > 0.0:
            await asyncio.sleep(seconds)

    def _may_pass(self) -> bool:
        """A bucket of frames, filled by the second."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(_FRAMES_BURST, self._tokens + (now - self._tokens_at) * _FRAMES_SECOND)
        self._tokens_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    async def _wait_for_room(self, size: int) -> None:
        while self._held and (self._held >= _MAX_HELD or self._held_bytes + size > _MAX_HELD_BYTES):
            self._room.clear()
            await self._room.wait()
        self._held += 1
        self._held_bytes += size

    async def _keep(self, delivery: Delivery) -> None:
        try:
            await self._record(delivery)
        except OmniError:
            self._drop()
        else:
            self.state.recorded += 1
            metrics.socket_frames.labels("kept").inc()
        finally:
            self._held -= 1
            self._held_bytes -= len(delivery.body)
            self._room.set()

    def _drop(self) -> None:
        self.state.dropped += 1
        metrics.socket_frames.labels("dropped").inc()


def _owner(profile: Json, account_id: int, hears: frozenset[int]) -> tuple[_Owner | None, bool]:
    """(the token's owner, None where they cannot listen there; whether they see every inbox)."""
    accounts = [
        one
        for one in profile.get("accounts") or []
        if isinstance(one, dict) and one.get("id") == account_id
    ]
    user_id, token = profile.get("id"), profile.get("pubsub_token")
    if (
        not accounts
        or not isinstance(user_id, int)
        or not isinstance(token, str)
        or not 0 < len(token) <= 500
    ):
        return None, False
    return _Owner(user_id, token, hears), accounts[0].get("role") == "administrator"
